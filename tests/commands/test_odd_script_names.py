"""A script runs whatever its name is: a dash at its beginning, blanks, letters beyond ASCII."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project

SCRIPT = "import sys; print('ran', sys.argv[1:])\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("-x1.py", "-c", "-d/x.py", "two words.py", "größe.py", "$(x)'\".py")
    return make_project(tmp_path_factory.mktemp("odd") / "project", dict.fromkeys(names, SCRIPT))


@pytest.mark.parametrize("name", ["./-x1.py", "./-c", "./-d/x.py", "two words.py", "größe.py", "$(x)'\".py"])
def test_it_is_run_and_not_read_as_an_option(project: Path, name: str) -> None:
    assert "ran ['-a', 'b']\n" in amltool(project, "submit", name, "--", "-a", "b").stdout


def test_without_the_dot_it_says_how_it_is_written(project: Path) -> None:
    done = amltool(project, "submit", "-x1.py", check=False)
    assert done.returncode == 1
    assert "./-x1.py" in done.stderr
