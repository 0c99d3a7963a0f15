"""The console of a run, read from a host that says by itself when there is something new."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError
from amltool.hosts.base import Host, Piece
from amltool.layout import HostLayout
from amltool.targets.following import ConsoleReader
from amltool.testing.hosts import FakeHost

FOLDER = HostLayout(PurePosixPath("/fake/.amltool")).run("run-1")


class SaysSo(FakeHost):
    """A host whose run prints a little with each question; ``away`` are the questions that get no answer."""

    def __init__(self, printed: bytes, steps: int, away: frozenset[int] = frozenset(), *, lost: bool = False) -> None:
        super().__init__()
        self._printed, self._steps, self._away, self._lost = printed, steps, away, lost
        self.asked = 0

    def read_soon(self, path: PurePosixPath, offset: int, limit: int, until: PurePosixPath) -> _Answer:
        assert (path, until) == (FOLDER.console, FOLDER.exit)
        self.asked += 1
        if self.asked in self._away:
            raise TargetError("It is unreachable.", "")
        if -self.asked in self._away:
            return _Answer(None)
        end = len(self._printed) * min(self.asked, self._steps) // self._steps
        is_over = self.asked >= self._steps and not self._lost
        content = self._printed[offset : min(end, offset + limit)]
        return _Answer((content, is_over and offset + len(content) == len(self._printed)))

    def pieces(self, folder: PurePosixPath, wanted: Iterable[Piece]) -> Iterator[bytes | OSError]:
        for piece in wanted:
            assert folder / piece.path == FOLDER.console
            yield self._printed[piece.offset : piece.offset + piece.limit]


class _Answer:
    def __init__(self, found: tuple[bytes, bool] | None) -> None:
        self._found = found

    def wait(self, timeout_s: float) -> tuple[bytes, bool] | None:
        if self._found is None:
            raise TargetError("It went away.", "")
        return self._found


def all_of(reader: ConsoleReader, questions: int) -> bytes:
    """What was read, whatever failed meanwhile."""
    found = []
    for _ in range(questions):
        try:
            reader.wait(0)
            found += reader.new()
        except TargetError:
            continue
    for _ in range(50):
        try:
            for block in reader.rest():
                found.append(block)
        except TargetError:
            continue
        return b"".join(found)
    raise AssertionError


@given(st.integers(1, 9), st.frozensets(st.integers(-9, 9).filter(bool)), st.integers(0, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_byte_is_lost_or_doubled_whatever_is_not_answered(
    steps: int, away: frozenset[int], questions: int, lost: bool
) -> None:
    printed = random.Random(steps).randbytes(100)
    reader = ConsoleReader(cast(Host, SaysSo(printed, steps, away, lost=lost)), FOLDER)
    assert all_of(reader, questions) == printed


def test_the_end_is_seen_with_the_last_bytes() -> None:
    host = SaysSo(b"hello\n", 1)
    reader = ConsoleReader(cast(Host, host), FOLDER)
    assert reader.wait(0)
    assert (reader.new(), list(reader.rest()), host.asked) == ([b"hello\n"], [], 1)


def test_it_goes_on_where_somebody_stopped() -> None:
    reader = ConsoleReader(cast(Host, SaysSo(b"one\ntwo\n", 1)), FOLDER, 4)
    reader.wait(0)
    assert (reader.new(), reader.offset) == ([b"two\n"], 8)


def test_a_run_that_left_no_end_is_read_to_its_end() -> None:
    reader = ConsoleReader(cast(Host, SaysSo(b"hello\n", 3, lost=True)), FOLDER)
    reader.wait(0)
    assert b"".join([*reader.new(), *reader.rest()]) == b"hello\n"


def test_a_host_that_only_answers_is_asked() -> None:
    host = FakeHost()
    host.write(FOLDER.console, b"hello\n")
    reader = ConsoleReader(host, FOLDER)
    reader.begin()
    assert not reader.is_watched
    assert (reader.new(), reader.new()) == ([b"hello\n"], [])


def test_an_answer_that_failed_is_asked_for_again() -> None:
    host = SaysSo(b"hello\n", 1, frozenset({-1}))
    reader = ConsoleReader(cast(Host, host), FOLDER)
    with pytest.raises(TargetError):
        reader.wait(0)
    assert reader.wait(0)
    assert reader.new() == [b"hello\n"]
