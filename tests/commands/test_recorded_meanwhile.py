"""Commands that look at a run while its driver, another process, records it and takes it out of the journal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.commands import driving, live_logs, looking
from amltool.commands.opening import Opened, open_project
from amltool.history.journal import JournalEntry
from amltool.run import RunStatus
from amltool.targets.drive import Drive
from amltool.targets.watcher import Silent
from tests.amltool_command import amltool, make_project

SCRIPT = """
import os, sys, time
with open("logs/log", "w") as stream:
    stream.write("logged")
print("begun", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
"""


class Console(Silent):
    """What a watcher was shown."""

    def __init__(self) -> None:
        self.shown = b""

    def console(self, content: bytes) -> None:
        self.shown += content


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """A project with a run that is recorded in the moment in which somebody wants to look at it."""
    folder, go = make_project(tmp_path / "project", {"train.py": SCRIPT}), tmp_path / "go"
    amltool(folder, "submit", "train.py", "--detach", "--", str(go))
    prepare = driving.prepare_drive

    def too_late(opened: Opened, entry: JournalEntry, *others: Any) -> Drive:
        go.touch()
        until = time.monotonic() + 120
        while entry.is_there and time.monotonic() < until:
            time.sleep(0.01)
        return prepare(opened, entry, *others)

    monkeypatch.setattr(driving, "prepare_drive", too_late)
    made = open_project(folder)
    [entry] = made.journal.entries()
    until = time.monotonic() + 120
    while not entry.is_driven() and time.monotonic() < until:  # by the process in the background
        time.sleep(0.01)
    return made


def test_who_waits_for_it_has_its_record_and_all_it_printed(opened: Opened) -> None:
    console = Console()
    assert looking.wait_for(opened, "@", console).record.status is RunStatus.COMPLETED
    assert console.shown == b"begun\n"


@pytest.mark.parametrize("follow", [True, False])
def test_who_reads_its_console_has_it_from_the_record(opened: Opened, follow: bool) -> None:
    assert b"".join(looking.console_of(opened, "@", follow=follow)) == b"begun\n"


def test_who_asks_for_its_files_is_told_those_of_the_record(opened: Opened) -> None:
    assert [each.path for each in live_logs.files_so_far(opened, "@")] == ["logs/log"]


def test_who_wants_its_logs_has_them(opened: Opened, tmp_path: Path) -> None:
    live_logs.keep_logs(opened, "@", tmp_path / "logs", follow=True, watcher=Silent())
    assert (tmp_path / "logs/logs/log").read_text() == "logged"


def test_who_cancels_it_is_told_how_it_ended(opened: Opened) -> None:
    found = looking.cancel_run(opened, "@")
    assert found is not None
    assert found.ended is not None


def test_who_lists_runs_sees_it_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    row = looking.unfinished_row

    def recorded_first(entry: JournalEntry) -> dict[str, Any]:
        driving.looked_at(opened, entry)
        return row(entry)

    monkeypatch.setattr(looking, "unfinished_row", recorded_first)
    found = looking.list_runs(opened)
    assert (len(found.runs), found.unfinished) == (1, [])


def test_a_run_that_another_process_finishes_is_no_trouble(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded_first(opened: Opened, entry: JournalEntry, **_: Any) -> None:
        driving.looked_at(opened, entry)
        entry.request()

    monkeypatch.setattr(driving, "go_on", recorded_first)
    assert driving.finish_ended(opened) == []


def test_a_run_that_is_recorded_and_still_in_the_journal_is_listed_once(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "print(1)\n"})
    amltool(folder, "submit", "train.py")
    made = open_project(folder)
    [run] = looking.list_runs(made).runs
    left = made.git.layout.journal_entry(run.run_id)
    left.mkdir()
    (left / "request.json").write_bytes(b"{}")
    with JournalEntry(left).driven():
        found = looking.list_runs(made)
    assert ([each.run_id for each in found.runs], found.unfinished) == ([run.run_id], [])


def test_a_folder_that_is_left_of_it_is_no_run_that_goes_on(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "print(1)\n"})
    amltool(folder, "submit", "train.py")
    [found] = json.loads(amltool(folder, "runs", "--json").stdout)
    left = JournalEntry(open_project(folder).git.layout.journal_entry(found["run_id"]))
    left.folder.mkdir()
    (left.folder / "lock").touch()

    assert not looking.is_running(left)
    assert not looking.stands_before_launch(left)
    assert amltool(folder, "logs", "-f", found["run_id"]).stdout == "1\n"
