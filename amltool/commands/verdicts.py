"""What a rerun says about the original run: outputs by content, what was logged value by value, exit code, and causes.

The verdict is `not-comparable` where one of the runs did not come to an end of its own, where a part that counts could
not be compared, or where there was nothing to compare; `differs` where the exit, an output, a value beyond its
tolerance, a parameter or a tag does; `within-tolerance` where only values within it, or what the user asked to ignore,
do; `reproduced` where everything that counts was compared and is the same. Where a run left nothing else, or failed,
what it printed counts too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from amltool.artifact import Artifact, Omission
from amltool.commands.causes import Evidence, likely_causes
from amltool.commands.findings import Compared, Finding, there_or_not, unless_ignored
from amltool.commands.logged import Logged, compare_logged, compare_summaries, compare_texts, read_logged
from amltool.commands.printed import Contents, Printed, compare_printed
from amltool.commands.spark_parts import paired_parts
from amltool.layout import METRICS_FILE
from amltool.run import EXACTLY, NO_REASON, LongList, RunRecord, RunStatus, Tolerances, Verdict

OUTPUTS = "outputs/"
ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED})
PLOT_NAME = re.compile(r"_\d{9,11}(?=\.png$)")
"""A plot that was logged by an older amltool or by Azure ML's own package is named after the second it was drawn in."""
NOTHING = "neither run left outputs, metrics or lines that can be compared: only how they ended is the same"


@dataclass(frozen=True, slots=True)
class Left:
    """What is known of a run beside its record. ``artifacts`` and ``omitted`` are the whole lists, ``None`` where one
    is not here; ``contents`` reads an artifact."""

    record: RunRecord
    artifacts: Sequence[Artifact] | None
    omitted: Sequence[Omission] | None
    contents: Contents = lambda _: None

    @classmethod
    def by(cls, record: RunRecord, artifacts: Sequence[Artifact] | None = None) -> Left:
        """What the record alone tells, with its list of artifacts where that is given."""
        listed = None if isinstance(record.artifacts, LongList) else record.artifacts
        omitted = None if isinstance(record.omitted, LongList) else record.omitted
        return cls(record, listed if artifacts is None else artifacts, omitted)

    @property
    def outputs(self) -> dict[str, str]:
        """SHA-256 by path."""
        return {each.path: each.sha256 for each in self.artifacts or () if each.path.startswith(OUTPUTS)}

    @property
    def gaps(self) -> dict[str, Omission]:
        """What was not collected; a list of that which is not here is one gap over everything."""
        if self.omitted is None:
            count = self.record.omitted.count if isinstance(self.record.omitted, LongList) else 0
            return {OUTPUTS: Omission(OUTPUTS, None, f"{count} files, whose list is not here")}
        return {gap.path: gap for gap in self.omitted}

    def printed(self) -> Printed:
        artifacts = {each.path: each for each in self.artifacts or ()}
        return Printed(self.record, artifacts, self.gaps, self.contents)

    def logged(self) -> Logged | str:
        """What the run logged, or why that is not known."""
        if METRICS_FILE in self.gaps:
            return self.gaps[METRICS_FILE].reason
        artifact = next((each for each in self.artifacts or () if each.path == METRICS_FILE), None)
        if artifact is None:
            logged_nothing = not (self.record.metrics or self.record.parameters or self.record.tags)
            return Logged() if logged_nothing else "it is not among its artifacts"
        blocks = self.contents(artifact)
        return "it is not in this clone" if blocks is None else read_logged(blocks)


@dataclass(frozen=True, slots=True)
class VerdictReport:
    """A verdict with all that was compared, in order of name; ``causes`` are sentences, the likeliest first.

    ``printed`` is empty where only outputs and what was logged counted. ``not_compared`` are sentences that name what
    nobody compared, ``set_aside`` what differs and does not count.
    """

    verdict: Verdict
    outputs: tuple[Compared, ...]
    metrics: tuple[Compared, ...]
    causes: tuple[str, ...]
    parameters: tuple[Compared, ...] = ()
    tags: tuple[Compared, ...] = ()
    printed: tuple[Compared, ...] = ()
    not_compared: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, tuple[Compared, ...]], ...]:
        """All rows, with the titles they have for people."""
        return (
            ("Outputs", self.outputs),
            ("Metrics", self.metrics),
            ("Parameters", self.parameters),
            ("Tags", self.tags),
            ("Console and logs", self.printed),
        )

    def to_json(self) -> dict[str, Any]:
        """The part of ``rerun --json`` that is about the comparison (DESIGN 5)."""
        rows = ("outputs", "metrics", "parameters", "tags", "printed")
        return {
            "verdict": self.verdict.value,
            **{name: [row.to_json() for row in getattr(self, name)] for name in rows},
            "not_compared": list(self.not_compared),
            "set_aside": list(self.set_aside),
            "causes": list(self.causes),
        }


