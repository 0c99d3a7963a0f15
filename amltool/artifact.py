"""What a run leaves: artifacts, files that were omitted, metrics, parameters and tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

STORED_HERE = "file"
"""The ``store`` of an artifact that is kept in this clone's own folder."""


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
    """One line of ``metrics.jsonl``."""

    kind: str
    name: str
    value: Any = None
    at: str = ""
    step: Any = None
    v: int = 1


class Tracked(msgspec.Struct, frozen=True):
    """What a run logged, folded: a name logged several times is a series."""

    metrics: dict[str, Metric]
    parameters: dict[str, str]
    tags: dict[str, str]
    damaged_lines: int = 0


def read_entries(content: bytes) -> tuple[list[Entry], int]:
    """The entries of a ``metrics.jsonl`` and how many lines could not be read (a script may write there too)."""
    decoder = msgspec.json.Decoder(Entry)
    entries: list[Entry] = []
    damaged = 0
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            entries.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            damaged += 1
    return entries, damaged


def fold_entries(entries: Iterable[Entry], damaged: int = 0) -> Tracked:
    """Fold entries into the metrics, parameters and tags of a record, in the order they were logged."""
    series: dict[str, list[Any]] = {}
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "parameter":
            parameters[entry.name] = _text(entry.value)
        elif entry.kind == "tag":
            tags[entry.name] = _text(entry.value)
        else:
            series.setdefault(entry.name, []).append(entry.value)
    return Tracked({name: _metric(values) for name, values in series.items()}, parameters, tags, damaged_lines=damaged)


NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})


def _metric(values: list[Any]) -> Metric:
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    markers = [value for value in values if isinstance(value, str) and value in NON_FINITE]
    if numbers and len(numbers) + len(markers) == len(values):
        return Metric(last=values[-1], count=len(values), min=min(numbers), max=max(numbers))
    return Metric(last=values[-1], count=len(values))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
