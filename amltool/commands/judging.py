"""The verdict of a rerun: whoever records the run records it, too, and whoever waits for the run is told."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from amltool.artifact import Artifact
from amltool.commands.artifacts import artifacts_of
from amltool.commands.comparing import lock_content
from amltool.commands.opening import Opened
from amltool.commands.verdicts import VerdictReport, compare_runs
from amltool.errors import UserError
from amltool.run import EXACTLY, Run, RunRecord, Tolerances, Verdict, VerdictEvent, timestamp


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
    report = judge(opened, original, again, tolerances)
    opened.history.verdict(
        VerdictEvent(
            run_id=original.run_id,
            rerun=again.run_id,
            at=timestamp(),
            verdict=report.verdict.value,
            causes=list(report.causes),
            tolerances=msgspec.UNSET if tolerances == EXACTLY else tolerances,
        )
    )


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
    return Rerun(original, again, replace(report, verdict=Verdict(event.verdict), causes=causes))


def judge(opened: Opened, original: Run, again: Run, tolerances: Tolerances) -> VerdictReport:
    """The verdict of one run on another; what this clone does not keep of them is not compared, and said."""
    return compare_runs(
        original.record,
        again.record,
        tolerances,
        artifacts=(_artifacts(opened, original), _artifacts(opened, again)),
        locks=(_lock(opened, original), _lock(opened, again)),
        script=script_text(opened, original),
    )


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