def compare_runs(
    original: Left | RunRecord,
    rerun: Left | RunRecord,
    tolerances: Tolerances = EXACTLY,
    *,
    locks: tuple[bytes | None, bytes | None] = (None, None),
    script: bytes | None = None,
) -> VerdictReport:
    """Compare a rerun with its original.

    ``locks`` are the environment locks and ``script`` the script's text where they are here, for the causes.
    """
    was, now = (each if isinstance(each, Left) else Left.by(each) for each in (original, rerun))
    obstacles = [*_obstacles("original", was), *_obstacles("rerun", now)]
    logged = was.logged(), now.logged()
    renamed, aside = _renamed_plots(was, now, logged)
    before, after, parts = paired_parts(was.outputs, renamed)
    aside += parts
    outputs = _compare_outputs((was, now), before, after, tolerances)
    metrics, parameters, tags = _compare_logged(was, now, logged, tolerances)
    rows = [*outputs, *metrics, *parameters, *tags]
    printed: list[Compared] = []
    if not obstacles and (not rows or RunStatus.FAILED in (was.record.status, now.record.status)):
        printed, more = compare_printed(was.printed(), now.printed())
        aside += more
    rows += printed
    verdict = _verdict(_ending(was.record) == _ending(now.record), rows, bool(obstacles))
    causes = obstacles or _exit_difference(was.record, now.record)
    if not causes and verdict is Verdict.NOT_COMPARABLE and not _found(rows, Finding.UNKNOWN):
        causes = [NOTHING]
    if verdict in (Verdict.DIFFERS, Verdict.WITHIN_TOLERANCE):
        causes += likely_causes(Evidence(was.record, now.record, locks, script))
    unknown = tuple(row.text() for row in _found(rows, Finding.UNKNOWN))
    return VerdictReport(
        verdict,
        tuple(outputs),
        tuple(metrics),
        tuple(causes),
        parameters=tuple(parameters),
        tags=tuple(tags),
        printed=tuple(printed),
        not_compared=unknown,
        set_aside=tuple(aside),
    )


def _found(rows: Iterable[Compared], finding: Finding) -> list[Compared]:
    return [row for row in rows if row.finding is finding]


def _verdict(same_ending: bool, rows: Sequence[Compared], obstacles: bool) -> Verdict:
    found = {row.finding for row in rows}
    if obstacles:
        return Verdict.NOT_COMPARABLE
    if not same_ending or found & {Finding.DIFFERS, Finding.MISSING, Finding.NEW}:
        return Verdict.DIFFERS
    if Finding.UNKNOWN in found or not found:
        return Verdict.NOT_COMPARABLE
    return Verdict.WITHIN_TOLERANCE if found & {Finding.WITHIN_TOLERANCE, Finding.IGNORED} else Verdict.REPRODUCED


def _obstacles(what: str, run: Left) -> list[str]:
    record = run.record
    by_itself = record.status in ENDED and record.reason in NO_REASON
    if not by_itself or (record.exit_code is None and record.signal is None):
        why = f" ({record.reason})" if record.reason else ""
        return [f"the {what} did not come to an end of its own: {record.status.value}{why}"]
    return [f"the list of the {what}'s artifacts is not here"] if run.artifacts is None else []


def _ending(record: RunRecord) -> tuple[Any, ...]:
    return record.status, record.exit_code, record.signal


def _exit_difference(original: RunRecord, rerun: RunRecord) -> list[str]:
    if _ending(original) == _ending(rerun):
        return []
    return [f"it ended otherwise: {_ended_with(original)} -> {_ended_with(rerun)}"]


def _ended_with(record: RunRecord) -> str:
    return record.signal or f"exit code {record.exit_code}"


