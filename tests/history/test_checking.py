"""The check of the history names what is wrong, where, and what to do; it has nothing to say of a sound one."""

from __future__ import annotations

import os
import sqlite3
import subprocess

import pytest

from amltool.errors import DamagedError
from amltool.git.command import Git
from amltool.git.notes import append_lines
from amltool.history.checking import Fault, Finding, check
from amltool.history.history import History
from amltool.layout import NOTES_REF
from amltool.run import TagEvent, event_to_line, timestamp
from tests.history.conftest import MakeRecord


def faults(git: Git) -> list[Fault]:
    return [finding.fault for finding in check(git)]


def only(git: Git) -> Finding:
    (finding,) = check(git)
    assert finding.remedy
    return finding


def test_a_clone_without_a_history_is_sound(git: Git) -> None:
    assert check(git) == []


def test_a_sound_history_has_no_findings(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    history = History(git)
    history.record([record, make_record()], keep=[record.commit])
    history.tag(record.run_id, "stage", "draft")
    history.delete(record.run_id)

    assert check(git) == []


def test_a_damaged_line_is_named_by_commit_and_line_and_the_rest_is_listed(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    History(git).record([record], keep=[record.commit])
    append_lines(git, {record.commit: [b'{"v": 1, "event": "run", "run_id": 5}']})

    finding = only(git)

    assert (finding.fault, finding.commit, finding.line) == (Fault.DAMAGED_LINE, record.commit, 2)
    assert [run.run_id for run in History(git).runs()] == [record.run_id]


def test_no_control_character_of_a_foreign_line_is_in_a_message(git: Git, make_record: MakeRecord) -> None:
    record = make_record(source_directory="../\x1b[2J\u202e")
    append_lines(git, {record.commit: [event_to_line(record)]})

    assert all(finding.message.isprintable() and "\x1b" not in finding.message for finding in check(git))
    assert faults(git) == [Fault.DAMAGED_LINE]


def test_an_event_of_a_newer_amltool_is_worth_a_word_and_no_error(git: Git) -> None:
    append_lines(git, {git.head or "": [b'{"v":1,"event":"starred","run_id":"x"}']})

    assert only(git).fault is Fault.UNKNOWN_EVENT
    assert not only(git).fault.is_error


def test_a_snapshot_that_nothing_keeps_is_named(git: Git, make_record: MakeRecord) -> None:
    History(git).record([make_record()])

    assert only(git).fault is Fault.UNKEPT_SNAPSHOT


def test_a_snapshot_that_is_gone_is_named(git: Git, make_record: MakeRecord) -> None:
    record = make_record(commit="1" * 40)
    History(git).record([record])

    assert (only(git).fault, only(git).commit) == (Fault.MISSING_SNAPSHOT, record.commit)


def test_two_records_of_one_run_that_differ_are_named(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    History(git).record([record], keep=[record.commit])
    History(git).record([make_record(run_id=record.run_id, exit_code=1)])

    assert only(git).fault is Fault.TWO_RECORDS
    assert len(History(git).runs()) == 1


def test_a_record_on_another_commit_is_worth_a_word(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    History(git).record([record], keep=[record.commit])
    append_lines(git, {"2" * 40: [event_to_line(record)]})

    assert only(git).fault is Fault.WRONG_COMMIT


def test_an_event_of_a_run_that_is_not_here_is_worth_a_word(git: Git) -> None:
    event = TagEvent(run_id="20261121T081502-3f9c2ab-k4qd", at=timestamp(), key="stage", value="draft")
    append_lines(git, {git.head or "": [event_to_line(event)]})

    assert only(git).fault is Fault.NO_RECORD


def test_a_stale_lock_is_named(git: Git) -> None:
    lock = git.common_dir / f"{NOTES_REF}.lock"
    lock.parent.mkdir(parents=True)
    lock.write_bytes(b"")
    os.utime(lock, (1, 1))

    assert only(git).fault is Fault.STALE_LOCK


def test_an_index_that_says_something_else_is_named(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    History(git).record([record], keep=[record.commit])
    assert History(git).runs()
    with sqlite3.connect(git.layout.index) as connection:
        connection.execute("UPDATE runs SET status = 'Failed'")
    connection.close()

    assert only(git).fault is Fault.WRONG_INDEX


def test_a_note_whose_blob_is_gone_is_named_and_the_rest_is_listed(git: Git, make_record: MakeRecord) -> None:
    kept, lost = make_record(), make_record(commit="3" * 40)
    History(git).record([kept], keep=[kept.commit])
    History(git).record([lost])
    blob = subprocess.run(
        ["git", "notes", "--ref=amltool/runs", "list", lost.commit],
        cwd=git.top, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    (git.common_dir / "objects" / blob[:2] / blob[2:]).unlink()

    assert Fault.DAMAGED_NOTE in faults(git)
    assert [run.run_id for run in History(git).runs()] == [kept.run_id]


def test_notes_that_cannot_be_read_at_all_are_a_clear_error(git: Git) -> None:
    append_lines(git, {git.head or "": [b"line"]})
    tree = subprocess.run(
        ["git", "rev-parse", f"{NOTES_REF}^{{tree}}"], cwd=git.top, capture_output=True, text=True, check=True
    ).stdout.strip()
    (git.common_dir / "objects" / tree[:2] / tree[2:]).unlink()

    with pytest.raises(DamagedError, match="cannot be read"):
        check(git)
    with pytest.raises(DamagedError, match="cannot be read"):
        History(git).runs()
    with pytest.raises(DamagedError, match="not in the repository"):
        append_lines(git, {git.head or "": [b"more"]})
