"""The program in a forked process does as in one that is started anew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import amltool_command, amltool_process
from tests.amltool_command import amltool, make_project, submit

SCRIPT = "import os, sys\nprint(os.environ['GIVEN'], sys.argv[1:])\nsys.exit(7)\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SCRIPT})


def done(folder: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    ended = amltool(folder, *words, check=False, **variables)
    return ended.returncode, ended.stdout, ended.stderr


def test_what_it_prints_and_how_it_exits_is_the_same(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(project, arguments=("ü", os.fsdecode(b"\xff")), GIVEN="one")
    words = [
        ("runs",),
        ("show", "@"),
        ("logs", "@"),
        ("outputs", "@"),
        ("targets",),
        ("no-such-task",),
        ("show", "none"),
    ]
    forked = [done(project, *each) for each in words]
    monkeypatch.setattr(amltool_command, "STARTED_ANEW", {"all"})
    assert [done(project, *each) for each in words] == forked
    assert {code for code, _, _ in forked} == {0, 1}
    assert forked[2][1] == f"one {['ü', os.fsdecode(bytes([255]))]}\n"


def test_it_has_the_variables_the_folder_and_the_home_that_it_is_given(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert submit(project, GIVEN="other", HOME=str(tmp_path / "other"))["exit_code"] == 7
    assert (tmp_path / "other/.amltool/runs").is_dir()
    assert not (Path.home() / ".amltool").exists()
    assert amltool_process.can_be_forked({**os.environ, "PYTHONPATH": str(amltool_process.TOP)})


@pytest.mark.parametrize("name", ["PYTHONIOENCODING", "LC_ALL", "PATH", "LD_PRELOAD"])
def test_it_is_started_anew_where_python_would_start_otherwise(name: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(amltool_process.TOP)}
    assert amltool_process.can_be_forked(environment)
    assert not amltool_process.can_be_forked({**environment, name: "another"})


def test_one_that_takes_too_long_is_killed(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(amltool_process.TOP)}
    with pytest.raises(subprocess.TimeoutExpired):
        amltool_process.run(["runs"], project, environment, None, 0.0)
