"""A build is heard as it speaks, and whoever hears it can end that while it is silent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amltool.environments import hearing
from amltool.environments.hearing import heard, heard_here


class EnoughError(Exception):
    pass


class Impatient:
    """Ends what is silent for the third time."""

    def __init__(self) -> None:
        self.silences = 0

    def say(self, message: str) -> None: ...

    def log(self, line: str) -> None: ...

    def progress(self, what: str, size: int, total: int | None) -> None:
        assert size == 0
        self.silences += 1
        if self.silences == 3:
            raise EnoughError


Hear = Callable[[list[bytes], bool, Any], Iterator[bytes]]


def over_there(said: list[bytes], silent: bool, progress: Any) -> Iterator[bytes]:
    def pieces() -> Iterator[bytes]:
        yield from said
        if silent:
            threading.Event().wait(60)

    return heard(pieces(), progress)


def here(said: list[bytes], silent: bool, progress: Any) -> Iterator[bytes]:
    source, sink = os.pipe()
    os.write(sink, b"".join(said))
    if not silent:
        os.close(sink)
    return heard_here(source, progress)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "SILENT_S", 0.02)


@pytest.mark.parametrize("hear", [over_there, here])
def test_all_is_heard_to_the_end(hear: Hear) -> None:
    assert b"".join(hear([b"one ", b"two"], False, Impatient())) == b"one two"


@pytest.mark.parametrize("hear", [over_there, here])
def test_a_silence_can_be_ended(hear: Hear) -> None:
    coming = hear([b"one"], True, Impatient())
    assert next(coming) == b"one"
    with pytest.raises(EnoughError):
        next(coming)


def test_a_failure_of_whoever_speaks_is_raised_where_it_is_heard() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise ConnectionError("lost")

    coming = heard(pieces(), Impatient())
    assert next(coming) == b"one"
    with pytest.raises(ConnectionError, match="lost"):
        next(coming)