def _compare_logged(
    was: Left, now: Left, logged: tuple[Logged | str, Logged | str], tolerances: Tolerances
) -> tuple[list[Compared], list[Compared], list[Compared]]:
    """Metrics, parameters and tags; by the records alone, and said, where what was logged is not here."""
    first, second = logged
    if isinstance(first, Logged) and isinstance(second, Logged):
        metrics = compare_logged((first, second), (was.outputs, now.outputs), tolerances)
        parameters = compare_texts(first.parameters, second.parameters, tolerances)
        return metrics, parameters, compare_texts(first.tags, second.tags, tolerances)
    why = "; ".join(
        f"of the {what}, {reason}" for what, reason in zip(("original", "rerun"), logged, strict=True)
        if isinstance(reason, str)
    )  # fmt: skip
    gap = Compared(METRICS_FILE, Finding.UNKNOWN, reason=f"not compared value by value ({why})")
    gap = unless_ignored(gap, tolerances.ignored_metrics, METRICS_FILE)
    if not all(isinstance(run.record.whole, msgspec.UnsetType) for run in (was, now)):
        return [gap], [], []
    parameters = compare_texts(was.record.parameters, now.record.parameters, tolerances)
    tags = compare_texts(was.record.tags, now.record.tags, tolerances)
    return [*compare_summaries(was.record, now.record, tolerances), gap], parameters, tags


def _compare_outputs(
    runs: tuple[Left, Left], before: Mapping[str, str], after: Mapping[str, str], tolerances: Tolerances
) -> list[Compared]:
    gaps = [{path: gap for path, gap in run.gaps.items() if f"{path}/".startswith(OUTPUTS)} for run in runs]
    rows = []
    for path in sorted({*before, *after, *gaps[0], *gaps[1]}):
        digests, missing = (before.get(path), after.get(path)), (gaps[0].get(path), gaps[1].get(path))
        row = _compare_output(path, *digests) if missing == (None, None) else _judge_gap(path, digests, missing)
        rows.append(unless_ignored(row, tolerances.ignored_outputs, path.removeprefix(OUTPUTS)))
    return rows


def _compare_output(path: str, was: str | None, now: str | None) -> Compared:
    finding = Finding.SAME if was == now else Finding.DIFFERS
    return there_or_not(path, was, now) or Compared(path, finding, was, now)


def _judge_gap(
    path: str, digests: tuple[str | None, str | None], gaps: tuple[Omission | None, Omission | None]
) -> Compared:
    """An output that one run or both did not collect: nobody knows its bytes, but its size may tell."""
    was, now = gaps
    if was is not None and now is not None:
        if was.size is not None and now.size is not None and was.size != now.size:
            return Compared(path, Finding.DIFFERS, reason=f"not collected, but {was.size} bytes -> {now.size} bytes")
        return Compared(path, Finding.UNKNOWN, reason=f"not collected in either run ({was.reason}), so not compared")
    gap, run = (was, "original") if was is not None else (now, "rerun")
    assert gap is not None  # noqa: S101 - one of them is there
    if digests == (None, None):
        return Compared(
            path, Finding.NEW if was is None else Finding.MISSING, reason=f"only in the {run}: {gap.reason}"
        )
    return Compared(path, Finding.UNKNOWN, *digests, f"not collected in the {run} ({gap.reason}), so not compared")


def _renamed_plots(was: Left, now: Left, logged: tuple[Logged | str, Logged | str]) -> tuple[dict[str, str], list[str]]:
    """The rerun's outputs with each plot that is named after a time under the original's name for it, paired in the
    order of drawing, and sentences that say so."""
    outputs = dict(now.outputs)
    spare: dict[str, list[str]] = {}
    for path in _plots(logged[0], was.outputs, now.outputs):
        spare.setdefault(PLOT_NAME.sub("", path), []).append(path)
    aside = []
    for path in _plots(logged[1], now.outputs, was.outputs):
        names = spare.get(PLOT_NAME.sub("", path), [])
        if names:
            original = names.pop(0)
            outputs[original] = outputs.pop(path)
            aside.append(f"{path}: the time it was drawn in is in its name, {original} in the original")
    return outputs, aside


def _plots(logged: Logged | str, outputs: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
    """Plots that are named ``<name>_<seconds>.png`` and that only one of two runs has."""
    pictures = [] if isinstance(logged, str) else logged.images()
    return [
        path
        for name, path in pictures
        if path in outputs and path not in others and PLOT_NAME.sub("", path) == f"{OUTPUTS}{name}.png"
    ]
