"""What a rerun says about the original run: outputs by SHA-256, metrics by tolerance, exit code, and likely causes.

The verdict is `not-comparable` where one of the runs did not come to an end of its own or an output was not collected,
so that nobody can know; `differs` where the exit, an output, or a metric beyond its tolerance does; `within-tolerance`
where only metrics within it, or what the user asked to ignore, do; `reproduced` where nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from amltool.artifact import Artifact, Metric, Omission
from amltool.commands.causes import Evidence, likely_causes
from amltool.run import EXACTLY, LongList, RunRecord, RunStatus, Tolerances, Verdict

OUTPUTS = "outputs/"
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED})
PLOT_NAME = re.compile(r"_\d{9,11}(?=\.png$)")
"""A logged plot is named after the second it was drawn in (WORKBENCH 3.2), which says nothing about it."""


class Finding(str, Enum):
    """How one output or metric of the rerun compares with the original's."""

    SAME = "same"
    WITHIN_TOLERANCE = "within-tolerance"
    DIFFERS = "differs"
    MISSING = "missing"
    NEW = "new"
    IGNORED = "ignored"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Compared:
    """One output (values: SHA-256 in hex) or metric (values: its last) of both runs; ``reason`` where it needs one."""

    name: str
    finding: Finding
    original: Any = None
    rerun: Any = None
    reason: str = ""

    @property
    def same(self) -> bool:
        return self.finding is Finding.SAME

    def text(self) -> str:
        """One line for people."""
        if self.reason:
            return f"{self.name}: {self.reason}"
        if self.finding in (Finding.MISSING, Finding.NEW):
            return f"{self.name}: {'only in the original' if self.finding is Finding.MISSING else 'only in the rerun'}"
        return f"{self.name}: {self.finding.value} ({_short(self.original)} -> {_short(self.rerun)})"

    def to_json(self) -> dict[str, Any]:
        content = {"name": self.name, "finding": self.finding.value, "original": self.original, "rerun": self.rerun}
        return {**content, "reason": self.reason} if self.reason else content


