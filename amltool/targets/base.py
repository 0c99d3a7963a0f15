"""The life of a run, told once: prepare, place, launch, follow, collect, record, release.

Every step ends with the journal saying so; whoever holds the run's lock next goes on from there. A step that was cut
short is done again, and each is made so that doing it again has no second effect: the environment is found built, the
snapshot is brought to the same bytes, a second start of a run is refused by its own folder, artifacts are kept by
content, and a record that is in the history is not added again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from amltool.environments.base import Prepared
from amltool.environments.spark import spark_version
from amltool.errors import TargetError, UserError
from amltool.git.command import GitError
from amltool.history.journal import Step
from amltool.hosts.local import seen_from_here
from amltool.launchers.base import Exit, Expected, Launch, LaunchState
from amltool.run import EnvironmentUsed, RunRecord, RunStatus, timestamp
from amltool.targets.canceling import CanceledError, UntilCanceled, as_it_ended, with_times
from amltool.targets.command import SeenByRun, check_spark_dependencies
from amltool.targets.drive import PREPARED_FILE, Drive, environment_request, labels, prepared_of, read_committed
from amltool.targets.ending import collect_run, forget, record_run
from amltool.targets.meanwhile import (
    placing_begun,
    share_at_start,
    watched_console,
)
from amltool.targets.variables import run_variables

if TYPE_CHECKING:
    from amltool.hosts.base import Host
    from amltool.targets.following import Outage

NOT_PREPARED = "The compute target is not prepared for the run configuration {}."
"""In the manner of the ancestor's messages; its own is not known (WORKBENCH 1.2)."""


def drive(drive: Drive, until: Step = Step.RECORDED) -> RunRecord | None:
    """Take a run from where it stands to ``until`` (its end, by default); gives its record once it is recorded.

    Raises:
        UserError: a step cannot be done now; the run stands where it stood and can be gone on with.
        KeyboardInterrupt: the user interrupted; a launched run lives on.
    """
    if drive.publication is not None and drive.state.step is not Step.RECORDED:
        drive.publication.begin()
    try:
        return _driven(drive, until)
    except BaseException:
        drive.let_go()
        raise


def _driven(drive: Drive, until: Step) -> RunRecord | None:
    order = list(Step)
    record = None
    outage: Outage | None = None
    drive.waits_for("")  # a driver that died may have waited for something
    while order.index(drive.state.step) < order.index(until):
        try:
            step = _give_up if _is_canceled_before_start(drive) else _STEPS[drive.state.step]
            record = step(drive)
        except CanceledError:
            continue
        except (UserError, OSError, GitError) as error:
            if not isinstance(error, TargetError) and _has_lost_its_snapshot(drive):
                reason = f"its snapshot {drive.request.commit[:12]} is gone from the repository: it never started"
                drive.done(Step.ENDED, RunStatus.FINALIZING, end=Exit(reason=reason, ended=timestamp()))
                continue
            if isinstance(error, GitError):
                raise
            if _is_given_up(drive, error):
                _end_given_up(drive, error)
                continue
            if not isinstance(error, TargetError):
                raise _as_said(drive, error) from error
            if not (drive.patient and drive.state.step in _MAY_RUN and _is_away(drive.target.host, error)):
                raise
            outage = outage or _outage(drive)
            outage.goes_on(error)
            continue
        if outage is not None:
            outage.is_over()
    return record


_MAY_RUN = (Step.PLACED, Step.ENDED, Step.COLLECTED)
"""Steps after which a run may go on without us, or has: what cannot be reached then is waited for. (`following` waits
by itself.) A start that nobody answered is said again, which has no effect where it was heard."""


def _has_lost_its_snapshot(run: Drive) -> bool:
    """Whether a run that was not started never can be: its commit was removed together with the ref that kept it."""
    if run.state.step not in (Step.REQUESTED, Step.PREPARED, Step.PLACED):
        return False
    from amltool.git.keeping import is_whole

    return not is_whole(run.git, run.request.commit)


