"""What two runs logged, value by value: series with their steps, lists, tables, rows, images, parameters, tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from amltool.artifact import entries_in, text_of
from amltool.commands.findings import (
    Compared,
    Finding,
    compare_value,
    short,
    there_or_not,
    unless_ignored,
    worst,
)
from amltool.layout import METRICS_FILE
from amltool.run import EXACTLY, RunRecord, Tolerances

IMAGE = "image"


class Value(msgspec.Struct, frozen=True):
    """A value that was logged; ``words`` as in `amltool.artifact.Entry`."""

    kind: str
    value: Any
    step: Any
    words: Any = None


class Logged(msgspec.Struct):
    """All that a run logged: the values of each name in their order; of parameters and tags the last.

    ``damaged`` lines could not be read.
    """

    series: dict[str, list[Value]] = {}
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    damaged: int = 0

    def images(self) -> list[tuple[str, str]]:
        """Name and path of every picture."""
        return [
            (name, one.value)
            for name, values in self.series.items()
            for one in values
            if one.kind == IMAGE and isinstance(one.value, str)
        ]


def read_logged(blocks: Iterable[bytes]) -> Logged:
    """What a ``metrics.jsonl`` holds."""
    logged = Logged()
    for entry in entries_in(blocks):
        if entry is None:
            logged.damaged += 1
        elif entry.kind == "parameter":
            logged.parameters[entry.name] = text_of(entry.value)
        elif entry.kind == "tag":
            logged.tags[entry.name] = text_of(entry.value)
        else:
            logged.series.setdefault(entry.name, []).append(Value(entry.kind, entry.value, entry.step, entry.words))
    return logged


def compare_logged(
    logged: tuple[Logged, Logged], pictures: tuple[Mapping[str, str], Mapping[str, str]], tolerances: Tolerances
) -> list[Compared]:
    """Every metric of two runs; ``pictures`` are the SHA-256 of their outputs by path."""
    was, now = logged
    rows = []
    for name in sorted({*was.series, *now.series}):
        before, after = was.series.get(name), now.series.get(name)
        if before is None or after is None:
            first, second = (None if values is None else values[-1].value for values in (before, after))
            row = Compared(name, Finding.NEW if before is None else Finding.MISSING, first, second)
        else:
            row = _compare_series(name, before, after, pictures, tolerances)
        rows.append(unless_ignored(row, tolerances.ignored_metrics, name))
    damaged = was.damaged + now.damaged
    if damaged:
        row = Compared(METRICS_FILE, Finding.UNKNOWN, reason=f"{damaged} lines of it cannot be read, so not compared")
        rows.append(unless_ignored(row, tolerances.ignored_metrics, METRICS_FILE))
    return rows


def compare_texts(was: Mapping[str, str], now: Mapping[str, str], tolerances: Tolerances) -> list[Compared]:
    """Parameters or tags, each by its text."""
    rows = []
    for name in sorted({*was, *now}):
        before, after = was.get(name), now.get(name)
        finding = Finding.SAME if before == after else Finding.DIFFERS
        row = there_or_not(name, before, after) or Compared(name, finding, before, after)
        rows.append(unless_ignored(row, tolerances.ignored_metrics, name))
    return rows


def compare_summaries(original: RunRecord, rerun: RunRecord, tolerances: Tolerances) -> list[Compared]:
    """What the records alone say of the metrics: the last, least and greatest value of each, and how many of them."""
    rows = []
    for name in sorted({*original.metrics, *rerun.metrics}):
        was, now = original.metrics.get(name), rerun.metrics.get(name)
        if was is None or now is None:
            first, second = (None if metric is None else metric.last for metric in (was, now))
            row = Compared(name, Finding.NEW if was is None else Finding.MISSING, first, second)
        elif was.count != now.count:
            row = Compared(name, Finding.DIFFERS, was.last, now.last, _times(was.count, now.count))
        else:
            pairs = ((was.last, now.last), (was.min, now.min), (was.max, now.max))
            row = Compared(name, worst(compare_value(a, b, tolerances) for a, b in pairs), was.last, now.last)
        rows.append(unless_ignored(row, tolerances.ignored_metrics, name))
    return rows


def _compare_series(
    name: str,
    was: Sequence[Value],
    now: Sequence[Value],
    pictures: tuple[Mapping[str, str], Mapping[str, str]],
    tolerances: Tolerances,
) -> Compared:
    last = was[-1].value, now[-1].value
    if len(was) != len(now):
        return Compared(name, Finding.DIFFERS, *last, _times(len(was), len(now)))
    found = [_compare_one(a, b, pictures, tolerances) for a, b in zip(was, now, strict=True)]
    finding = worst(found)
    if finding is Finding.SAME:
        return Compared(name, finding, *last)
    at = found.index(finding)
    return Compared(name, finding, *last, _reason(finding, was, now, (at, found.count(finding))))


def _compare_one(
    was: Value, now: Value, pictures: tuple[Mapping[str, str], Mapping[str, str]], tolerances: Tolerances
) -> Finding:
    if was.kind != now.kind or compare_value(was.step, now.step, EXACTLY) is not Finding.SAME:
        return Finding.DIFFERS
    if was.words != now.words:  # a text and a number that are written alike
        return Finding.DIFFERS
    if was.kind != IMAGE:
        return compare_value(was.value, now.value, tolerances)
    if not isinstance(was.value, str) or not isinstance(now.value, str):
        return Finding.SAME if was.value == now.value else Finding.DIFFERS
    first, second = pictures[0].get(was.value), pictures[1].get(now.value)
    if first is None or second is None:
        return Finding.UNKNOWN if first is second else Finding.DIFFERS
    return Finding.SAME if first == second else Finding.DIFFERS


def _reason(finding: Finding, was: Sequence[Value], now: Sequence[Value], place: tuple[int, int]) -> str:
    at, count = place
    before, after = was[at], now[at]
    if finding is Finding.UNKNOWN:
        return f"the picture {short(before.value)} was not collected, so not compared"
    if before.kind != after.kind:
        return f"logged as {short(before.kind)} -> as {short(after.kind)}"
    if compare_value(before.step, after.step, EXACTLY) is not Finding.SAME:
        return f"the steps differ, the first is that of value {at + 1}: {short(before.step)} -> {short(after.step)}"
    change = f"{short(before.value)} -> {short(after.value)}"
    if before.words != after.words:
        change += ", a text in one, a number in the other"
    if before.kind == IMAGE:
        change = "other bytes" if before.value == after.value else f"{change}, other bytes"
    where = f"value {at + 1}" if before.step is None else f"step {short(before.step)}"
    how = "differ" if finding is Finding.DIFFERS else "are within the tolerance"
    if len(was) == 1:
        return f"{finding.value} ({change})"
    return f"{count} of {len(was)} values {how}, first {where}: {change}"


def _times(was: int, now: int) -> str:
    return f"logged {was} times -> {now} times"
