"""Runs that end otherwise than their user asked for: terminated on their host, or given up before they could start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from amltool.commands.driving import finish_ended
from amltool.commands.opening import open_project
from amltool.history.journal import JournalEntry
from tests.amltool_command import amltool, make_project
from tests.components.mounts import is_alive

ROOT = str(Path(__file__).resolve().parents[2])
DIES = """
import os, sys
from amltool.history import journal
keep = journal.Journal.add
def add(self, request):
    keep(self, request)
    os._exit(7)
journal.Journal.add = add
from amltool.__main__ import main
sys.argv = ["amltool", "submit", "train.py"]
main()
"""
UNANSWERED = """
import sys
from amltool.errors import TargetError
from amltool.launchers.process import ProcessLauncher
start = ProcessLauncher.start
def unanswered(self, host, launch):
    start(self, host, launch)
    raise TargetError("The start was not answered in time.", "Try again.")
ProcessLauncher.start = unanswered
from amltool.__main__ import main
sys.argv = ["amltool", "submit", "train.py"]
main()
"""
"""The run starts, and its host (which answers otherwise) does not say so."""
LONG = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"


def record(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(amltool(folder, "show", "@", "--json").stdout)
    return found


def test_a_run_that_something_else_terminates_says_so(tmp_path: Path, isolated_home: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": LONG})
    amltool(folder, "submit", "train.py", "--detach")
    [start] = isolated_home.glob(".amltool/runs/*/start.json")
    until = time.monotonic() + 120
    while b"begun" not in (start.parent / "console.log").read_bytes() and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(json.loads(start.read_bytes())["pid"], signal.SIGTERM)
    amltool(folder, "wait", "@", check=False)
    found = record(folder)
    assert (found["status"], found["reason"]) == ("Canceled", "terminated by something other than amltool")


def test_a_run_that_began_although_nobody_answered_its_start_is_ended_and_recorded(
    tmp_path: Path, isolated_home: Path
) -> None:
    folder = make_project(tmp_path / "project", {"train.py": LONG})
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", UNANSWERED], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert "The start was not answered in time." in done.stderr
    [start] = isolated_home.glob(".amltool/runs/*/start.json")
    process_id = json.loads(start.read_bytes())["pid"]
    amltool(folder, "wait", "@", check=False)
    assert record(folder)["status"] == "Canceled"
    until = time.monotonic() + 120  # its bootstrap is the last to end
    while is_alive(process_id) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(process_id)


def test_a_run_that_was_given_up_before_it_started_is_recorded_by_the_next_look(
    tmp_path: Path, isolated_home: Path
) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "print('never')\n"})
    amltool(folder, "submit", "train.py")
    [finished] = json.loads(amltool(folder, "runs", "--json").stdout)
    entry = stand_in_journal(folder, finished["run_id"])
    entry.ask_to_cancel("not started: the machine is unreachable")

    finish_ended(open_project(folder))

    found = json.loads(amltool(folder, "show", entry.run_id, "--json").stdout)
    assert (found["status"], found["reason"]) == ("Canceled", "not started: the machine is unreachable")
    assert not entry.folder.exists()
    assert not (isolated_home / ".amltool/runs" / entry.run_id).exists()


def stand_in_journal(folder: Path, like: str) -> JournalEntry:
    """A run in the journal that was only asked for, of a client that died before it did anything."""
    died = subprocess.run([sys.executable, "-c", DIES], cwd=folder, env={**os.environ, "PYTHONPATH": ROOT})
    assert died.returncode == 7
    [entry] = open_project(folder).journal.entries()
    assert entry.run_id != like
    return entry