def _is_away(host: Host, error: TargetError) -> bool:
    """Whether a step failed since its host could not be reached."""
    from amltool.hosts.ssh_failures import AwayError

    if isinstance(error, AwayError):
        return True
    try:
        host.exists(host.root)
    except TargetError:
        return True
    return False


def _is_given_up(run: Drive, error: UserError | OSError) -> bool:
    if not run.entry.is_given_up:
        return False
    if run.state.step is Step.COLLECTED:
        return isinstance(error, TargetError) and _is_away(run.target.host, error)
    return run.state.step in (*_MAY_RUN, Step.LAUNCHED)


def _as_said(run: Drive, error: UserError | OSError) -> UserError | OSError:
    """A sentence for what a run that began may have put in our way; other errors as they are."""
    is_of_the_run = run.state.step in (Step.LAUNCHED, Step.ENDED) and not isinstance(error, FileNotFoundError)
    if isinstance(error, UserError) or not is_of_the_run:
        return error
    run_id = run.request.run_id
    return UserError(
        f"Run {run_id} cannot be collected: {error}.",
        f"Look what lies in {run.folder.path}; to end it without that: amltool cancel {run_id} --give-up",
    )


def _end_given_up(run: Drive, error: UserError | OSError) -> None:
    """Nobody waits any more for its host, or for what cannot be done with what it left: the record is what is known
    here."""
    why = str(error) if not isinstance(error, UserError) else error.what
    if isinstance(error, TargetError) and _is_away(run.target.host, error):
        why = f"{run.target.host.name} did not answer"
    reason = f"given up: {why.rstrip('.')}, nothing was collected"
    begun, now = run.state.end.started or run.state.launched, timestamp()
    end = replace(run.state.end, canceled=True, reason=reason, started=begun, ended=run.state.end.ended or now)
    run.done(Step.COLLECTED, RunStatus.FINALIZING, end=end)


def _outage(run: Drive) -> Outage:
    from amltool.targets.following import Outage

    return Outage(run.watcher, run.waits_for)


def _is_canceled_before_start(run: Drive) -> bool:
    if run.state.step not in (Step.REQUESTED, Step.PREPARED, Step.PLACED) or not run.entry.cancel_asked:
        return False
    if run.state.step is not Step.PLACED:
        return True
    seen = run.target.launcher.observe(run.target.host, run.folder, run.state.handle)
    return seen.state is LaunchState.ABSENT


def _give_up(run: Drive) -> None:
    run.withdraw()
    end = Exit(canceled=True, reason=run.entry.cancel_reason or "canceled before it started", ended=timestamp())
    run.done(Step.ENDED, RunStatus.FINALIZING, end=end)


def _prepare(run: Drive) -> None:
    run.enter(RunStatus.PREPARING)
    check_spark_dependencies(run.request, environment_request(run).read)
    with placing_begun(run):
        prepared = _found_or_built(run)
    if prepared.built or prepared.image:
        from amltool.targets.what_lies import say_what_it_uses

        say_what_it_uses(run.target.host, run.folder, prepared.key, run.target.tracking.folder)
    for notice in prepared.notices:
        run.watcher.say(notice)
    run.target.launcher.get_ready(run.target.host, expected(run, prepared))
    run.is_ready = True
    digest = hashlib.sha256(prepared.lock).hexdigest()
    spark = spark_version(prepared.lock) if environment_request(run).wants_spark else None
    used = EnvironmentUsed(key=prepared.key, lock_sha256=digest, image=prepared.image, spark=spark)
    run.entry.keep(PREPARED_FILE, msgspec.json.encode(prepared))
    run.done(Step.PREPARED, RunStatus.PREPARING, environment=used, host=run.target.host.name)


def _found_or_built(run: Drive) -> Prepared:
    target, request = run.target, environment_request(run)
    prepared = target.environment.find(target.host, request)
    if prepared is None:
        if not run.request.prepare:
            raise UserError(
                NOT_PREPARED.format(run.request.run_configuration),
                f"Prepare it: amltool prepare -c {run.request.run_configuration}, or let each run see to it: "
                "PrepareEnvironment: true in the run configuration.",
            )
        prepared = target.environment.prepare(target.host, request, UntilCanceled(run))
    return prepared


