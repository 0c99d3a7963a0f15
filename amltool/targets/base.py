"""The life of a run, told once: prepare, place, launch, follow, collect, record, release.

Every step ends with the journal saying so; whoever holds the run's lock next goes on from there. A step that was cut
short is done again, and each is made so that doing it again has no second effect: the environment is found built, the
snapshot is brought to the same bytes, a second start of a run is refused by its own folder, artifacts are kept by
content, and a record that is in the history is not added again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import posixpath
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from amltool.artifact import Artifact
from amltool.environments.base import EnvironmentRequest, Prepared
from amltool.errors import TargetError, UserError
from amltool.history.journal import JournalEntry, RunRequest, RunState, Step
from amltool.launchers.base import Exit, Expected, Launch, Launcher, LaunchState
from amltool.layout import LOCK_FILE, HostLayout, RunFolder
from amltool.run import EnvironmentUsed, RunRecord, RunStatus, SharedFolder, timestamp
from amltool.targets import placing
from amltool.targets.canceling import CanceledError, UntilCanceled, as_it_ended
from amltool.targets.command import SeenByRun, check_spark_dependencies, command_of_run
from amltool.targets.meanwhile import (
    BegunShare,
    Meanwhile,
    placing_begun,
    share_at_end,
    share_at_start,
    watched_console,
)
from amltool.targets.recording import record_of
from amltool.targets.variables import SHARE_VARIABLE, run_variables

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from amltool.environments.base import ExecutionEnvironment
    from amltool.git.command import Git
    from amltool.history.history import History
    from amltool.hosts.base import Host
    from amltool.snapshot import Snapshot
    from amltool.stores.base import ArtifactStore
    from amltool.targets.following import ConsoleReader, Outage
    from amltool.targets.turns import Turn
    from amltool.targets.watcher import Watcher
    from amltool.tracking.travel import Installed

PREPARED_FILE = "prepared.json"
NOT_PREPARED = "The compute target is not prepared for the run configuration {}."
"""In the manner of the ancestor's messages; its own is not known (WORKBENCH 1.2)."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A compute target: a host, an execution environment and a launcher; ``share`` is the shared folder there.

    What a run sees of it may lie elsewhere than on the host: ``share_in_run``, ``tracking`` and ``folder_in_run`` are
    the run's own paths. ``hint`` is for the user when a run failed that looks for a shared folder which is not there.
    ``place`` brings a snapshot to a run's folder, which it makes, with the folders that are collected; it
    ``sends_less`` where only what the host lacks goes there, of which nobody knows beforehand how much it is.
    ``begin_place`` has the host look at what it lacks and does not wait; it gives what withdraws that. No more than
    ``max_concurrent_runs`` of its runs go on at once, of all clients.
    """

    name: str
    type: str
    host: Host
    environment: ExecutionEnvironment
    launcher: Launcher
    place: Callable[[Git, RunFolder, Snapshot, placing.OnWritten | None], None]
    begin_place: Callable[[Git, RunFolder, Snapshot], Callable[[], None]] | None = None
    share: PurePosixPath | None
    share_in_run: PurePosixPath | None
    tracking: Installed
    inherited: Callable[[Git], dict[str, str]]
    folder_in_run: Callable[[RunFolder], RunFolder] = lambda folder: folder
    hint: str = ""
    sends_less: bool = False
    max_concurrent_runs: int | None = None


class Drive(msgspec.Struct, kw_only=True):
    """A run on its way: what is asked for, where it stands, and all it needs to go on."""

    git: Git
    entry: JournalEntry
    request: RunRequest
    state: RunState
    target: Target
    open_store: Callable[[], ArtifactStore]
    open_history: Callable[[], History]
    watcher: Watcher
    snapshot: Callable[[], Snapshot]
    own_variables: Callable[[], dict[str, str]]
    secret_values: Callable[[], list[str]]
    keep_snapshot: Callable[[], None]
    console_offset: int = 0
    forgetting: threading.Thread | None = None
    begun_share: BegunShare | None = None
    withdraw: Callable[[], None] = lambda: None
    """Takes back what a host was asked to look at before the snapshot is placed."""
    console: ConsoleReader | None = None
    freeing: Meanwhile[None] | None = None
    turn: Turn | None = None
    is_ready: bool = False
    """Whether the launcher was made ready by us, and nothing of the run was started since."""
    patient: bool = True
    """Whether to wait for a host that is away, once the run may have been started there."""

    @property
    def folder(self) -> RunFolder:
        return HostLayout(self.target.host.root).run(self.request.run_id)

    def done(self, step: Step, status: RunStatus, **changes: object) -> None:
        """Write down that a step is done and what it left."""
        since = self.state.since if status is self.state.status else timestamp()
        self.state = replace(self.state, step=step, status=status, since=since, waits_for="", **changes)
        self.entry.save(self.state)

    def waits_for(self, what: str) -> None:
        """Leave word, for who looks at the run meanwhile, of what it waits for; ``""``: for nothing any more."""
        if what != self.state.waits_for:
            self.state = replace(self.state, waits_for=what)
            self.entry.save(self.state)

    def enter(self, status: RunStatus) -> None:
        """Say that the run has come to a status, before the work of it begins."""
        self.watcher.status(status)


def drive(drive: Drive, until: Step = Step.RECORDED) -> RunRecord | None:
    """Take a run from where it stands to ``until`` (its end, by default); gives its record once it is recorded.

    Raises:
        UserError: a step cannot be done now; the run stands where it stood and can be gone on with.
        KeyboardInterrupt: the user interrupted; a launched run lives on.
    """
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
        except TargetError as error:
            if _is_given_up(drive, error):
                _end_unanswered(drive)
                continue
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


def _is_given_up(run: Drive, error: TargetError) -> bool:
    may_run = run.state.step in (*_MAY_RUN, Step.LAUNCHED)
    return may_run and run.entry.is_given_up and _is_away(run.target.host, error)


def _end_unanswered(run: Drive) -> None:
    """Its host does not answer, and nobody waits for it any more: what is known here is the record."""
    reason = f"given up: {run.target.host.name} did not answer, nothing was collected"
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
    used = EnvironmentUsed(key=prepared.key, lock_sha256=digest, image=prepared.image)
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


def environment_request(run: Drive) -> EnvironmentRequest:
    """What a run asks of its environment: the dependency files of its snapshot, and the lock it is to be built from."""
    request = run.request
    try:
        lock = run.entry.kept(LOCK_FILE)
    except FileNotFoundError:
        lock = None
    return EnvironmentRequest(
        read=lambda path: read_committed(run.git, request, path),
        conda_file=request.conda_dependencies_file,
        spark_file=request.spark_dependencies_file,
        framework=request.framework,
        lock=lock,
    )


def read_committed(git: Git, request: RunRequest, path: str) -> bytes | None:
    """A file of a run's commit by its path in the project; ``None`` where there is none."""
    name = f"{request.commit}:{posixpath.normpath(posixpath.join(request.prefix, path))}"
    exit_code, content, _ = git.ask("cat-file", "blob", name)
    return content if exit_code == 0 else None


