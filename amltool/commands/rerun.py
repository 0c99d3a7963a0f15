"""Rerun: the snapshot, arguments, variables and environment lock of a recorded run, once more, with a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amltool.commands.comparing import lock_content
from amltool.commands.looking import artifacts_of
from amltool.commands.opening import Opened
from amltool.commands.submit import Submission, submit
from amltool.commands.verdicts import Tolerances, VerdictReport, compare_runs
from amltool.errors import UserError
from amltool.layout import FETCH_HISTORY
from amltool.run import Run, VerdictEvent, timestamp
from amltool.targets.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunOptions:
    """How to run again: another target, and how much a metric may differ (relative, absolute)."""

    target: str | None = None
    rtol: float = 0.0
    atol: float = 0.0
    timeout_s: float | None = None
    ignored_outputs: tuple[str, ...] = ()
    ignored_metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rerun:
    """A run that was run again, and what came of it."""

    original: Run
    rerun: Run
    report: VerdictReport

    def to_json(self) -> dict[str, Any]:
        """What ``rerun --json`` prints (DESIGN 5)."""
        return {**self.report.to_json(), "run_id": self.rerun.run_id, "rerun_of": self.original.run_id}


def rerun(opened: Opened, original: Run, options: RerunOptions, watcher: Watcher) -> Rerun:
    """Run a recorded run again and record the verdict as an event on both.

    Raises:
        UserError: its snapshot is not here, or the target cannot run it.
        Interrupted: Ctrl-C; the rerun lives on, and its verdict is left open.
    """
    record = original.record
    if opened.git.resolve(record.commit) is None:
        raise UserError(
            f"The snapshot {record.commit[:12]} of run {record.run_id} is not in this clone.",
            f"Fetch it from a clone that has it: {FETCH_HISTORY}",
        )
    wanted = Submission(
        script=record.script,
        arguments=record.exact_arguments(),
        run_configuration=record.run_configuration,
        target=options.target or record.target,
        commit=record.commit,
        base_commit=record.base_commit,
        source_directory=record.source_directory,
        timeout_s=options.timeout_s,
        tracked=True,
        prepare=True,
        lock=lock_content(opened, original),
        rerun_of=record.run_id,
    )
    submitted = submit(opened, wanted, watcher)
    if submitted.record is None:
        raise UserError(f"The rerun {submitted.run_id} was not followed to its end.", "Wait for it: amltool wait @")
    again = opened.history.find(submitted.run_id)
    report = judge(opened, original, again, options)
    opened.history.verdict(
        VerdictEvent(
            run_id=record.run_id,
            rerun=again.run_id,
            at=timestamp(),
            verdict=report.verdict.value,
            causes=list(report.causes),
        )
    )
    return Rerun(original, opened.history.find(again.run_id), report)


def judge(opened: Opened, original: Run, again: Run, options: RerunOptions) -> VerdictReport:
    """The verdict of one run on another."""
    return compare_runs(
        original.record,
        again.record,
        Tolerances(options.rtol, options.atol, options.ignored_outputs, options.ignored_metrics),
        artifacts=(artifacts_of(opened, original), artifacts_of(opened, again)),
        locks=(lock_content(opened, original), lock_content(opened, again)),
        script=script_text(opened, original),
    )


def script_text(opened: Opened, run: Run) -> bytes | None:
    """The script of a run as it stands in its commit, ``None`` where it cannot be read."""
    record = run.record
    parts = [part for part in (record.project.path, record.source_directory, record.script) if part != "."]
    exit_code, stdout, _ = opened.git.ask("cat-file", "blob", f"{record.commit}:{'/'.join(parts)}")
    return stdout if exit_code == 0 else None


def rerun_commit(
    opened: Opened,
    revision: str,
    options: RerunOptions,
    watcher: Watcher,
    on_each: Callable[[Rerun], None],
) -> list[Rerun]:
    """Repeat every recorded run (reruns excepted) whose commit or base commit a revision names, oldest first."""
    commit = opened.git.resolve(revision)
    if commit is None:
        raise UserError(f"There is no commit {revision!r}.", "Name one that `git log` shows.")
    originals = [run for run in opened.history.runs_of_commit(commit) if run.record.rerun_of is None]
    if not originals:
        raise UserError(f"No run of commit {commit[:12]} is recorded.", "See: amltool runs")
    done: list[Rerun] = []
    for original in sorted(originals, key=lambda run: run.run_id):
        done.append(rerun(opened, original, options, watcher))
        on_each(done[-1])
    return done


def all_same(reruns: Sequence[Rerun]) -> bool:
    """Whether every rerun reproduced its original, or came within the tolerance."""
    return all(item.report.verdict.is_same for item in reruns)