def expected(run: Drive, prepared: Prepared | None) -> Expected:
    """What the launcher of a run can get ready for."""
    request = run.request
    return Expected(
        run_id=request.run_id,
        folder=run.folder,
        labels=labels(run),
        image=prepared.image if prepared else None,
        python=prepared.python if prepared else [],
        accounts=prepared.accounts if prepared else "",
    )


def _place(run: Drive) -> None:
    snapshot = run.snapshot()
    if snapshot.tree != run.request.tree:
        raise UserError(
            f"The snapshot of run {run.request.run_id} is not the tree {run.request.tree[:12]} any more.",
            "The rules of the snapshot changed since (amltool's settings or its version): submit again.",
        )
    size = None if run.target.sends_less else snapshot.size
    watcher = UntilCanceled(run)
    found = run.target.place(run.git, run.folder, snapshot, lambda sent, _: watcher.progress("placing", sent, size))
    if found.set_aside:
        where = seen_from_here(run.target.host, run.folder.root)
        names = ", ".join(found.set_aside)
        watcher.say(f"Set aside in {where}, for an earlier run had changed what it is: {names}. See `amltool clean`.")
    if run.request.inputs:
        from amltool.targets.run_inputs import place_inputs

        place_inputs(run, watcher)
    run.done(Step.PLACED, RunStatus.PREPARING, placed=found.placed)


def _has_turn(run: Drive) -> bool:
    if run.target.max_concurrent_runs is None:
        return True
    from amltool.targets.turns import has_turn

    return has_turn(run)


def _launch(run: Drive) -> None:
    """Start it if it is its turn; else it stands where it stood, after a pause."""
    target, request = run.target, run.request
    if not _has_turn(run):
        return
    at_start = share_at_start(run)
    prepared = prepared_of(run)
    in_run = target.folder_in_run(run.folder)
    seen = SeenByRun(target.tracking.path, in_run.work)
    found = target.command(request, prepared, seen, lambda path: read_committed(run.git, request, path))
    own = {**prepared.variables, **found.variables, **run.own_variables()}
    launch = Launch(
        run_id=request.run_id,
        folder=run.folder,
        command=found.command,
        environment=run_variables(
            target.inherited(run.git), request, own, in_run, target.tracking.site, target.share_in_run
        ),
        secrets=[*run.secret_values(), *found.secrets],
        timeout_s=request.timeout_s,
        labels=labels(run),
        image=prepared.image,
        python=prepared.python,
        accounts=prepared.accounts,
        mark=run.marks.mark,
        proof=run.marks.proof,
    )
    if not _has_turn(run):  # what was listed may have taken long
        return
    run.enter(RunStatus.RUNNING)
    threading.Thread(target=_use_the_time, daemon=True).start()
    run.console = watched_console(run)
    run.is_ready = False
    handle = target.launcher.start(target.host, launch)
    run.done(Step.LAUNCHED, RunStatus.RUNNING, handle=handle, share_at_start=at_start, launched=timestamp())
    if target.max_concurrent_runs is not None:
        from amltool.targets.turns import say_begun

        say_begun(run)


def _use_the_time() -> None:
    """Load what comes after the run while it starts and goes on: of a short run that is a fifth of the whole time."""
    import amltool.history.history
    import amltool.stores.directory
    import amltool.targets.collecting  # noqa: F401


def _follow(run: Drive) -> None:
    from amltool.targets.following import follow

    seen = follow(run)
    end = with_times(as_it_ended(seen, run.entry), run.state.launched)
    used = replace(run.state.environment, spark=seen.spark or run.state.environment.spark)
    run.done(Step.ENDED, RunStatus.FINALIZING, end=end, environment=used, application_id=seen.application_id)
    run.forgetting = threading.Thread(target=forget, args=(run,), daemon=True)
    run.forgetting.start()


_STEPS: dict[Step, Callable[[Drive], RunRecord | None]] = {
    Step.REQUESTED: _prepare,
    Step.PREPARED: _place,
    Step.PLACED: _launch,
    Step.LAUNCHED: _follow,
    Step.ENDED: collect_run,
    Step.COLLECTED: record_run,
}
