"""Runs are recorded, found by any name they have, tagged, judged and deleted."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.history.history import History
from amltool.run import RunStatus, VerdictEvent, new_run_id, timestamp
from tests.history.conftest import START, MakeRecord


def test_a_history_without_runs_has_none(git: Git) -> None:
    assert History(git).runs() == []
    assert not git.layout.index.exists()


def test_a_recorded_run_comes_back_whole(git: Git, make_record: MakeRecord) -> None:
    record = make_record(arguments=["--name", "two\nlines", "\u202e", "ünï"])
    History(git).record([record], keep=[record.commit])

    found = History(git).run(record.run_id)

    assert found is not None
    assert found.record == record


def test_a_run_recorded_twice_is_there_once(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    history = History(git)
    history.record([record])
    history.record([record])

    assert [run.run_id for run in history.runs()] == [record.run_id]


def test_runs_are_listed_newest_first_and_no_more_than_asked(git: Git, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(5)]
    History(git).record(records)

    assert [run.run_id for run in History(git).runs(limit=2)] == [records[4].run_id, records[3].run_id]


def test_runs_of_one_second_are_ordered_by_their_milliseconds(git: Git, make_record: MakeRecord) -> None:
    moments = [START + timedelta(milliseconds=step) for step in (500, 20, 999, 3)]
    records = [make_record(run_id=new_run_id(git.head or "", now), created=timestamp(now)) for now in moments]
    History(git).record(records)

    newest_first = sorted(records, key=lambda record: record.created, reverse=True)
    assert [run.run_id for run in History(git).runs()] == [record.run_id for record in newest_first]


def test_a_status_keeps_the_others_out(git: Git, make_record: MakeRecord) -> None:
    good, bad = make_record(), make_record(status=RunStatus.FAILED)
    History(git).record([good, bad])

    assert [run.run_id for run in History(git).runs(status=RunStatus.FAILED)] == [bad.run_id]


@pytest.mark.parametrize("part", [slice(None), slice(0, 15), slice(-4, None)], ids=["id", "prefix", "suffix"])
def test_a_run_is_found_by_a_part_of_its_id(git: Git, make_record: MakeRecord, part: slice) -> None:
    record = make_record()
    History(git).record([record, make_record()])

    assert History(git).find(record.run_id[part]).run_id == record.run_id


def test_at_signs_count_from_the_newest(git: Git, make_record: MakeRecord) -> None:
    records = [make_record() for _ in range(3)]
    history = History(git)
    history.record(records)

    assert [history.find(name).run_id for name in ("@", "@1", "@2", "@3")] == [
        records[place].run_id for place in (2, 2, 1, 0)
    ]


@pytest.mark.parametrize("name", ["@0", "@-1", "@x", "@4", "@99999999999999999999", "@²", "", "zzzz", "%", "_", "'"])
def test_a_name_that_names_nothing_is_an_error_with_a_next_step(git: Git, make_record: MakeRecord, name: str) -> None:
    history = History(git)
    history.record([make_record() for _ in range(3)])

    with pytest.raises(UserError) as caught:
        history.find(name)

    assert caught.value.remedy


def test_a_name_of_several_runs_names_them(git: Git, make_record: MakeRecord) -> None:
    first, second = make_record(), make_record()
    History(git).record([first, second])

    with pytest.raises(UserError, match="names 2 runs") as caught:
        History(git).find("20261121")

    assert first.run_id in caught.value.what
    assert second.run_id in caught.value.what


def test_runs_of_a_commit_are_those_on_it_and_those_based_on_it(git: Git, make_record: MakeRecord) -> None:
    head = git.head or ""
    on_it, based, neither = make_record(), make_record(commit="c" * 40, base_commit=head), make_record(commit="d" * 40)
    History(git).record([on_it, based, neither])

    assert [run.run_id for run in History(git).runs_of_commit(head)] == [based.run_id, on_it.run_id]


def test_a_tag_is_set_changed_and_taken_away(git: Git, make_record: MakeRecord) -> None:
    record = make_record(tags={"kept": "yes"})
    history = History(git)
    history.record([record])

    history.tag(record.run_id, "stage", "draft")
    assert history.find("@").tags == {"kept": "yes", "stage": "draft"}
    history.tag(record.run_id, "stage", None)
    assert history.find("@").tags == {"kept": "yes"}


def test_a_verdict_shows_on_both_runs(git: Git, make_record: MakeRecord) -> None:
    original, rerun = make_record(), make_record(commit="e" * 40)
    history = History(git)
    history.record([original, rerun])
    event = VerdictEvent(run_id=original.run_id, rerun=rerun.run_id, at=timestamp(), verdict="reproduced")

    history.verdict(event)

    assert {run.run_id: run.verdicts for run in history.runs()} == {
        original.run_id: (event,),
        rerun.run_id: (event,),
    }


def test_a_deleted_run_is_listed_no_more_and_says_so(git: Git, make_record: MakeRecord) -> None:
    record, other = make_record(), make_record()
    history = History(git)
    history.record([record, other])

    history.delete(record.run_id)

    assert [run.run_id for run in history.runs()] == [other.run_id]
    assert history.run(record.run_id) is None
    assert history.find("@").run_id == other.run_id
    with pytest.raises(UserError, match="was deleted"):
        history.find(record.run_id)


def test_an_event_of_an_unknown_run_is_refused(git: Git) -> None:
    with pytest.raises(UserError, match="is not in the history"):
        History(git).tag("20261121T081502-3f9c2ab-k4qd", "key", "value")


def test_run_numbers_go_on_from_the_highest_known(git: Git, make_record: MakeRecord) -> None:
    History(git).record([make_record(run_number=41)])

    assert [History(git).next_run_number() for _ in range(3)] == [42, 43, 44]


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"many", b"9" * 50])
def test_a_damaged_run_number_file_is_no_obstacle(git: Git, make_record: MakeRecord, content: bytes) -> None:
    History(git).record([make_record(run_number=41)])
    git.layout.run_number.write_bytes(content)

    assert History(git).next_run_number() >= 42


def test_a_note_edited_by_hand_is_read_as_it_is_now(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    history = History(git)
    history.record([record])
    assert history.runs()

    subprocess.run(["git", "notes", "--ref=amltool/runs", "remove", git.head or ""], cwd=git.top, check=True)

    assert history.runs() == []


def test_a_note_that_git_copied_to_an_amended_commit_is_listed_once(git: Git, make_record: MakeRecord) -> None:
    record = make_record()
    History(git).record([record])
    for command in (
        ["commit", "-q", "--allow-empty", "--amend", "-m", "other"],
        ["notes", "--ref=amltool/runs", "copy", record.commit, "HEAD"],
    ):
        subprocess.run(["git", *command], cwd=git.top, check=True)

    assert [run.run_id for run in History(git).runs()] == [record.run_id]
    assert [run.run_id for run in History(git).runs_of_commit(record.commit)] == [record.run_id]
