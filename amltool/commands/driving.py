"""Drive runs: build what a run on its way needs, go on with runs whose driver died, finish them in the background."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from amltool.commands.lineage import input_content
from amltool.commands.opening import Opened
from amltool.commands.storing import live_store_of, store_of_run
from amltool.configuration.compute import read_compute
from amltool.configuration.secrets import resolve_variables
from amltool.errors import TargetError, UserError
from amltool.git.snapshots import complete
from amltool.git.survey import survey
from amltool.history.journal import JournalEntry, RunRequest, Step
from amltool.hosts.ssh_passphrases import nobody_asked, typed
from amltool.launchers.base import LaunchState
from amltool.limits import Profile
from amltool.run import RunRecord, RunStatus
from amltool.snapshot import Snapshot
from amltool.targets import open_target
from amltool.targets.base import drive
from amltool.targets.drive import Drive, Target
from amltool.targets.ending import record_to_keep, release
from amltool.targets.watcher import Silent, Watcher

LOOK_AGAIN_S = 0.2
HAND_OVER_S, HAND_OVER_LOOK_S = 3.0, 0.03
"""How long a process may take to begin, and how often it is looked."""


def prepare_drive(
    opened: Opened,
    entry: JournalEntry,
    watcher: Watcher,
    snapshot: Snapshot | None = None,
    target: Target | None = None,
) -> Drive:
    """Everything a run in the journal needs to be driven on; what is not given comes from what is written there."""
    request = entry.request()
    resolved: list[tuple[dict[str, str], list[str]]] = []

    def variables() -> tuple[dict[str, str], list[str]]:
        if not resolved:
            resolved.append(resolve_variables(request.environment_variables))
        return resolved[0]

    run = Drive(
        git=opened.git,
        entry=entry,
        request=request,
        state=entry.state(),
        target=target or _target_again(opened, request),
        open_store=lambda: store_of_run(opened, request),
        open_history=lambda: opened.history,
        watcher=watcher,
        snapshot=_once(snapshot, lambda: _snapshot_again(opened, entry)),
        own_variables=lambda: variables()[0],
        secret_values=lambda: variables()[1],
        open_input=lambda wanted: input_content(opened, wanted),
    )
    if request.artifact_store is not None and request.tracked:
        from amltool.targets.publishing import Publication

        run.publication = Publication(run, lambda: live_store_of(opened, request.artifact_store, request))
    return run


def looked_at(opened: Opened, entry: JournalEntry) -> Drive | None:
    """What it takes to look at a run that another process may drive; ``None`` where that one just recorded it."""
    try:
        return prepare_drive(opened, entry, Silent())
    except FileNotFoundError:
        if entry.is_there:
            raise
        return None


def _target_again(opened: Opened, request: RunRequest) -> Target:
    compute = read_compute(request.target, request.compute.encode(), f"aml_config/{request.target}.compute")
    return open_target(compute, request.project, opened.git.top)


def _once(known: Snapshot | None, make: Callable[[], Snapshot]) -> Callable[[], Snapshot]:
    kept = [known] if known is not None else []

    def get() -> Snapshot:
        if not kept:
            kept.append(make())
        return kept[0]

    return get


def _snapshot_again(opened: Opened, entry: JournalEntry) -> Snapshot:
    request = entry.request()
    found = survey(opened.git, request.prefix, request.source_directory, Profile(request.profile), request.commit)
    return complete(opened.git, request.commit, request.base_commit, found, found.files)


def finish(opened: Opened, run: Drive) -> RunRecord:
    """Drive a run to its end, record the verdict where it is a rerun, and release it. The caller holds the run's lock.

    Every run that is recorded comes through here. Until it is released it can be gone on with: a verdict that was cut
    short is given by whoever looks at the run next.
    """
    # none is given where the driver before us died between the record and the release
    record = drive(run) or record_to_keep(run)
    if record.rerun_of is not None and run.request.tracked:
        from amltool.commands.judging import record_verdict

        record_verdict(opened, record, run.request.tolerances)
    release(run)
    return record


def go_on(
    opened: Opened, entry: JournalEntry, watcher: Watcher | None = None, away: dict[str, str] | None = None
) -> RunRecord | None:
    """Take a run without a driver on from its last finished step, if that can be done without waiting for it.

    A run that was never launched is launched, one that runs and is to be canceled is canceled (both in the background);
    any other that runs is left alone; one that ended is collected and recorded. Gives the record when the run is
    finished by this. A target that does not answer is left alone, and its name joins those that are ``away``, with the
    sentence that says so.
    """
    watcher = watcher or Silent()
    try:
        with entry.driven():
            run = prepare_drive(opened, entry, watcher)
            run.patient = False
            is_running = run.state.step is Step.LAUNCHED and runs_now(run)
            if is_running and not entry.cancel_asked:
                return None
            if not is_running and _needs_no_start(run.state.step, entry):
                return finish(opened, run)
    except TargetError as error:
        if away is not None:
            away[entry.request().target] = error.what
        return None
    except (BlockingIOError, FileNotFoundError):
        return None
    drive_in_background(opened, entry)
    return None


def runs_now(run: Drive) -> bool:
    """Whether the command of a run goes on. Raises TargetError when its target does not answer."""
    seen = run.target.launcher.observe(run.target.host, run.folder, run.state.handle)
    return seen.state is LaunchState.RUNNING


@nobody_asked()
def finish_ended(opened: Opened, away: dict[str, str] | None = None) -> list[str]:
    """Record every run that ended while nobody looked; gives a sentence for each that could not be, and for each of
    which more is to be told than how it ended. Targets that do not answer join those that are ``away``."""
    told: list[str] = []
    away = {} if away is None else away
    for entry in opened.journal.entries():
        try:
            if _needs_no_start(entry.state().step, entry) and not (away and entry.request().target in away):
                canceled = entry.cancel_asked and not entry.cancel_reason  # else a submit gave it up
                record = go_on(opened, entry, away=away)
                if record is not None:
                    told += _told_of(opened, record, canceled=canceled)
        except FileNotFoundError:  # another process recorded it just now
            if entry.is_there:
                raise
        except UserError as error:
            told.append(f"Run {entry.run_id}: {error}")
    return told


def _told_of(opened: Opened, record: RunRecord, *, canceled: bool) -> Iterator[str]:
    """What its user waits to hear of a run that was recorded just now: its verdict, that a cancel came too late."""
    if canceled and record.status is not RunStatus.CANCELED:
        yield f"Run {record.run_id} was to be canceled; it is {record.status.value}: {record.reason}."
    if record.rerun_of is not None:
        from amltool.commands.judging import recorded_verdict

        verdict = recorded_verdict(opened, record)
        if verdict is not None:
            yield f"Run {record.run_id}, a rerun of {record.rerun_of}, is over: {verdict.value}."


def _needs_no_start(step: Step, entry: JournalEntry) -> bool:
    return entry.cancel_asked or list(Step).index(step) >= list(Step).index(Step.LAUNCHED)


def drive_in_background(opened: Opened, entry: JournalEntry) -> None:
    """Start a process of its own that drives the run to its end, whatever becomes of us.

    Passphrases of keys that were typed here go there through a pipe: nobody can be asked there.
    """
    command = [sys.executable, "-m", "amltool.tasks.background", str(opened.project.root), entry.run_id]
    passphrases = typed()
    process = subprocess.Popen(
        command,
        cwd="/",
        stdin=subprocess.PIPE if passphrases else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
    )
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(msgspec.json.encode(passphrases))


def hand_over(opened: Opened, entry: JournalEntry) -> None:
    """`drive_in_background` for a run that nothing but its driver will start; returns once it is driven, or is over."""
    drive_in_background(opened, entry)
    until = time.monotonic() + HAND_OVER_S
    while time.monotonic() < until and entry.is_there and not entry.is_driven():
        time.sleep(HAND_OVER_LOOK_S)


def drive_to_end(root: Path, run_id: str) -> None:
    """What the background process does."""
    from amltool.commands.opening import open_project

    opened = open_project(root)
    entry = opened.journal.entry(run_id)
    while entry is not None:
        try:
            with entry.driven():
                finish(opened, prepare_drive(opened, entry, Silent()))
            return
        except BlockingIOError:
            time.sleep(LOOK_AGAIN_S)  # a command looks at the run for a moment, or drives it to its end
        except FileNotFoundError:
            return
        entry = opened.journal.entry(run_id)
