"""A cancel and an end that meet: the record says which of them it was, and whoever asked is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from amltool.commands.opening import open_project
from amltool.history.journal import JournalEntry
from tests.amltool_command import amltool, make_project
from tests.components.mounts import is_alive
from tests.waiting import wait_until

WAIT_S = 60.0

SCRIPT = """
import os, sys, time
print("begun", flush=True)
until = time.monotonic() + 120
while os.path.exists(sys.argv[1]) and time.monotonic() < until:
    time.sleep(0.02)
sys.exit(int(sys.argv[2]))
"""
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("begun", flush=True)
time.sleep(600)
"""
ENDED_FIRST = "it had ended by itself before the cancel reached it"


class Left:
    """A run whose driver died."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        done = amltool(folder, "submit", words[0], "--detach", "--json", "--", *words[1:])
        self.run_id = str(json.loads(done.stdout)["run_id"])
        self.place = Path.home() / ".amltool/runs" / self.run_id
        command = f"amltool.tasks.background {folder} {self.run_id}"
        found = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=True)
        for driver in found.stdout.split():
            os.kill(int(driver), signal.SIGKILL)
        wait_until(lambda: not self.entry.is_driven(), WAIT_S)
        wait_until(lambda: b"begun" in (self.place / "console.log").read_bytes(), WAIT_S)

    @property
    def entry(self) -> JournalEntry:
        [entry] = open_project(self.folder).journal.entries()
        return entry

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(amltool(self.folder, "show", self.run_id, "--json").stdout)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SCRIPT, "polite.py": POLITE})


@pytest.mark.parametrize(("exit_code", "status"), [(0, "Completed"), (7, "Failed")])
def test_a_run_that_had_ended_when_its_cancel_came_is_recorded_as_it_ended(
    project: Path, hold: Path, exit_code: int, status: str
) -> None:
    left = Left(project, "train.py", str(hold), str(exit_code))
    left.entry.ask_to_cancel()
    hold.unlink()
    wait_until((left.place / "exit.json").exists, 60.0)

    listed = amltool(project, "runs")

    assert listed.stderr == f"Run {left.run_id} was to be canceled; it is {status}: {ENDED_FIRST}.\n"
    record = left.record
    assert (record["status"], record["exit_code"], record["reason"]) == (status, exit_code, ENDED_FIRST)
    done = amltool(project, "wait", left.run_id, check=False)
    assert (done.returncode, ENDED_FIRST in done.stderr) == (exit_code, True)


def test_who_cancels_a_run_that_just_ended_is_told_that_it_was_too_late(project: Path, hold: Path) -> None:
    left = Left(project, "train.py", str(hold), "0")
    hold.unlink()
    wait_until((left.place / "exit.json").exists, 60.0)

    done = amltool(project, "cancel", left.run_id, check=False)

    assert done.returncode == 1
    assert "The cancel came too late." in done.stderr
    assert f"Completed: {ENDED_FIRST}" in done.stderr
    assert left.record["status"] == "Completed"


def test_a_run_that_a_cancel_ended_is_canceled_also_if_its_script_then_exits_with_zero(project: Path) -> None:
    left = Left(project, "polite.py")
    done = amltool(project, "cancel", left.run_id)
    record = left.record
    assert (record["status"], record["exit_code"], record["reason"]) == ("Canceled", 0, "canceled")
    assert "canceled successfully" in done.stderr


def test_a_cancel_that_was_left_for_later_is_done_by_the_next_command_that_looks(project: Path) -> None:
    left = Left(project, "polite.py")
    process_id = json.loads((left.place / "start.json").read_bytes())["pid"]
    left.entry.ask_to_cancel()

    assert json.loads(amltool(project, "show", left.run_id, "--json").stdout)["cancel_asked"] is True

    wait_until(lambda: not open_project(project).journal.entries(), WAIT_S)
    assert left.record["status"] == "Canceled"
    assert not is_alive(process_id)


def test_a_run_whose_bootstrap_was_killed_before_its_cancel_came_is_failed(project: Path) -> None:
    left = Left(project, "polite.py")
    process_id = json.loads((left.place / "start.json").read_bytes())["pid"]
    os.kill(process_id, signal.SIGKILL)
    wait_until(lambda: not is_alive(process_id), WAIT_S)

    done = amltool(project, "cancel", left.run_id, check=False)

    assert (done.returncode, "the bootstrap was killed" in done.stderr) == (1, True)
    assert (left.record["status"], left.record["reason"]) == ("Failed", "the bootstrap was killed")
