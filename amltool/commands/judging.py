"""The verdict of a rerun: whoever records the run records it, too, and whoever waits for the run is told."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from amltool.artifact import Artifact, Omission
from amltool.commands.artifacts import artifacts_of, kept_content, sound_content, whole_run
from amltool.commands.comparing import lock_content
from amltool.commands.opening import Opened
from amltool.commands.verdicts import Left, VerdictReport, compare_runs
from amltool.errors import UserError
from amltool.run import EXACTLY, LongList, Run, RunRecord, Tolerances, Verdict, VerdictEvent, timestamp

MOST_SENTENCES = 20
LONGEST_SENTENCE = 240
"""Bytes of JSON: what a verdict says in a note is bounded."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """A run that was run again, and what came of it."""

    original: Run
    rerun: Run
    report: VerdictReport

    def to_json(self) -> dict[str, Any]:
        """What ``rerun --json`` prints (DESIGN 5)."""
        return {**self.report.to_json(), "run_id": self.rerun.run_id, "rerun_of": self.original.run_id}


def record_verdict(opened: Opened, record: RunRecord, tolerances: Tolerances) -> None:
    """Compare a recorded rerun with its original and record the verdict as an event on both; once, however often this
    is called. Nothing is done where one of them was deleted.

    Raises:
        UserError: the history cannot be written.
    """
    again, original = _both(opened, record)
    if again is None or original is None or _verdict_on(again) is not None:
        return
    opened.history.verdict(_event(original, again, judge(opened, original, again, tolerances), tolerances))


def _event(original: Run, again: Run, report: VerdictReport, tolerances: Tolerances) -> VerdictEvent:
    return VerdictEvent(
        run_id=original.run_id,
        rerun=again.run_id,
        at=timestamp(),
        verdict=report.verdict.value,
        causes=told(report.causes),
        not_compared=told(report.not_compared) or msgspec.UNSET,
        set_aside=told(report.set_aside) or msgspec.UNSET,
        tolerances=msgspec.UNSET if tolerances == EXACTLY else tolerances,
    )


def told(sentences: Sequence[str]) -> list[Any]:
    """Sentences as a note holds them: so many, each so long, and how many more there are."""
    shown = [_cut(sentence) for sentence in sentences[:MOST_SENTENCES]]
    more = len(sentences) - MOST_SENTENCES
    return [*shown, f"and {more} more"] if more > 0 else shown


def _cut(sentence: str) -> str:
    while len(msgspec.json.encode(sentence)) > LONGEST_SENTENCE:
        sentence = f"{sentence[: len(sentence) * 3 // 4]}…"
    return sentence


def recorded_verdict(opened: Opened, record: RunRecord) -> Verdict | None:
    """The verdict that is recorded of a rerun, and nothing more; ``None`` where there is none."""
    again, _ = _both(opened, record)
    event = None if again is None else _verdict_on(again)
    return None if event is None else Verdict(event.verdict)


def judged(opened: Opened, record: RunRecord) -> Rerun | None:
    """The verdict that is recorded of a rerun, with all that was compared; ``None`` where there is none."""
    again, original = _both(opened, record)
    event = None if again is None else _verdict_on(again)
    if again is None or original is None or event is None:
        return None
    tolerances = event.tolerances if isinstance(event.tolerances, Tolerances) else EXACTLY
    report = judge(opened, original, again, tolerances)
    # what was recorded counts: locks and lists may have been at hand then
    causes = tuple(str(cause) for cause in event.causes)
    gaps = () if isinstance(event.not_compared, msgspec.UnsetType) else tuple(map(str, event.not_compared))
    gaps = report.not_compared if len(report.not_compared) >= len(gaps) else gaps
    return Rerun(original, again, replace(report, verdict=Verdict(event.verdict), causes=causes, not_compared=gaps))


def judge(opened: Opened, original: Run, again: Run, tolerances: Tolerances) -> VerdictReport:
    """The verdict of one run on another; what this clone does not keep of them is not compared, and said."""
    return compare_runs(
        left(opened, original),
        left(opened, again),
        tolerances,
        locks=(_lock(opened, original), _lock(opened, again)),
        script=script_text(opened, original),
    )


def left(opened: Opened, run: Run) -> Left:
    """What a run left, as far as it is here."""
    run = whole_run(opened, run)
    return Left(run.record, _artifacts(opened, run), _omitted(opened, run), partial(sound_content, opened, run.record))


def _omitted(opened: Opened, run: Run) -> Sequence[Omission] | None:
    listed = run.record.omitted
    if not isinstance(listed, LongList):
        return listed
    content = kept_content(opened, run, listed.sha256)
    with contextlib.suppress(msgspec.MsgspecError):
        return None if content is None else msgspec.json.decode(content, type=list[Omission])
    return None


def script_text(opened: Opened, run: Run) -> bytes | None:
    """The script of a run as it stands in its commit, ``None`` where it cannot be read."""
    record = run.record
    parts = [part for part in (record.project.path, record.source_directory, record.script) if part != "."]
    exit_code, stdout, _ = opened.git.ask("cat-file", "blob", f"{record.commit}:{'/'.join(parts)}")
    return stdout if exit_code == 0 else None


def _both(opened: Opened, record: RunRecord) -> tuple[Run | None, Run | None]:
    """A rerun and its original, as far as they are in the history."""
    if record.rerun_of is None:
        return None, None
    return opened.history.run(record.run_id), opened.history.run(record.rerun_of)


def _verdict_on(again: Run) -> VerdictEvent | None:
    found = [each for each in again.verdicts if (each.rerun, each.run_id) == (again.run_id, again.record.rerun_of)]
    return found[-1] if found else None


def _artifacts(opened: Opened, run: Run) -> Sequence[Artifact] | None:
    with contextlib.suppress(UserError):
        return artifacts_of(opened, run)
    return None


def _lock(opened: Opened, run: Run) -> bytes | None:
    with contextlib.suppress(UserError):
        return lock_content(opened, run)
    return None
