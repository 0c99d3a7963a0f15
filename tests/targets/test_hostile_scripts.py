"""Whatever a script does to its run folder harms that run only: on this machine, as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project
from tests.hostile_scripts import FILES, hostile_script, seen_program, victim_program

A_FEW = 5
ALL = 75


def told(program: str, folder: Path) -> str:
    return subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True).stdout


def look_through(tmp_path: Path, home: Path, seeds: range) -> None:
    """Run hostile scripts in one project, the honest one after each."""
    victim = tmp_path / "victim"
    victim.mkdir()
    told(victim_program(), victim)
    hostile = {f"hostile{seed}.py": hostile_script(seed, str(victim), count=5) for seed in seeds}
    project = make_project(tmp_path / "project", {**FILES, **hostile})
    before = told(seen_program(), victim)
    for script in hostile:
        done = amltool(project, "submit", script, "--target", "local", check=False)
        assert done.returncode in (0, 1), f"{script}: {done.stdout}{done.stderr}"
        assert told(seen_program(), victim) == before, script
        honest = amltool(project, "submit", "train.py", "--target", "local", check=False)
        assert (honest.returncode, honest.stdout) == (0, "committed\n"), f"{script}: {honest.stderr}"
        assert told(seen_program(), victim) == before, script
    amltool(project, "clean", "--yes")
    assert told(seen_program(), victim) == before
    assert amltool(project, "runs", "--json").returncode == 0
    left = [path.name for path in (home / ".amltool/runs").iterdir()]
    assert [name for name in left if ".set-aside-" in name] == []


@pytest.mark.parametrize("first", range(0, 25, A_FEW))
def test_what_a_script_plants_is_never_followed(tmp_path: Path, isolated_home: Path, first: int) -> None:
    look_through(tmp_path, isolated_home, range(first, first + A_FEW))


@pytest.mark.torture
@pytest.mark.parametrize("first", range(1000, 1000 + ALL, 15))
def test_what_many_scripts_plant_is_never_followed(tmp_path: Path, isolated_home: Path, first: int) -> None:
    look_through(tmp_path, isolated_home, range(first, first + 15))
