"""The end of a run as its folder tells it: whatever stands there, the record is one that every command can read."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.history.validation import read_event
from amltool.hosts.local import LocalHost
from amltool.launchers.exit_file import LONGEST_EXIT, NO_OBJECT, UNREADABLE, exit_at, exit_in, exit_of, unreadable_at
from amltool.layout import RunFolder
from amltool.run import Exit, RunRecord, RunStatus, event_to_line
from amltool.targets.canceling import with_times
from amltool.text import harmless

FIELDS = ["exit_code", "signal", "reason", "canceled", "started", "ended", "duration_s", "peak_memory"]
TIMES = ["", "x", "2026-11-30T10:00:00.000Z", "2026-11-30\x1b10:00:00", "0001-01-01", "9998-12-31T23:59:59-23:59"]
TEXTS = st.one_of(
    st.text(), st.sampled_from([*TIMES, "SIGKILL", "SIGRTMIN+3", "SIG999", "K\x1b]0;owned\x07", "\ud800", "a" * 9000])
)
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([-1, 0, 255, 256, 10**400, 1 << 63, 1e308, float("nan"), float("inf")])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ENDS = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=5)), VALUES, max_size=9)


def record(end: Exit) -> RunRecord:
    end = with_times(end, "2026-11-30T10:00:00.000Z")
    fields = {name: getattr(end, name) for name in (*FIELDS,) if name != "canceled"}
    return RunRecord(
        run_id="20261121T081502-3f9c2ab-k4qd",
        status=RunStatus.FAILED,
        commit="3f9c2ab" + "0" * 33,
        created="2026-11-30T10:00:00.000Z",
        **fields,
    )


def check(end: Exit) -> None:
    line = event_to_line(record(end))
    assert len(line) < 16_000
    found = read_event(line)
    assert isinstance(found, RunRecord)
    assert end.exit_code is None or 0 <= end.exit_code <= 255
    for text in (end.signal, end.reason, end.started, end.ended):
        assert text is None or text == harmless(text)
    assert msgspec.json.decode(msgspec.json.encode(end), type=Exit) == end


@settings(max_examples=500, deadline=None)
@given(ENDS)
def test_any_object_gives_a_record_that_the_history_takes(said: dict[str, Any]) -> None:
    check(exit_of(said))
    end = exit_in(json.dumps(said).encode("ascii"))
    if end is not None:
        check(end)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_give_an_end_or_none(content: bytes) -> None:
    end = exit_in(content)
    if end is not None:
        check(end)


def test_what_our_bootstrap_writes_is_taken_as_it_is() -> None:
    end = Exit(
        exit_code=3,
        reason="time-out after 5 s",
        started="2026-11-30T10:00:00.000Z",
        ended="2026-11-30T10:00:01.500Z",
        duration_s=1.5,
        peak_memory=1 << 30,
    )
    assert exit_in(msgspec.json.encode(end)) == end


@pytest.mark.parametrize(
    ("said", "odd"),
    [
        ('"started":"x"', "started"),
        ('"ended":""', "ended"),
        ('"peak_memory":-5', "peak_memory"),
        ('"exit_code":300', "exit_code"),
        ('"exit_code":"x"', "exit_code"),
        ('"exit_code":true', "exit_code"),
        ('"signal":"SIG999"', "signal"),
        ('"duration_s":1e999', "duration_s"),
        ('"duration_s":NaN', "duration_s"),
        ('"canceled":1', "canceled"),
        ('"peak_memory":1' + "0" * 400, "peak_memory"),
    ],
)
def test_a_value_that_cannot_be_is_dropped_alone_and_named(said: str, odd: str) -> None:
    end = exit_in(b'{"exit_code":0,"peak_memory":7,%s}' % said.encode())
    assert end is not None
    assert end.reason == f"{UNREADABLE}: {odd}"
    assert getattr(end, odd) in (None, False)
    assert odd == "peak_memory" or end.peak_memory == 7


def test_times_that_are_far_from_ours_are_ours() -> None:
    launched = "2026-11-30T10:00:00.000Z"
    forged = Exit(started="1999-01-01T00:00:00.000Z", ended="1998-01-01T00:00:00.000Z")
    end = with_times(forged, launched)
    assert end.started == launched
    assert end.ended is not None
    assert end.ended >= launched


class TestAFile:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> RunFolder:
        return RunFolder(PurePosixPath(tmp_path))

    def unreadable(self, folder: RunFolder) -> str | None:
        host = LocalHost(Path(folder.path))
        assert exit_at(host, folder) is None
        return unreadable_at(host, folder)

    def test_none_is_no_end(self, folder: RunFolder) -> None:
        assert self.unreadable(folder) is None

    def test_a_sparse_file_is_read_to_a_bound(self, folder: RunFolder) -> None:
        with Path(folder.exit).open("wb") as stream:
            stream.truncate(1 << 40)
        assert self.unreadable(folder) == NO_OBJECT

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"[" * 50_000, b'{"a":' * 9_000, b"{" + b" " * LONGEST_EXIT + b"}"]
    )
    def test_what_is_no_object_says_nothing(self, folder: RunFolder, content: bytes) -> None:
        Path(folder.exit).write_bytes(content)
        assert self.unreadable(folder) == NO_OBJECT

    def test_links_fifos_and_folders_say_nothing(self, folder: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("{}")
        exit_file = Path(folder.exit)
        exit_file.symlink_to("elsewhere")
        assert UNREADABLE in (self.unreadable(folder) or "")
        exit_file.unlink()
        os.mkfifo(exit_file)
        assert "not a regular file" in (self.unreadable(folder) or "")
        exit_file.unlink()
        exit_file.mkdir()
        assert "not a regular file" in (self.unreadable(folder) or "")
