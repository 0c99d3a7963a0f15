"""Events: JSON lines and back, and how they fold into a run."""

from __future__ import annotations

import json
import os
import random
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.artifact import Entry, fold_entries, read_entries
from amltool.run import (
    DeletedEvent,
    RunRecord,
    RunStatus,
    TagEvent,
    VerdictEvent,
    encoded_arguments,
    event_from_line,
    event_to_line,
    fold,
    new_run_id,
    parse_timestamp,
    timestamp,
)

RUN = "20261121T081502-3f9c2ab-k4qd"
OTHER = "20261121T081503-3f9c2ab-aaaa"


def record(**changes: object) -> RunRecord:
    return RunRecord(run_id=RUN, status=RunStatus.COMPLETED, **changes)  # type: ignore[arg-type]


def test_a_record_is_one_line_of_json_and_comes_back_equal() -> None:
    line = event_to_line(record(script="a\nb.py", arguments=["", "x y", "ü"]))
    assert b"\n" not in line
    assert json.loads(line)["event"] == "run"
    assert event_from_line(line) == record(script="a\nb.py", arguments=["", "x y", "ü"])


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\0" not in b), max_size=5))
@settings(max_examples=100)
def test_arguments_come_back_byte_for_byte(arguments: list[bytes]) -> None:
    given_arguments = [os.fsdecode(argument) for argument in arguments]
    made = record(**encoded_arguments(given_arguments))
    back = event_from_line(event_to_line(made))
    assert isinstance(back, RunRecord)
    assert back.exact_arguments() == given_arguments


def test_unknown_fields_do_no_harm_and_unknown_events_are_skipped() -> None:
    line = event_to_line(record())[:-1] + b',"from_the_future":{"x":1}}'
    assert event_from_line(line) == record()
    assert event_from_line(b'{"v":1,"event":"annotated","run_id":"x"}') is None
    assert event_from_line(b'{"v":9,"event":"run","shape":"new"}') is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"v":1}',
        b'{"v":1,"event":"run"}',
        b"\xff",
        b'{"v":1,"event":"tag","run_id":"../x","at":"","key":"a"}',
    ],
)
def test_a_damaged_line_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        event_from_line(line)


EVENTS = [
    TagEvent(run_id=RUN, at="2026-01-01T00:00:02.000Z", key="stage", value="best"),
    TagEvent(run_id=RUN, at="2026-01-01T00:00:01.000Z", key="stage", value="candidate"),
    TagEvent(run_id=RUN, at="2026-01-01T00:00:03.000Z", key="gone", value=None),
    TagEvent(run_id=OTHER, at="2026-01-01T00:00:09.000Z", key="stage", value="other"),
    VerdictEvent(run_id=RUN, rerun=OTHER, at="2026-01-01T00:00:04.000Z", verdict="reproduced"),
]


@pytest.mark.parametrize("seed", range(10))
def test_folding_does_not_depend_on_the_order_of_lines(seed: int) -> None:
    events = EVENTS * 2
    random.Random(seed).shuffle(events)
    folded = fold(record(tags={"gone": "x"}), events)
    assert folded.tags == {"stage": "best"}
    assert [event.rerun for event in folded.verdicts] == [OTHER]
    assert not folded.deleted


def test_a_tombstone_wins_over_everything() -> None:
    assert fold(record(), [*EVENTS, DeletedEvent(run_id=RUN, at="2020-01-01T00:00:00.000Z")]).deleted


def test_a_run_id_sorts_by_time_and_names_its_commit() -> None:
    early = new_run_id("3f9c2ab" + "0" * 33, datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert early.startswith("20260101T000000-3f9c2ab-")
    assert early < new_run_id("0" * 40, datetime(2026, 1, 2, tzinfo=timezone.utc))


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 21, 8, 15, 2, 123456, tzinfo=timezone.utc)
    assert timestamp(moment) == "2026-11-21T08:15:02.123Z"
    assert parse_timestamp("2026-11-21T08:15:02.123Z") == moment.replace(microsecond=123000)


def test_a_name_logged_twice_is_a_series_and_only_numbers_have_bounds() -> None:
    tracked = fold_entries(
        [
            Entry("metric", "loss", 2.0), Entry("metric", "loss", 1), Entry("metric", "loss", "NaN"),
            Entry("metric", "word", "good"), Entry("list", "curve", [1, 2]), Entry("parameter", "lr", 0.1),
            Entry("tag", "stage", None), Entry("metric", "flag", True),
        ]
    )  # fmt: skip
    assert (tracked.metrics["loss"].last, tracked.metrics["loss"].min, tracked.metrics["loss"].count) == ("NaN", 1, 3)
    assert tracked.metrics["word"].min is None
    assert tracked.metrics["curve"].last == [1, 2]
    assert tracked.metrics["flag"].max is None
    assert tracked.parameters == {"lr": "0.1"}
    assert tracked.tags == {"stage": ""}


def test_what_is_no_entry_in_metrics_jsonl_is_counted_and_the_rest_kept() -> None:
    content = b'{"v":1,"at":"","kind":"metric","name":"a","value":1,"step":null}\nrubbish\n\n{"kind":1}\n\xff\n'
    entries, damaged = read_entries(content)
    assert [entry.name for entry in entries] == ["a"]
    assert damaged == 3