def expected(run: Drive, prepared: Prepared | None) -> Expected:
    """What the launcher of a run can get ready for."""
    request = run.request
    return Expected(
        run_id=request.run_id,
        folder=run.folder,
        labels=_labels(run),
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
    run.target.place(run.git, run.folder, snapshot, lambda sent, _: watcher.progress("placing", sent, size))
    run.done(Step.PLACED, RunStatus.PREPARING)


def labels_of(run_id: str, commit: str, project: str, key: str) -> dict[str, str]:
    """What a launcher may mark a run's containers with; ``key`` is that of `placing.project_key`."""
    return {"run_id": run_id, "commit": commit, "project": project, "clone": clone_label(key)}


def clone_label(key: str) -> str:
    """A short name for one project in one clone on one machine."""
    return hashlib.sha256(f"{os.uname().nodename}:{key}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _labels(run: Drive) -> dict[str, str]:
    request = run.request
    key = placing.project_key(run.git, request.prefix)
    return labels_of(request.run_id, request.commit, request.project.name, key)


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
    prepared = _prepared(run)
    in_run = target.folder_in_run(run.folder)
    seen = SeenByRun(target.tracking.path, in_run.work)
    found = command_of_run(request, prepared, seen, lambda path: read_committed(run.git, request, path))
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
        labels=_labels(run),
        image=prepared.image,
        python=prepared.python,
        accounts=prepared.accounts,
    )
    if not _has_turn(run):  # what was listed may have taken long
        return
    run.enter(RunStatus.RUNNING)
    threading.Thread(target=_use_the_time, daemon=True).start()
    run.console = watched_console(run)
    run.is_ready = False
    handle = target.launcher.start(target.host, launch)
    run.done(Step.LAUNCHED, RunStatus.RUNNING, handle=handle, share_at_start=at_start, launched=timestamp())


def _prepared(run: Drive) -> Prepared:
    return msgspec.json.decode(run.entry.kept(PREPARED_FILE), type=Prepared)


def _use_the_time() -> None:
    """Load what comes after the run while it starts and goes on: of a short run that is a fifth of the whole time."""
    import amltool.history.history
    import amltool.stores.directory
    import amltool.targets.collecting  # noqa: F401


def _follow(run: Drive) -> None:
    from amltool.targets.following import follow

    seen = follow(run)
    end = as_it_ended(seen, run.entry)
    end = replace(end, started=end.started or run.state.launched, ended=end.ended or timestamp())
    run.done(Step.ENDED, RunStatus.FINALIZING, end=end)
    run.forgetting = threading.Thread(target=_forget, args=(run,), daemon=True)
    run.forgetting.start()


def _forget(run: Drive) -> None:
    """How the run ended is in the journal: its turn is over, what its launcher left not needed; it may take a while."""
    if run.target.max_concurrent_runs is not None:
        from amltool.targets.turns import leave

        leave(run)
    run.target.launcher.forget(run.target.host, run.folder)


def _collect(run: Drive) -> None:
    from amltool.targets.collecting import as_record_list, collect

    run.enter(RunStatus.FINALIZING)
    request, target, store = run.request, run.target, run.open_store()
    logs_before = {file.path: file.object_id for file in run.snapshot().files if file.path.startswith("logs/")}
    at_end = share_at_end(run)
    found = collect(
        target.host,
        run.folder,
        store,
        max_artifact_size=request.max_artifact_size,
        unchanged=logs_before,
        progress=lambda size: run.watcher.progress("collecting", size, None),
    )
    shared = None
    if at_end is not None:
        shared = SharedFolder(
            host_path=f"{target.share}/",
            run_path=f"{target.share_in_run}/",
            at_start=as_record_list(run.state.share_at_start, store, "shared_folder_at_start.json"),
            at_end=as_record_list(at_end.result(), store, "shared_folder_at_end.json"),
        )
    artifacts = [*found.artifacts, *_environment_lock(run, store)]
    store.flush()
    run.done(
        Step.COLLECTED,
        RunStatus.FINALIZING,
        artifacts=as_record_list(artifacts, store, "artifacts.json"),
        omitted=as_record_list(found.omitted, store, "omitted.json"),
        metrics=found.tracked.metrics,
        parameters=found.tracked.parameters,
        tags=found.tracked.tags,
        shared_folder=shared,
    )
    for omission in found.omitted:
        where = f"; it lies in {omission.place}" if omission.place else ""
        run.watcher.say(f"{omission.path} was not collected: {omission.reason}{where}.")


def _environment_lock(run: Drive, store: ArtifactStore) -> list[Artifact]:
    """The lock as an artifact; a run that was canceled before it was prepared has none."""
    if not run.state.environment.lock_sha256:
        return []
    kept = store.put(io.BytesIO(_prepared(run).lock))
    return [Artifact(LOCK_FILE, kept.size, kept.sha256, store.address)]


def _record(run: Drive) -> RunRecord:
    record = record_of(run.request, run.state)
    if run.target.begin_place is not None:
        run.freeing = Meanwhile(partial(_free_folder, run))
    if run.request.tracked:
        run.open_history().record([record], keep=[record.commit])
    run.done(Step.RECORDED, record.status)
    if record.status is RunStatus.FAILED and run.target.hint and _looks_for_share(run):
        run.watcher.say(run.target.hint)
    return record


def _looks_for_share(run: Drive) -> bool:
    content = read_committed(run.git, run.request, posixpath.join(run.request.source_directory, run.request.script))
    return SHARE_VARIABLE.encode() in (content or b"")


def release(run: Drive) -> None:
    """After the record: free the run's folder for the next run, and take the run out of the journal."""
    if run.freeing is not None:
        run.freeing.result()
    else:
        _free_folder(run)
    run.entry.discard()


def _free_folder(run: Drive) -> None:
    """Nothing in it is needed any more once it is collected: over a network that is said while the run is recorded."""
    if run.entry.is_given_up:  # `clean` finds it when the host answers again
        return
    if run.forgetting is not None:
        run.forgetting.join()
    else:
        _forget(run)
    omitted = run.state.omitted
    key = placing.project_key(run.git, run.request.prefix)
    with contextlib.suppress(OSError, TargetError):  # it is away just now: `clean` finds what stays
        if run.state.launched is None:  # nobody knows how much of it lies there
            run.target.host.remove(run.folder.path)
        elif not run.request.tracked:
            placing.mark_untracked(run.target.host, run.folder, key, timestamp())
        elif not omitted:
            placing.release(run.target.host, run.folder, key, timestamp(), run.request.keep_run_folders)


_STEPS: dict[Step, Callable[[Drive], RunRecord | None]] = {
    Step.REQUESTED: _prepare,
    Step.PREPARED: _place,
    Step.PLACED: _launch,
    Step.LAUNCHED: _follow,
    Step.ENDED: _collect,
    Step.COLLECTED: _record,
}
