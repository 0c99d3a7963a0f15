"""Whatever a script does to its run folder harms that run only: on this machine, as a process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amltool.tracking import processes
from tests.amltool_command import amltool, make_project
from tests.hostile_scripts import FILES, hostile_script, seen_program, victim_program

A_FEW = 5
ALL = 75


def told(program: str, folder: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True
    ).stdout


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


ESCAPES = """
import json, os, signal, sys, time
bootstrap = os.getppid()
if os.fork() == 0:
    os.setsid()
    with open(sys.argv[1], "w") as stream:
        stream.write(str(os.getpid()))
    os.kill(bootstrap, signal.SIGKILL)
    with open("../exit.json.new", "w") as stream:
        json.dump({"v": 1, "exit_code": 0, "ended": "2026-11-30T00:00:00.000Z"}, stream)
    os.rename("../exit.json.new", "../exit.json")
    while True:
        time.sleep(0.05)
        for folder in os.listdir("../.."):
            try:
                with open(f"../../{folder}/work/train.py", "w") as stream:
                    stream.write("print('EVIL')")
            except OSError:
                pass
time.sleep(300)
"""


def test_a_run_that_only_says_that_it_ended_is_ended_and_its_folder_is_nobodys(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    project = make_project(tmp_path / "project", {**FILES, "escapes.py": ESCAPES})
    amltool(project, "submit", "escapes.py", "--target", "local", "--", str(pid_file), check=False)
    seen = processes.process(int(pid_file.read_text()))
    assert seen is None or not seen.is_alive
    assert list((project / ".git/amltool/folders").glob("*/*")) == []
    honest = amltool(project, "submit", "train.py", "--target", "local")
    assert honest.stdout == "committed\n"


def test_a_run_that_a_client_of_before_left_in_its_folder_is_finished_and_cleaned(
    tmp_path: Path, isolated_home: Path
) -> None:
    """Its marks lay inside of the folder, and the journal knew less."""
    project = make_project(tmp_path / "project", FILES)
    run_id = json.loads(amltool(project, "submit", "train.py", "--target", "local", "--json").stdout)["run_id"]
    marks, folder = (isolated_home / ".amltool" / name / run_id for name in ("marks", "runs"))
    (marks / "released.json").rename(folder / "released.json")
    shutil.rmtree(marks)
    shutil.rmtree(project / ".git/amltool/folders")

    honest = amltool(project, "submit", "train.py", "--target", "local")

    assert honest.stdout == "committed\n"
    assert folder.exists(), "it is not used again"
    amltool(project, "clean", "--yes")
    assert not folder.exists()
