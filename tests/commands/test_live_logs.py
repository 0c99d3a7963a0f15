"""`logs` of a run that goes on, on this machine: what there is, one file, and a folder that grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TRAIN = """
import os, time
os.makedirs("logs/tb")
for number in range(1, 10_000):
    for name in ("train.log", "tb/events"):
        with open("logs/" + name, "a") as stream:
            stream.write("step %d\\n" % number)
    if os.path.exists("outputs/stop") or number == 6000:
        break
    if number == 3:
        open("outputs/model", "w").write("model")
        print("three", flush=True)
    time.sleep(0.1)
open("logs/train.log", "r+").write("STEP")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": TRAIN})


@pytest.fixture
def run_id(project: Path) -> str:
    made: str = json.loads(amltool(project, "submit", "train.py", "--detach", "--json").stdout)["run_id"]
    wait_until(lambda: "three" in amltool(project, "logs", made).stdout)
    return made


def stop(home: Path, run_id: str) -> None:
    (home / ".amltool/runs" / run_id / "work/outputs/stop").write_text("")


def test_the_files_of_a_run_are_listed_while_it_goes_on_and_after(
    project: Path, run_id: str, isolated_home: Path
) -> None:
    live = {each["path"]: each["size"] for each in json.loads(amltool(project, "logs", "--list", "--json").stdout)}
    assert set(live) == {"logs/tb/events", "logs/train.log", "outputs/model"}
    assert live["outputs/model"] == 5
    assert "logs/tb/events" in amltool(project, "logs", run_id, "--list").stdout
    stop(isolated_home, run_id)
    assert amltool(project, "wait", run_id).returncode == 0
    after = json.loads(amltool(project, "logs", "--list", "--json").stdout)
    assert {each["path"] for each in after} == {*live, "outputs/stop"}


def test_one_file_is_shown_until_now_and_followed_to_its_end(project: Path, run_id: str, isolated_home: Path) -> None:
    assert amltool(project, "logs", run_id, "--path", "logs/tb/events").stdout.startswith("step 1\nstep 2\n")
    words = [sys.executable, "-m", "amltool", "logs", "-f", run_id, "--path", "logs/tb/events"]
    follower = subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, env=environment(), text=True)
    assert follower.stdout is not None
    assert follower.stdout.readline() == "step 1\n"
    stop(isolated_home, run_id)
    followed = "step 1\n" + follower.stdout.read()
    assert follower.wait(120) == 0
    assert amltool(project, "wait", run_id).returncode == 0
    assert followed == amltool(project, "logs", run_id, "--path", "logs/tb/events").stdout


def test_a_file_that_is_not_there_or_none_is_a_sentence(project: Path, run_id: str, isolated_home: Path) -> None:
    missing = amltool(project, "logs", run_id, "--path", "logs/nothing", check=False)
    assert (missing.returncode, "has no logs/nothing yet" in missing.stderr) == (1, True)
    outside = amltool(project, "logs", run_id, "--path", "../../../secret", check=False)
    assert (outside.returncode, "no file under logs/ or outputs/" in outside.stderr) == (1, True)
    stop(isolated_home, run_id)
    amltool(project, "wait", run_id)


def test_logs_grow_in_a_folder_here_and_end_as_they_were_recorded(
    project: Path, run_id: str, isolated_home: Path, tmp_path: Path
) -> None:
    into = tmp_path / "board"
    words = [sys.executable, "-m", "amltool", "logs", run_id, "-f", "--to", str(into)]
    follower = subprocess.Popen(words, cwd=project, env=environment())
    wait_until((into / "logs/tb/events").exists)
    size = (into / "logs/tb/events").stat().st_size
    wait_until(lambda: (into / "logs/tb/events").stat().st_size > size)
    stop(isolated_home, run_id)
    assert follower.wait(120) == 0
    assert (into / "logs/train.log").read_text().startswith("STEP 1\nstep 2\n"), "also what was written over"
    assert (into / "logs/tb/events").read_text() == amltool(project, "logs", "--path", "logs/tb/events").stdout

    assert amltool(project, "logs", run_id, "--to", str(into)).returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("mine")
    refused = amltool(project, "logs", run_id, "--to", str(other), check=False)
    assert (refused.returncode, "is not empty" in refused.stderr) == (1, True)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
