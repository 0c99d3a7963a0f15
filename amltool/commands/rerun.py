"""Rerun: the snapshot, arguments, variables and environment lock of a recorded run, once more, with a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import UnsetType

from amltool.commands.artifacts import whole_run
from amltool.commands.comparing import lock_content
from amltool.commands.judging import Rerun, judged
from amltool.commands.lineage import find_again
from amltool.commands.opening import Opened
from amltool.commands.submit import Submission, Submitted, submit
from amltool.errors import UserError
from amltool.layout import FETCH_HISTORY
from amltool.run import EXACTLY, Run, Tolerances
from amltool.targets.watcher import Watcher

NEEDED = frozenset(
    {"script", "arguments", "arguments_base64", "run_configuration", "target", "source_directory", "settings",
     "environment_variables", "inputs"}
)  # fmt: skip
"""Keys of a record that a rerun repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunOptions:
    """How to run again: on another target, for so many seconds at most, and what its verdict lets pass."""

    target: str | None = None
    tolerances: Tolerances = EXACTLY
    timeout_s: float | None = None


def rerun(opened: Opened, original: Run, options: RerunOptions, watcher: Watcher) -> Rerun:
    """Run a recorded run again and follow it to its end; the verdict is recorded as an event on both.

    Raises:
        UserError: its snapshot is not here, or the target cannot run it.
        Interrupted: Ctrl-C; the rerun lives on, and whoever records it records its verdict.
    """
    submitted = begin(opened, original, options, watcher)
    found = None if submitted.record is None else judged(opened, submitted.record)
    if found is None:
        raise UserError(
            f"There is no verdict on the rerun {submitted.run_id}: it or its original was deleted meanwhile.",
            "See what there is: amltool runs",
        )
    return found


def begin(opened: Opened, original: Run, options: RerunOptions, watcher: Watcher, *, detach: bool = False) -> Submitted:
    """Submit a recorded run again, as `submit` does; `rerun` has the rest."""
    record = _complete(opened, original).record
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
        variables=record.environment_variables or {},
        found_inputs=find_again(opened, record) if record.inputs else (),
        timeout_s=options.timeout_s or (record.settings.timeout_s if record.settings else None),
        settings=record.settings,
        compute=record.compute if options.target in (None, record.target) else {},
        tracked=True,
        prepare=True,
        lock=lock_content(opened, original),
        rerun_of=record.run_id,
        tolerances=options.tolerances,
    )
    return submit(opened, wanted, watcher, detach=detach)


def _complete(opened: Opened, original: Run) -> Run:
    """A run with all that a rerun needs. Raises UserError where its note holds a part of that only, and the rest is
    not here."""
    found = whole_run(opened, original)
    clipped = found.record.whole
    missing = [] if isinstance(clipped, UnsetType) else [key for key in clipped.keys if key in NEEDED]
    if missing:
        raise UserError(
            f"What run {original.run_id} got is too long for its note ({', '.join(missing)}), and the whole of it "
            "is not in this clone.",
            "Run it again where it was made; a shared artifact store (artifact_store in aml_config/project.yml) keeps "
            "it for all.",
        )
    return found


def rerun_all(
    opened: Opened,
    originals: Sequence[Run],
    options: RerunOptions,
    watcher: Watcher,
    on_each: Callable[[Rerun], None],
) -> list[Rerun]:
    """Run each of these again, one after the other; ``on_each`` is told of each once it is over."""
    done: list[Rerun] = []
    for original in originals:
        done.append(rerun(opened, original, options, watcher))
        on_each(done[-1])
    return done


def runs_of(opened: Opened, revision: str) -> list[Run]:
    """Every recorded run (reruns excepted) whose commit or base commit a revision names, oldest first.

    Raises:
        UserError: there is no such revision, or no run of it.
    """
    commit = opened.git.resolve(revision)
    if commit is None:
        raise UserError(f"There is no commit {revision!r}.", "Name one that `git log` shows.")
    originals = [run for run in opened.history.runs_of_commit(commit) if run.record.rerun_of is None]
    if not originals:
        raise UserError(f"No run of commit {commit[:12]} is recorded.", "See: amltool runs")
    return sorted(originals, key=lambda run: run.run_id)