@dataclass(frozen=True, slots=True)
class VerdictReport:
    """A verdict with all that was compared, in order of name; ``causes`` are sentences, the likeliest first."""

    verdict: Verdict
    outputs: tuple[Compared, ...]
    metrics: tuple[Compared, ...]
    causes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The part of ``rerun --json`` that is about the comparison (DESIGN 5)."""
        return {
            "verdict": self.verdict.value,
            "outputs": [row.to_json() for row in self.outputs],
            "metrics": [row.to_json() for row in self.metrics],
            "causes": list(self.causes),
        }


def compare_runs(
    original: RunRecord,
    rerun: RunRecord,
    tolerances: Tolerances = EXACTLY,
    *,
    artifacts: tuple[Sequence[Artifact] | None, Sequence[Artifact] | None] = (None, None),
    locks: tuple[bytes | None, bytes | None] = (None, None),
    script: bytes | None = None,
) -> VerdictReport:
    """Compare a rerun with its original.

    ``artifacts`` are those of each run where its record only names a list (``None``: what the record holds, or not
    known); ``locks`` the environment locks and ``script`` the script's text where they are here, for the causes.
    """
    kept = [
        given if given is not None else _listed(record.artifacts)
        for given, record in zip(artifacts, (original, rerun), strict=True)
    ]
    obstacles = _obstacles(original, rerun, kept)
    outputs = _compare_outputs(original, rerun, kept, tolerances)
    metrics = _compare_metrics(original.metrics, rerun.metrics, tolerances)
    verdict = _verdict(_ending(original) == _ending(rerun), [*outputs, *metrics], bool(obstacles))
    causes = obstacles or _exit_difference(original, rerun)
    causes += [row.text() for row in outputs if row.finding is Finding.UNKNOWN]
    if verdict in (Verdict.DIFFERS, Verdict.WITHIN_TOLERANCE):
        causes += likely_causes(Evidence(original, rerun, locks, script))
    return VerdictReport(verdict, tuple(outputs), tuple(metrics), tuple(causes))


def _verdict(same_ending: bool, rows: Sequence[Compared], obstacles: bool) -> Verdict:
    found = {row.finding for row in rows}
    if obstacles:
        return Verdict.NOT_COMPARABLE
    if not same_ending or found & {Finding.DIFFERS, Finding.MISSING, Finding.NEW}:
        return Verdict.DIFFERS
    if Finding.UNKNOWN in found:
        return Verdict.NOT_COMPARABLE
    return Verdict.WITHIN_TOLERANCE if found & {Finding.WITHIN_TOLERANCE, Finding.IGNORED} else Verdict.REPRODUCED


def _obstacles(original: RunRecord, rerun: RunRecord, kept: Sequence[Sequence[Artifact] | None]) -> list[str]:
    found = []
    for what, record, artifacts in zip(("original", "rerun"), (original, rerun), kept, strict=True):
        if record.status not in ENDED or (record.exit_code is None and record.signal is None):
            why = f" ({record.reason})" if record.reason else ""
            found.append(f"the {what} did not come to an end of its own: {record.status.value}{why}")
        elif artifacts is None:
            found.append(f"the list of the {what}'s artifacts is not here")
    return found


def _listed(artifacts: list[Artifact] | LongList) -> list[Artifact] | None:
    return None if isinstance(artifacts, LongList) else artifacts


def _ending(record: RunRecord) -> tuple[Any, ...]:
    return record.status, record.exit_code, record.signal


def _exit_difference(original: RunRecord, rerun: RunRecord) -> list[str]:
    if _ending(original) == _ending(rerun):
        return []
    return [f"it ended otherwise: {_ended_with(original)} -> {_ended_with(rerun)}"]


def _ended_with(record: RunRecord) -> str:
    return record.signal or f"exit code {record.exit_code}"


def _compare_outputs(
    original: RunRecord, rerun: RunRecord, kept: Sequence[Sequence[Artifact] | None], tolerances: Tolerances
) -> list[Compared]:
    before, after = ({a.path: a.sha256 for a in listed or () if a.path.startswith(OUTPUTS)} for listed in kept)
    after = _renamed_plots(before, after)
    gaps = _omitted(original), _omitted(rerun)
    rows = []
    for path in sorted({*before, *after, *gaps[0], *gaps[1]}):
        was, now = before.get(path), after.get(path)
        missing = gaps[0].get(path), gaps[1].get(path)
        row = _compare_output(path, was, now) if missing == (None, None) else _judge_gap(path, (was, now), missing)
        rows.append(_unless_ignored(row, tolerances.ignored_outputs, path.removeprefix(OUTPUTS)))
    return rows


def _compare_output(path: str, was: str | None, now: str | None) -> Compared:
    finding = Finding.SAME if was == now else Finding.DIFFERS
    if was is None or now is None:
        finding = Finding.NEW if was is None else Finding.MISSING
    return Compared(path, finding, was, now)


def _judge_gap(
    path: str, digests: tuple[str | None, str | None], gaps: tuple[Omission | None, Omission | None]
) -> Compared:
    """An output that one run or both did not collect: nobody knows its bytes, but sizes and kinds may tell."""
    was, now = gaps
    if was is not None and now is not None:
        if path != OUTPUTS and was.size is None and was.reason == now.reason:
            return Compared(path, Finding.SAME, reason=f"not collected in either run: {was.reason}")
        if None not in (was.size, now.size) and was.size != now.size:
            return Compared(path, Finding.DIFFERS, reason=f"not collected, but {was.size} bytes -> {now.size} bytes")
        return Compared(path, Finding.UNKNOWN, reason=f"not collected in either run ({was.reason}), so not compared")
    gap, run = (was, "original") if was is not None else (now, "rerun")
    assert gap is not None  # noqa: S101 - one of them is there
    if digests == (None, None):
        return Compared(
            path, Finding.NEW if was is None else Finding.MISSING, reason=f"only in the {run}: {gap.reason}"
        )
    return Compared(path, Finding.UNKNOWN, *digests, f"not collected in the {run} ({gap.reason}), so not compared")


def _omitted(record: RunRecord) -> dict[str, Omission]:
    """Outputs that were not collected; a list that is an artifact itself is one gap over everything."""
    if isinstance(record.omitted, LongList):
        return {OUTPUTS: Omission(OUTPUTS, None, f"{record.omitted.count} files")}
    return {gap.path: gap for gap in record.omitted if f"{gap.path}/".startswith(OUTPUTS)}


def _renamed_plots(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """The rerun's outputs with each logged plot under the original's name for it, paired in the order of drawing."""
    renamed = dict(after)
    spare: dict[str, list[str]] = {}
    for path in sorted({*before} - {*after}):
        spare.setdefault(PLOT_NAME.sub("", path), []).append(path)
    for path in sorted({*after} - {*before}):
        names = spare.get(PLOT_NAME.sub("", path), []) if PLOT_NAME.search(path) else []
        if names and PLOT_NAME.search(names[0]):
            renamed[names.pop(0)] = renamed.pop(path)
    return renamed


def _compare_metrics(before: dict[str, Metric], after: dict[str, Metric], tolerances: Tolerances) -> list[Compared]:
    rows = []
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        row = _compare_metric(name, was, now, tolerances)
        rows.append(_unless_ignored(row, tolerances.ignored_metrics, name))
    return rows


def _compare_metric(name: str, was: Metric | None, now: Metric | None, tolerances: Tolerances) -> Compared:
    if was is None or now is None:
        finding = Finding.NEW if was is None else Finding.MISSING
        return Compared(name, finding, None if was is None else was.last, None if now is None else now.last)
    if was.count != now.count:
        return Compared(name, Finding.DIFFERS, was.last, now.last, f"logged {was.count} times -> {now.count} times")
    pairs = ((was.last, now.last), (was.min, now.min), (was.max, now.max))
    found = {_compare_value(a, b, tolerances) for a, b in pairs}
    worst = next(one for one in (Finding.DIFFERS, Finding.WITHIN_TOLERANCE, Finding.SAME) if one in found)
    if worst is Finding.DIFFERS and _compare_value(was.last, now.last, tolerances) is not Finding.DIFFERS:
        span = f"between {_short(was.min)} and {_short(was.max)} -> between {_short(now.min)} and {_short(now.max)}"
        return Compared(name, worst, was.last, now.last, span)
    return Compared(name, worst, was.last, now.last)


def _compare_value(was: Any, now: Any, tolerances: Tolerances) -> Finding:
    """Numbers by tolerance, also within lists and tables; the text ``NaN`` equals itself, as does every other text."""
    if _is_number(was) and _is_number(now):
        if was == now:
            return Finding.SAME
        return Finding.WITHIN_TOLERANCE if tolerances.within(was, now) else Finding.DIFFERS
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        found = {_compare_value(a, b, tolerances) for a, b in zip(was, now, strict=True)}
    elif isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        found = {_compare_value(was[key], now[key], tolerances) for key in was}
    elif isinstance(was, str) and isinstance(now, str):
        return Finding.SAME if PLOT_NAME.sub("", was) == PLOT_NAME.sub("", now) else Finding.DIFFERS
    else:
        return Finding.SAME if type(was) is type(now) and was == now else Finding.DIFFERS
    return next((one for one in (Finding.DIFFERS, Finding.WITHIN_TOLERANCE) if one in found), Finding.SAME)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unless_ignored(row: Compared, patterns: tuple[str, ...], name: str) -> Compared:
    if row.same or not any(fnmatchcase(name, one) or fnmatchcase(row.name, one) for one in patterns):
        return row
    return Compared(row.name, Finding.IGNORED, row.original, row.rerun, "differs, and was to be ignored")


def _short(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:12]
    text = repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
