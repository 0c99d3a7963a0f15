"""A run on its way: what is asked for, where it stands, the compute target it goes to, and what its steps share."""

from __future__ import annotations

import hashlib
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from amltool.configuration.folder import LARGEST, too_large
from amltool.environments.base import EnvironmentRequest, Prepared, ReadFile
from amltool.history.journal import JournalEntry, RunRequest, RunState, Step
from amltool.launchers.base import Launcher
from amltool.layout import LOCK_FILE, HostLayout, RunFolder
from amltool.run import RunStatus, timestamp
from amltool.targets import placing
from amltool.targets.command import RunCommand, SeenByRun, command_of_run
from amltool.targets.meanwhile import (
    BegunShare,
    Meanwhile,
)
from amltool.targets.proof import RunMarks, marks_of

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from amltool.environments.base import ExecutionEnvironment
    from amltool.git.command import Git, OversizedError
    from amltool.history.history import History
    from amltool.hosts.base import Host
    from amltool.run_input import RunInput
    from amltool.snapshot import Snapshot
    from amltool.stores.base import ArtifactStore
    from amltool.targets.following import ConsoleReader
    from amltool.targets.publishing import Publication
    from amltool.targets.run_inputs import PlaceInput
    from amltool.targets.turns import Turn
    from amltool.targets.watcher import Watcher
    from amltool.tracking.travel import Installed

PREPARED_FILE = "prepared.json"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A compute target: a host, an execution environment and a launcher; ``share`` is the shared folder there.

    What a run sees of it may lie elsewhere than on the host: ``share_in_run``, ``tracking`` and ``folder_in_run`` are
    the run's own paths. ``check`` refuses (`UserError`) what it cannot run, before anything is
    done; ``command`` says what is executed for a run. ``hint`` is for the user when a run failed that
    looks for a shared folder which is not there. ``place`` brings a snapshot to a run's folder, which it makes, with
    the folders that are collected; it ``sends_less`` where only what the host lacks goes there, of which nobody knows
    beforehand how much it is. ``begin_place`` has the host look at what it lacks and does not wait; it gives what
    withdraws that. ``place_input`` brings an input to the folder. No more than ``max_concurrent_runs`` of its runs go
    on at once, of all clients.
    """

    name: str
    type: str
    host: Host
    environment: ExecutionEnvironment
    launcher: Launcher
    place: Callable[[Git, RunFolder, Snapshot, placing.OnWritten | None], placing.Placing]
    begin_place: Callable[[Git, RunFolder, Snapshot], Callable[[], None]] | None = None
    place_input: PlaceInput
    share: PurePosixPath | None
    share_in_run: PurePosixPath | None
    tracking: Installed
    inherited: Callable[[Git], dict[str, str]]
    folder_in_run: Callable[[RunFolder], RunFolder] = lambda folder: folder
    check: Callable[[RunRequest], None] = lambda _: None
    command: Callable[[RunRequest, Prepared, SeenByRun, ReadFile], RunCommand] = command_of_run
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
    open_input: Callable[[RunInput], Iterator[bytes]]
    console_offset: int = 0
    forgetting: threading.Thread | None = None
    begun_share: BegunShare | None = None
    withdraw: Callable[[], None] = lambda: None
    """Takes back what a host was asked to look at before the snapshot is placed."""
    console: ConsoleReader | None = None
    freeing: Meanwhile[None] | None = None
    turn: Turn | None = None
    publication: Publication | None = None
    """The publication that shows the run to other clones while it goes on."""
    is_gone: bool = False
    """Whether nothing of the run can be alive any more, as its launcher says or its end proves."""
    is_ready: bool = False
    """Whether the launcher was made ready by us, and nothing of the run was started since."""
    patient: bool = True
    """Whether to wait for a host that is away, once the run may have been started there."""

    @property
    def folder(self) -> RunFolder:
        return HostLayout(self.target.host.root).run(self.request.run_id)

    @property
    def marks(self) -> RunMarks:
        """What its processes and its end are known by."""
        return marks_of(self.git.layout, self.request.run_id)

    def done(self, step: Step, status: RunStatus, **changes: object) -> None:
        """Write down that a step is done and what it left."""
        since = self.state.since if status is self.state.status else timestamp()
        self.state = replace(self.state, step=step, status=status, since=since, waits_for="", **changes)
        self.entry.save(self.state)
        if self.publication is not None:
            self.publication.note()

    def waits_for(self, what: str) -> None:
        """Leave word, for who looks at the run meanwhile, of what it waits for; ``""``: for nothing any more."""
        if what != self.state.waits_for:
            self.state = replace(self.state, waits_for=what)
            self.entry.save(self.state)

    def let_go(self) -> None:
        """Leave the run to another process."""
        if self.publication is not None:
            self.publication.leave()

    def discard(self) -> None:
        """Take the run out of the journal: nothing of it ever started."""
        if self.publication is not None:
            self.publication.withdraw()
        self.entry.discard()

    def enter(self, status: RunStatus) -> None:
        """Say that the run has come to a status, before the work of it begins."""
        self.watcher.status(status)


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
    """A file of a run's commit by its path in the project; ``None`` where there is none.

    Raises:
        UserError: it is larger than such files are.
    """
    name = f"{request.commit}:{posixpath.normpath(posixpath.join(request.prefix, path))}"
    try:
        with git.objects() as objects:
            found = objects.read(name, LARGEST)
    except OversizedError:
        raise too_large(path, LARGEST) from None
    return found[1] if found is not None and found[0] == "blob" else None


def prepared_of(run: Drive) -> Prepared:
    """The environment that was prepared for the run, as the journal keeps it."""
    return msgspec.json.decode(run.entry.kept(PREPARED_FILE), type=Prepared)


def labels_of(run_id: str, commit: str, project: str, key: str) -> dict[str, str]:
    """What a launcher may mark a run's containers with; ``key`` is that of `placing.project_key`."""
    return {"run_id": run_id, "commit": commit, "project": project, "clone": clone_label(key)}


def clone_label(key: str) -> str:
    """A short name for one project in one clone on one machine."""
    return hashlib.sha256(f"{os.uname().nodename}:{key}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def labels(run: Drive) -> dict[str, str]:
    """`labels_of` this run."""
    request = run.request
    key = placing.project_key(run.git, request.prefix)
    return labels_of(request.run_id, request.commit, request.project.name, key)
