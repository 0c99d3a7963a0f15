"""Lines from others are taken only when they are what an amltool writes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from amltool.artifact import Metric
from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.notes import append_lines
from amltool.history.checking import check
from amltool.history.history import History
from amltool.history.validation import lines_of, read_event, read_indexed
from amltool.run import DeletedEvent, RunRecord, TagEvent, VerdictEvent, event_to_line
from tests.history.conftest import MakeRecord

AT = "2026-11-21T08:15:02.123Z"


def changed(record: RunRecord, **fields: Any) -> bytes:
    return json.dumps({**json.loads(event_to_line(record)), **fields}).encode()


def test_a_record_is_read_as_it_was_written(make_record: MakeRecord) -> None:
    record = make_record()

    assert read_event(event_to_line(record)) == record


def test_fields_of_a_newer_amltool_are_no_fault(make_record: MakeRecord) -> None:
    assert read_event(changed(make_record(), carbon={"kg": 1})) is not None


def test_an_event_of_an_unknown_kind_is_skipped(make_record: MakeRecord) -> None:
    assert read_event(b'{"v":1,"event":"starred","run_id":"x"}') is None
    assert read_event(changed(make_record(), v=2)) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"run_id": "../../etc/passwd"},
        {"run_id": "20261121T081502-3f9c2ab-k4qd\n"},
        {"commit": "HEAD"},
        {"commit": "--output=x"},
        {"commit": "A" * 40},
        {"tree": "main"},
        {"base_commit": "$(id)"},
        {"run_number": -1},
        {"run_number": 10**30},
        {"run_number": 10**12},
        {"status": "Unreachable"},
        {"created": "yesterday"},
        {"started": "0001-01-01T00:00:00Z"},
        {"started": ""},
        {"ended": "9999-12-31T23:59:59Z"},
        {"ended": "2026-02-30T00:00:00Z"},
        {"peak_memory": -5},
        {"started": "2026-11-21T08:15:02+00:00Z"},
        {"metrics": {"a": {"last": 1, "count": -1}}},
        {"script": "a\0b"},
        {"arguments": ["a"], "arguments_base64": ["a"]},
        {"arguments": ["a"], "arguments_base64": ["YQ==", "YQ=="]},
        {"artifacts": [{"path": "x", "size": 2**63, "sha256": "a" * 64}]},
        {"artifacts": {"count": 1, "bytes": 10**30, "sha256": "a" * 64, "path": "artifacts.json"}},
        {"rerun_of": "@"},
        {"source_directory": "../elsewhere"},
        {"source_directory": "/etc"},
        {"project": {"path": "a/../../b"}},
        {"artifacts": [{"path": "../x", "size": 1, "sha256": "a" * 64}]},
        {"artifacts": [{"path": "/x", "size": 1, "sha256": "a" * 64}]},
        {"artifacts": [{"path": "", "size": 1, "sha256": "a" * 64}]},
        {"artifacts": [{"path": "x\0", "size": 1, "sha256": "a" * 64}]},
        {"artifacts": [{"path": "x", "size": -1, "sha256": "a" * 64}]},
        {"artifacts": [{"path": "x", "size": 1, "sha256": "../../" + "a" * 58}]},
        {"artifacts": {"count": -1, "bytes": 1, "sha256": "a" * 64, "path": "artifacts.json"}},
        {"artifacts": {"count": 1, "bytes": 1, "sha256": "a" * 63, "path": "artifacts.json"}},
        {"artifacts": {"count": 1, "bytes": 1, "sha256": "a" * 64, "path": "../artifacts.json"}},
        {"omitted": [{"path": "a/..", "size": None, "reason": "large"}]},
        {"shared_folder": {"host_path": "/", "run_path": "/", "at_end": [{"path": "../x", "size": 1}]}},
    ],
    ids=lambda fields: json.dumps(fields)[:50],
)
def test_a_record_that_says_what_none_may_say_is_damaged(make_record: MakeRecord, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read_event(changed(make_record(), **fields))


def test_a_value_that_is_only_odd_is_replaced_and_its_run_stays(make_record: MakeRecord) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": [deep]}
    metrics = {"big": {"last": -(10**305), "count": 2**70, "min": 10**305}, "deep": {"last": deep, "count": 1}}
    line = changed(make_record(), exit_code=2**40, peak_memory=2**70, run_configuration_content=deep, metrics=metrics)

    for record in (read_event(line), read_indexed(line)):
        assert isinstance(record, RunRecord)
        assert (record.exit_code, record.peak_memory) == (None, None)
        assert record.metrics["big"] == Metric(last="-Infinity", count=2**63 - 1)
        assert "…" in str(record.metrics["deep"].last)
        assert len(str(record.run_configuration_content)) < 400


@pytest.mark.parametrize(
    "event",
    [
        TagEvent(run_id="20261121T081502-3f9c2ab-k4qd", at="now", key="a", value="b"),
        DeletedEvent(run_id="20261121T081502-3f9c2ab-k4qd", at=""),
        VerdictEvent(run_id="20261121T081502-3f9c2ab-k4qd", rerun="@", at=AT, verdict="differs"),
        VerdictEvent(run_id="20261121T081502-3f9c2ab-k4qd", rerun="20261121T081502-3f9c2ab-k4qd", at=AT, verdict="ok"),
    ],
    ids=lambda event: str(event)[:60],
)
def test_a_later_event_that_says_nonsense_is_damaged(event: TagEvent | DeletedEvent | VerdictEvent) -> None:
    with pytest.raises(ValueError):
        read_event(event_to_line(event))


def test_lines_are_given_with_the_offset_at_which_they_begin() -> None:
    content = b"one\n\n  \ntwo"

    assert list(lines_of(content)) == [(0, b"one"), (8, b"two")]
    assert all(content[start : start + len(line)] == line for start, line in lines_of(content))


def flip(line: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(line))
    return line[:place] + bytes([chance.randrange(256)]) + line[place + 1 :]


def cut(line: bytes, chance: random.Random) -> bytes:
    return line[: chance.randrange(1, len(line))]


def insert(line: bytes, chance: random.Random) -> bytes:
    piece = chance.choice([b"\x00", b"\x1b[2J", b"\xff\xfe", b"null", b"[" * 5000, b'"', b"1e999", b"\\ud800", b"-1"])
    place = chance.randrange(len(line))
    return line[:place] + piece + line[place:]


def replace_value(line: bytes, chance: random.Random) -> bytes:
    content = json.loads(line)
    content[chance.choice(sorted(content))] = chance.choice(
        [None, -1, 2**70, 1e308, "", "\x1b]0;x\x07", "..", [], {}, [[]], {"a": None}, True, "\u0000", ["x"] * 3]
    )
    return json.dumps(content).encode()


def drop_key(line: bytes, chance: random.Random) -> bytes:
    content = json.loads(line)
    del content[chance.choice(sorted(content))]
    return json.dumps(content).encode()


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, insert, replace_value, drop_key]


def test_whatever_a_line_is_turned_into_it_is_named_or_listed_and_nothing_breaks(
    git: Git, make_record: MakeRecord
) -> None:
    times = 10_000
    chance = random.Random(times)
    whole = make_record()
    lines = [event_to_line(whole), event_to_line(TagEvent(run_id=whole.run_id, at=AT, user="a", key="k", value="v"))]
    mutated = [chance.choice(MUTATIONS)(chance.choice(lines), chance).replace(b"\n", b"") for _ in range(times)]
    append_lines(git, {whole.commit: [lines[0], *(line for line in mutated if line.strip())]})

    history, findings = History(git), check(git)

    assert len(findings) > times // 3
    assert all(str(finding.message).isprintable() for finding in findings)
    assert whole.run_id in {run.run_id for run in history.runs()}
    assert all(run.to_json() for run in history.runs())
    assert history.find("@")
    with pytest.raises(UserError):
        history.find("x")
