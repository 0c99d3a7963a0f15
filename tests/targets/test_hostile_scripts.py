"""Whatever a script does to its run folder harms that run only: on this machine, as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amltool.hosts.local import LocalHost
from amltool.targets.library import install_library
from amltool.tracking import processes
from tests.amltool_command import amltool, make_project
from tests.environments.conftest import PLANTS
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


@pytest.mark.parametrize("name", ["lib", "cache", "environments", "turns"])
@pytest.mark.parametrize("plant", PLANTS)
def test_what_took_the_place_of_a_folder_in_the_root_is_set_aside(tmp_path, name, plant):
    host = LocalHost(tmp_path / "root")
    install_library(host)
    shutil.rmtree(tmp_path / "root" / name, ignore_errors=True)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "keep.txt").write_text("precious")
    place = tmp_path / "root" / name
    {"link": lambda: place.symlink_to(victim), "fifo": lambda: os.mkfifo(place), "folder": lambda: place.mkdir(0)}[
        plant
    ]()
    assert Path(install_library(host).bootstrap).is_file()
    assert not place.exists() or (place.is_dir() and not place.is_symlink() and place.stat().st_mode & 0o700 == 0o700)
    assert [one.name for one in victim.iterdir()] == ["keep.txt"]


@pytest.mark.parametrize("mode", [0, 0o500])
def test_what_travels_with_runs_is_put_there_again_where_a_script_took_it_away(tmp_path, mode):
    host = LocalHost(tmp_path / "root")
    bootstrap = Path(install_library(host).bootstrap)
    bootstrap.unlink()
    bootstrap.parent.chmod(mode)
    (tmp_path / "root").chmod(mode)
    assert Path(install_library(host).bootstrap).is_file()
