"""Which interpreter an environment is made with."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from amltool.environments.pythons import Python, find_python
from tests.environments.conftest import PLANTS, plant_at

HERE = platform.python_version()
MINOR = ".".join(HERE.split(".")[:2])


@pytest.fixture
def only(tmp_path, monkeypatch):
    """Makes programs the only ones on the PATH (beside those of the system that no test asks for)."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name: str, version: str | None = None) -> Path:
        program = folder / name
        if version is None:
            program.symlink_to(os.path.realpath(sys.executable))
        else:  # answers what a Python of that version would
            says = f'{{"path": "{program}", "version": "{version}", "build": "x", "has_pip": true}}'
            program.write_text(f"#!/bin/sh\necho run >> {folder}/asked\necho '{says}'\n")
            program.chmod(0o755)
        return program

    monkeypatch.setenv("PATH", str(folder))
    return put


@pytest.mark.parametrize("wanted", [MINOR, f"{MINOR}.*", f">={MINOR},<4", HERE, None])
def test_a_real_one_that_fits_is_found_and_tells_what_it_is(host, only, wanted):
    only(f"python{MINOR}")
    found = find_python(host, wanted, "python")
    assert found is not None
    assert (found.version, found.build) == (HERE, sys.version.replace("\n", " "))


def test_one_named_for_the_version_comes_before_pythonlocation(host, only):
    named, _ = only("python3.9", "3.9.2"), only("mine", "3.9.9")
    found = find_python(host, "3.9", "mine")
    assert found == Python(str(named), "3.9.2", "x")


def test_pythonlocation_is_taken_when_it_fits(host, only):
    only("mine", "3.9.9")
    found = find_python(host, "3.9", "mine")
    assert found is not None
    assert found.version == "3.9.9"


def test_where_any_will_do_it_is_the_one_of_pythonlocation(host, only):
    only("python3", "3.9.1")
    only("mine", "3.8.1")
    found = find_python(host, None, "mine")
    assert found is not None
    assert found.version == "3.8.1"


def test_a_constraint_looks_through_the_named_ones_too(host, only):
    only("python3.7", "3.7.3")
    found = find_python(host, ">=3.7,<3.8", "python")
    assert found is not None
    assert found.version == "3.7.3"


@pytest.mark.parametrize("version", ["3.9.9", "2.7.18", "3.5.2"])
def test_none_fits(host, only, version):
    only("python3", version)
    assert find_python(host, "3.4" if version == "3.9.9" else version.rpartition(".")[0], "python") is None


def test_the_second_time_none_is_asked(host, only, tmp_path):
    only("python3.9", "3.9.2")
    first = find_python(host, "3.9", "python")
    assert find_python(host, "3.9", "python") == first
    assert (tmp_path / "bin" / "asked").read_text() == "run\n"


@pytest.mark.parametrize("plant", PLANTS)
def test_what_took_the_place_of_a_kept_answer_is_passed_over(host, only, tmp_path, plant):
    only("python3.9", "3.9.2")
    first = find_python(host, "3.9", "python")
    [kept] = (Path(host.root) / "cache" / "pythons").iterdir()
    victim = plant_at(kept, plant, tmp_path)
    assert find_python(host, "3.9", "python") == first
    assert victim.read_text() == "precious"


def test_another_that_takes_its_place_is_asked(host, only):
    only("python3.9", "3.9.2")
    find_python(host, "3.9", "python")
    (Path(os.environ["PATH"]) / "python3.9").unlink()
    only("python3.9", "3.9.10")
    found = find_python(host, "3.9", "python")
    assert found is not None
    assert found.version == "3.9.10"


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "#!/nowhere\n", "\x00\x01"])
def test_what_is_no_interpreter_is_passed_over(host, only, tmp_path, content):
    only("python3", "3.9.2")
    broken = tmp_path / "bin" / "python3.9"
    broken.write_text(content)
    broken.chmod(0o755)
    found = find_python(host, "3.9", "python")
    assert found is not None
    assert found.path.endswith("python3")
