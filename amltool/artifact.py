"""What a run leaves: artifacts, files that were omitted, metrics, parameters and tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import msgspec

STORED_HERE = "file"
"""The ``store`` of an artifact that is kept in this clone's own folder."""


LONGEST_LINE = 16 << 20
"""Bytes of one entry of a ``metrics.jsonl``."""
LONGEST_NAME = 1000
"""Characters of the name of a metric, a parameter or a tag."""
MOST_NAMES = 10_000
"""Metrics of one run, and as many parameters, and tags."""
LARGEST_INTEGER = (1 << 63) - 1
"""Greater ones are logged as text, as `amltool.tracking.values` does."""
DEEPEST = 60
"""Levels to which what is logged may be nested: `amltool.tracking.values` writes fewer."""


class Artifact(msgspec.Struct, frozen=True):
    """One collected file; ``size`` in bytes, ``sha256`` in hex, ``store`` is ``file`` or a URL."""

    path: str
    size: int
    sha256: str
    store: str = STORED_HERE


class Omission(msgspec.Struct, frozen=True):
    """A file that was not collected, with the reason and the place where it still lies."""

    path: str
    size: int | None
    reason: str
    place: str | None = None


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a series in the record; ``min`` and ``max`` only where every value is a number.

    Non-finite numbers are the strings ``NaN``, ``Infinity`` and ``-Infinity``.
    """

    last: Any
    count: int
    min: float | int | None = None
    max: float | int | None = None


class Entry(msgspec.Struct, frozen=True):
    """A line of ``metrics.jsonl``; ``words`` are the places of texts that read like a number which is not finite
    (`amltool.tracking.values.words_in`)."""

    kind: str
    name: str
    value: Any = None
    at: str = ""
    step: Any = None
    words: Any = None
    v: int = 1


class Tracked(msgspec.Struct, frozen=True):
    """What a run logged, folded: a name logged several times is a series."""

    metrics: dict[str, Metric]
    parameters: dict[str, str]
    tags: dict[str, str]
    damaged_lines: int = 0


def read_entries(content: bytes) -> tuple[list[Entry], int]:
    """The entries of a ``metrics.jsonl`` and how many lines could not be read (a script may write there too)."""
    entries: list[Entry] = []
    damaged = 0
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            damaged += 1
        else:
            entries.append(entry)
    return entries, damaged


_decoder = msgspec.json.Decoder(Entry)


def _entry(line: bytes) -> Entry | None:
    if len(line) > LONGEST_LINE:
        return None
    try:
        entry = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(entry.name) > LONGEST_NAME:
        return None
    may_be_odd = line.count(b"[") + line.count(b"{") > DEEPEST or _LONG_NUMBER(line)
    return None if may_be_odd and _is_odd(entry.value) else entry


_LONG_NUMBER = re.compile(rb"[0-9]{19}").search


def _is_odd(value: Any) -> bool:
    """Return True for a value nested too deep, or with a whole number too large, for what reads records."""
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        if any(isinstance(each, int) and abs(each) > LARGEST_INTEGER for each in level):
            return True
        for each in level:
            inner += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        if not inner:
            return False
        level = inner
    return True


def entries_in(blocks: Iterable[bytes]) -> Iterator[Entry | None]:
    """The entries of a ``metrics.jsonl`` that comes in blocks; ``None`` for each line that cannot be read."""
    for lines in _whole_lines(blocks):
        entries, damaged = read_entries(lines)
        yield from entries
        yield from repeat(None, damaged)


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks with their ends at ends of lines; of a line that is too long no more than a byte too much is held."""
    held: list[bytes] = []
    length = 0
    for block in blocks:
        whole, newline, rest = block.rpartition(b"\n")
        if newline:
            yield b"".join([*held, whole, newline])
            held, length = [], 0
        if length <= LONGEST_LINE:
            held.append(rest[: LONGEST_LINE + 1])
            length += len(rest)
    yield b"".join(held)


def fold_lines(blocks: Iterable[bytes]) -> Tracked:
    """Fold a ``metrics.jsonl`` that comes in blocks; of a series no more is held than its `Metric`."""
    damaged = 0

    def whole() -> Iterator[Entry]:
        nonlocal damaged
        for entry in entries_in(blocks):
            if entry is None:
                damaged += 1
            else:
                yield entry

    found = fold_entries(whole())
    return Tracked(found.metrics, found.parameters, found.tags, damaged + found.damaged_lines)


def fold_entries(entries: Iterable[Entry], damaged: int = 0) -> Tracked:
    """Fold entries into the metrics, parameters and tags of a record, in the order they were logged."""
    metrics: dict[str, _Series] = {}
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    for entry in entries:
        names: dict[str, Any] = {"parameter": parameters, "tag": tags}.get(entry.kind, metrics)
        if len(names) >= MOST_NAMES and entry.name not in names:
            damaged += 1
        elif names is metrics:
            metrics.setdefault(entry.name, _Series()).add(entry.value)
        else:
            names[entry.name] = text_of(entry.value)
    return Tracked({name: one.metric() for name, one in metrics.items()}, parameters, tags, damaged_lines=damaged)


NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})


class _Series:
    """A series as it is read: what its `Metric` needs."""

    __slots__ = ("count", "last", "max", "min", "numeric")

    def __init__(self) -> None:
        self.last: Any = None
        self.count = 0
        self.min: float | int | None = None
        self.max: float | int | None = None
        self.numeric = True

    def add(self, value: Any) -> None:
        self.last = value
        self.count += 1
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.min = value if self.min is None or value < self.min else self.min
            self.max = value if self.max is None or value > self.max else self.max
        elif not (isinstance(value, str) and value in NON_FINITE):
            self.numeric = False

    def metric(self) -> Metric:
        if self.numeric and self.min is not None:
            return Metric(last=self.last, count=self.count, min=self.min, max=self.max)
        return Metric(last=self.last, count=self.count)


def text_of(value: Any) -> str:
    """A parameter or a tag as the record has it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
