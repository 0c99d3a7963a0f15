"""What `amltool show` says of a run that is not finished: how far it is, where, since when, and what it waits for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.commands.driving import prepare_drive
from amltool.commands.opening import open_project
from amltool.commands.unfinished import unfinished_row
from amltool.history.journal import JournalEntry, Step
from amltool.run import RunStatus, timestamp
from amltool.targets.base import drive
from amltool.targets.watcher import Silent
from tests.amltool_command import LOCAL, amltool, make_project
from tests.commands.test_ended_from_outside import DIES
from tests.repositories import git, write_files

ROOT = str(Path(__file__).resolve().parents[2])
SCRIPT = """
import os, sys, time
print("begun", flush=True)
until = time.monotonic() + 120
while os.path.exists(sys.argv[1]) and time.monotonic() < until:
    time.sleep(0.02)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Of one run at once."""
    compute = f"{LOCAL['aml_config/local.compute']}maxConcurrentRuns: 1\n"
    return make_project(tmp_path / "project", {"train.py": SCRIPT, "aml_config/local.compute": compute})


@pytest.fixture
def requested(project: Path) -> JournalEntry:
    """A run of which nothing was done yet, of a client that died."""
    subprocess.run([sys.executable, "-c", DIES], cwd=project, env={**os.environ, "PYTHONPATH": ROOT})
    [entry] = open_project(project).journal.entries()
    return entry


def start(folder: Path, hold: Path) -> str:
    done = amltool(folder, "submit", "train.py", "--detach", "--json", "--", str(hold), "a b")
    return str(json.loads(done.stdout)["run_id"])


def shown(folder: Path, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(amltool(folder, "show", run_id, "--json").stdout)
    return found


def test_a_run_that_goes_on_is_shown_with_all_that_is_known_of_it(project: Path, hold: Path) -> None:
    before = timestamp()
    write_files(project, {"train.py": f"{SCRIPT}# not committed\n"})
    run_id = start(project, hold)

    found = shown(project, run_id)

    assert (found["status"], found["script"], found["arguments"]) == ("Running", "train.py", [str(hold), "a b"])
    assert (found["target"], found["target_type"], found["host"]) == ("local", "local", os.uname().nodename)
    assert (found["dirty"], found["base_commit"]) == (True, git(project, "rev-parse", "HEAD").strip())
    assert before <= found["created"] <= found["since"] <= timestamp()
    assert (found["waits_for"], found["cancel_asked"], found["note"]) == (None, False, "")
    assert found["logs"] == f"amltool logs -f {run_id}"


def test_people_read_the_same_in_a_few_lines(project: Path, hold: Path) -> None:
    run_id = start(project, hold)
    lines = amltool(project, "show", run_id).stdout.splitlines()
    words = {line[2:20].strip(): line[21:] for line in lines[1:]}
    assert lines[0] == f"Run {run_id} (number 1): Running"
    assert words["target"] == f"local (local) on {os.uname().nodename}"
    assert words["script"] == f"train.py {hold} 'a b'"
    assert words["commit"] == git(project, "rev-parse", "HEAD").strip()
    assert words["live logs"] == f"amltool logs -f {run_id}"
    assert {"Running since", "asked for"} <= words.keys()


def test_a_queued_run_says_behind_which_others_it_waits(project: Path, hold: Path) -> None:
    running, second, third = (start(project, hold) for _ in range(3))
    until = time.monotonic() + 120
    while (found := shown(project, third))["waits_for"].count(",") < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert (found["status"], found["started"]) == ("Queued", None)
    assert found["waits_for"] == f"its turn on local (maxConcurrentRuns), behind {running}, {second}"
    amltool(project, "cancel", third)
    amltool(project, "cancel", second)


def test_a_run_whose_first_step_is_under_way_is_being_prepared(requested: JournalEntry) -> None:
    with requested.driven():
        row = unfinished_row(requested)
    assert (row["status"], row["waits_for"]) == (RunStatus.PREPARING, "its execution environment")
    assert row["since"] == row["created"]


def test_a_run_that_nobody_drives_says_how_to_go_on_and_waits_for_nothing(requested: JournalEntry) -> None:
    state = requested.state()
    requested.save(type(state)(step=Step.PLACED, status=RunStatus.QUEUED, waits_for="its turn, when it had a driver"))
    row = unfinished_row(requested)
    assert (row["status"], row["waits_for"]) == (RunStatus.QUEUED, None)
    assert row["note"] == f"interrupted; go on with: amltool wait {requested.run_id}"


def test_a_run_whose_end_is_collected_says_so(requested: JournalEntry) -> None:
    requested.save(type(requested.state())(step=Step.ENDED, status=RunStatus.FINALIZING))
    with requested.driven():
        row = unfinished_row(requested)
    assert (row["status"], row["waits_for"]) == (RunStatus.FINALIZING, "its outputs and logs to be collected")


def test_that_we_cannot_look_where_it_runs_is_said_and_is_no_error(project: Path, hold: Path) -> None:
    run_id = start(project, hold)
    found = subprocess.run(
        ["pgrep", "-f", f"background {project} {run_id}"], capture_output=True, text=True, check=True
    )
    for driver in found.stdout.split():
        os.kill(int(driver), signal.SIGKILL)
    request = project / ".git/amltool/runs" / run_id / "request.json"
    request.write_text(json.dumps({**json.loads(request.read_bytes()), "compute": "type: nowhere\n"}))
    row = shown(project, run_id)
    assert (row["status"], row["host"]) == ("Running", os.uname().nodename)
    assert "nowhere" in row["waits_for"]


def test_what_a_driver_that_died_waited_for_is_forgotten_by_the_next(requested: JournalEntry, project: Path) -> None:
    requested.save(type(requested.state())(waits_for="an answer: it is unreachable"))
    opened = open_project(project)
    with requested.driven():
        run = prepare_drive(opened, requested, Silent())
        drive(run, until=Step.REQUESTED)
        row = unfinished_row(requested)
    assert row["waits_for"] == "its execution environment"


def test_a_cancel_that_is_still_to_come_is_shown(requested: JournalEntry) -> None:
    requested.save(type(requested.state())(step=Step.LAUNCHED, status=RunStatus.RUNNING))
    requested.ask_to_cancel()
    row = unfinished_row(requested)
    assert (row["cancel_asked"], row["waits_for"]) == (True, "its end: a cancel is asked for")


@pytest.mark.parametrize("content", [b"{", b'{"v": 99}'])
def test_a_damaged_entry_is_a_sentence_with_what_to_do(requested: JournalEntry, project: Path, content: bytes) -> None:
    (requested.folder / "request.json").write_bytes(content)
    done = amltool(project, "show", requested.run_id, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert len(done.stderr.splitlines()) == 2
