"""The index answers as the notes say, whatever happened to it or to them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import amltool
from amltool.git.command import Git
from amltool.git.notes import append_lines
from amltool.git.refs import tip_of
from amltool.history.history import History
from amltool.history.index import Index
from amltool.history.rows import Rows
from amltool.layout import HISTORY_REF, NOTES_REF
from amltool.run import DeletedEvent, RunEvent, RunRecord, RunStatus, TagEvent, VerdictEvent, event_to_line
from tests.history.conftest import MakeRecord


def assert_equal_to_one_made_anew(git: Git) -> None:
    index = Index(git)
    kept = index.ask(lambda rows: list(rows.content()))
    assert kept == list(Rows(index.rebuilt(tip_of(git, NOTES_REF) or "")).content())


def listed(git: Git) -> list[str]:
    return [run.run_id for run in History(git).runs()]


def is_fresh_on_disk(git: Git) -> bool:
    connection = sqlite3.connect(git.layout.index)
    try:
        return Rows(connection).tip() == tip_of(git, NOTES_REF)
    finally:
        connection.close()


COMMITS = ["a" * 40, "b" * 40, "ab" * 20]
RUN_IDS = [f"20261121T08150{second}-{commit[:7]}-aaaa" for second in range(3) for commit in COMMITS]


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    run_id, at = draw(st.sampled_from(RUN_IDS)), draw(st.sampled_from(["2026-11-21T08:15:02.000Z", "2027-01-01"]))
    commit = draw(st.sampled_from(COMMITS))
    events: list[RunEvent] = [
        RunRecord(run_id=run_id, status=RunStatus.COMPLETED, commit=commit, created=at),
        RunRecord(run_id=run_id, status=RunStatus.FAILED, commit=commit, base_commit="c" * 40, run_number=7),
        TagEvent(run_id=run_id, at=at, key="stage", value=draw(st.none() | st.text(max_size=3))),
        VerdictEvent(run_id=run_id, rerun=RUN_IDS[0], at=at, verdict="differs"),
        DeletedEvent(run_id=run_id, at=at),
    ]
    event = draw(st.sampled_from(events))
    damaged = draw(st.sampled_from([None, b"{", b'{"v":9,"event":"run"}', b"plain words"]))
    return damaged or event_to_line(event)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(st.sampled_from(COMMITS), st.lists(lines(), min_size=1, max_size=3)), max_size=5))
def test_kept_up_to_date_it_equals_one_made_anew(additions: list[dict[str, list[bytes]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "-q", folder], check=True)
        top = Path(folder)
        git = Git(top, top / ".git", top / ".git", None)
        for addition in additions:
            append_lines(git, addition)
            assert_equal_to_one_made_anew(git)


def test_it_follows_a_history_that_was_rewritten(git: Git, make_record: MakeRecord) -> None:
    first, second = make_record(), make_record()
    History(git).record([first])
    old = git.ref(NOTES_REF) or ""
    History(git).record([second])
    assert len(listed(git)) == 2

    for ref in (NOTES_REF, HISTORY_REF):
        subprocess.run(["git", "update-ref", ref, old], cwd=git.top, check=True)

    assert listed(git) == [first.run_id]
    assert_equal_to_one_made_anew(git)


def test_it_is_made_anew_when_the_tip_it_knows_is_gone(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    History(git).record([record])
    assert listed(git)
    with sqlite3.connect(git.layout.index) as connection:
        connection.execute("UPDATE tip SET oid = ?", ("9" * 40,))
        connection.execute("UPDATE runs SET run_id = 'wrong'")
    connection.close()

    assert listed(git) == [record.run_id]
    assert_equal_to_one_made_anew(git)


def test_it_is_emptied_when_the_notes_are_removed(git: Git, make_record: MakeRecord) -> None:
    History(git).record([make_record()])
    assert listed(git)

    for ref in (NOTES_REF, HISTORY_REF):  # one alone is put back: a fetch that prunes removes it, too
        subprocess.run(["git", "update-ref", "-d", ref], cwd=git.top, check=True)

    assert listed(git) == []


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "hole", "removed", "schema", "table", "folder"])
def test_a_damaged_index_loses_nothing(git: Git, make_record: MakeRecord, damage: str) -> None:
    records = [make_record() for _ in range(40)]
    History(git).record(records)
    whole = listed(git)
    path = git.layout.index
    content = path.read_bytes()

    if damage == "garbage":
        path.write_bytes(os.urandom(9000))
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "hole":
        path.write_bytes(content[:8192] + b"\0" * (len(content) - 8192))
    elif damage == "removed":
        path.unlink()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        statement = "PRAGMA user_version = 99" if damage == "schema" else "DROP TABLE runs"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(statement)
        connection.close()

    assert listed(git) == whole == [record.run_id for record in reversed(records)]
    assert [run.run_id for run in History(git).runs(limit=3)] == whole[:3]
    assert damage == "folder" or is_fresh_on_disk(git)


def test_an_index_that_cannot_be_written_is_made_in_memory(
    git: Git, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record()
    History(git).record([record])

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(Index, "_bring_up_to_date", refuse)

    assert listed(git) == [record.run_id]


def test_a_question_asked_while_another_process_updates_is_answered(git: Git, make_record: MakeRecord) -> None:
    first, second = make_record(), make_record()
    History(git).record([first])
    assert listed(git)
    other = sqlite3.connect(git.layout.index, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM runs")
    try:
        assert listed(git) == [first.run_id]
    finally:
        other.execute("ROLLBACK")
        other.close()
    History(git).record([second])
    assert listed(git) == [second.run_id, first.run_id]


READER = """
import sys
from pathlib import Path
from amltool.git.command import Git
from amltool.history.history import History
history = History(Git.at(Path(sys.argv[1])))
least = 0
for _ in range(40):
    runs = len(history.runs())
    assert runs >= least, (runs, least)
    least = runs
"""
WAITING = "Waiting for the run history, kept locked by "
"""What a reader may say on a busy machine, to whom the writer's turns come first for long."""


def test_readers_beside_a_writer_never_fail_nor_go_back(git: Git, make_record: MakeRecord) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(amltool.__file__).parents[1])}
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(git.top)], env=environment, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    history = History(git)
    for count in range(30):
        history.record([make_record()])
        if count % 10 == 5:
            git.layout.index.unlink(missing_ok=True)

    said = [reader.communicate()[1].decode() for reader in readers]
    failures = [line for each in said for line in each.splitlines() if not line.startswith(WAITING)]

    assert (failures, [reader.returncode for reader in readers]) == ([], [0] * 4)
    assert_equal_to_one_made_anew(git)


def test_a_history_copied_elsewhere_without_its_index_is_the_same(git: Git, make_record: MakeRecord) -> None:
    History(git).record([make_record() for _ in range(3)])
    whole = listed(git)
    elsewhere = git.top.with_name("copy")
    shutil.copytree(git.top, elsewhere)
    shutil.rmtree(elsewhere / ".git" / "amltool")

    assert listed(Git.at(elsewhere)) == whole
