"""Starts the command of a run in a container of its own; the bootstrap is its first process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import PurePosixPath

import msgspec
from msgspec.structs import replace

from amltool.containers.daemon import ContainerState, DockerDaemon, NameTakenError
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host, Piece
from amltool.launchers.base import Exit, Expected, Handle, Launch, LaunchState, LeftBehind, Observation
from amltool.launchers.container_end import STOPPED, boot_of, why_lost, why_stopped
from amltool.launchers.container_spec import CLONE_LABEL, MARK_LABEL, RUN_LABEL, ContainerSettings
from amltool.launchers.container_start import ContainerStart, Waiting
from amltool.launchers.exit_file import LONGEST_EXIT, exit_at, exit_in
from amltool.launchers.later import UNANSWERED_S, Later, Look
from amltool.launchers.process import moments
from amltool.layout import RunFolder, container_name
from amltool.run import timestamp

ATTEMPTS = 3
"""How often a container is made for one start: one that waits may be killed before it is fed."""
CONTENDED_S = 60.0
"""How long clients that start the same run may be in each other's way."""
ASK_EVERY_S, ASK_OFTEN_S = 0.75, 0.1
"""How seldom the daemon is asked how a container is: the run itself says when it ends, unless its folder is not
shared with us."""
CONSOLE_EVERY_S = 1.0
LOGS_SHARE = 9
"""Logs that took a second to copy are copied again after nine."""
LAST_LOOKS_S = 0.3
"""How long a file may take to be seen here when its container is over already."""
LONGEST_GRACE_S, LONGEST_CANCEL_S, KILL_S = 12.0, 13.0, 1.5
FIRST_PAUSE_S, LONGEST_WAIT_S, LONGEST_LOOK_S = 0.001, 0.025, 0.1


class ContainerLauncher:
    """Starts runs in containers of one daemon. A container lives until `forget`, for its end may have to be looked
    into. In a run's folder it has a home folder and, where its image does not know the user, an ``/etc/passwd``."""

    def __init__(
        self, daemon: DockerDaemon, settings: ContainerSettings, install: Callable[[], object] = lambda: None
    ) -> None:
        """``install`` puts the ``library`` of the settings where it is to lie, before the first container is made."""
        self._daemon = daemon
        self._settings = settings
        self._ask_every_s = ASK_EVERY_S if settings.shared_volumes else ASK_OFTEN_S
        self._start = ContainerStart(daemon, settings, install)
        self._connecting: Later[None] | None = None
        self._ready: dict[RunFolder, tuple[Expected, Later[Waiting]]] = {}
        self._looks: dict[RunFolder, Look[ContainerState | None]] = {}
        self._doubts: dict[RunFolder, TargetError] = {}
        self._console_at: dict[RunFolder, float] = {}
        self._logs_at: dict[RunFolder, float] = {}

    def get_ready(self, host: Host, expected: Expected) -> None:
        """As `Launcher.get_ready`: the daemon is found; with an image, a container is started and waits."""
        if expected.image is None:
            self._connecting = self._connecting or Later(self._daemon.connect)
        elif expected.folder not in self._ready:
            making = Later(lambda: self._start.make(host, expected), now=False)
            self._ready[expected.folder] = expected, making  # so that a Ctrl-C just now leaves no container behind
            making.start()

    def start(self, host: Host, launch: Launch) -> Handle:
        """As `Launcher.start`.

        Raises:
            UserError: there is no such folder, image, volume, network or GPU.
            TargetError: the daemon does not answer, or nothing started; starting again is safe.
        """
        folder, name = launch.folder, container_name(launch.folder.path.name)
        if not host.exists(folder.path):
            raise UserError(f"There is no folder {folder.path} on {host.name}.", "Place the snapshot first.")
        expected = _expected(launch)
        waiting = self._waiting(folder, expected)
        failure = TargetError(f"Run {launch.run_id} did not start: its container {name} is in use.", "Try again.")
        attempts = 0
        for _ in moments(CONTENDED_S, FIRST_PAUSE_S, LONGEST_LOOK_S):
            if waiting is None and self._start.has_begun(host, folder, None):
                return self._handle(host, launch, self._mark_of(name))
            try:
                waiting = waiting or self._start.make(host, expected)
                with contextlib.closing(waiting.input):
                    failed = self._start.feed(host, launch, waiting)
                if failed is None:
                    return self._handle(host, launch, waiting.mark)
                waiting, failure, attempts = None, failed, attempts + 1
                if attempts == ATTEMPTS:
                    break
            except NameTakenError:  # by a container that may not be there yet, or not any more: then it is tried again
                if self._start.make_way(host, folder, name):
                    return self._handle(host, launch, self._mark_of(name))
        raise failure

    def observe(self, host: Host, folder: RunFolder, handle: Handle) -> Observation:
        """As `Launcher.observe`; a container that is frozen runs."""
        if ended := self._ended(host, folder, handle):
            return ended
        if not handle and not host.exists(folder.start):  # with a handle it began, whatever it did to its folder
            return Observation(LaunchState.ABSENT)
        state = Later(lambda: self._daemon.state(_name(folder))).result(UNANSWERED_S)
        return self._judge(host, folder, handle, state)

    def is_over(self, host: Host, folder: RunFolder) -> bool:  # noqa: ARG002
        """As `Launcher.is_over`; a container that is not there any more is over, whatever the run's folder says."""
        state = Later(lambda: self._daemon.state(_name(folder))).result(UNANSWERED_S)
        return state is None or not (_runs(state) or state.is_starting)

    def live_work(self, host: Host, folder: RunFolder) -> PurePosixPath:
        """As `Launcher.live_work`: where folders are not shared, a copy of ``logs/`` that nobody collects."""
        if self._settings.shared_volumes or host.exists(folder.copied_back):
            return folder.work
        began = time.monotonic()
        if began >= self._logs_at.get(folder, 0.0):
            from amltool.launchers.copying import bring_logs

            bring_logs(self._daemon, _name(folder), folder)
            now = time.monotonic()
            self._logs_at[folder] = now + max(CONSOLE_EVERY_S, LOGS_SHARE * (now - began))
            if host.exists(folder.copied_back):  # all of it came back meanwhile, and may be forgotten already
                host.remove(folder.live)
                return folder.work
        return folder.live

    def wait(self, host: Host, folder: RunFolder, handle: Handle, timeout_s: float) -> Observation:
        """As `Launcher.wait`. Where folders are shared an end is seen within 25 ms and the daemon is asked seldom;
        where not, what the run left is copied back before this returns, however long that takes."""
        for _ in moments(timeout_s, FIRST_PAUSE_S, LONGEST_WAIT_S):
            if ended := self._ended(host, folder, handle):
                return ended
            look = self._looks.get(folder) or self._look(folder, 0.0)
            if look.is_answered():
                seen = self._judge(host, folder, handle, self._answer(folder, look))
                if seen.state is not LaunchState.RUNNING:
                    return seen
        if folder in self._doubts:  # it did not answer the last time, and has not yet said that it lives
            raise TargetError(self._doubts[folder].what, self._doubts[folder].remedy)
        return Observation(LaunchState.RUNNING if handle or host.exists(folder.start) else LaunchState.ABSENT)

    def cancel(self, host: Host, folder: RunFolder, handle: Handle, grace_s: float = 10.0) -> None:
        """As `Launcher.cancel`: the bootstrap does it, and when it does not, the container is killed."""
        if self.observe(host, folder, handle).state is not LaunchState.RUNNING:
            return
        name, kill_at = _name(folder), time.monotonic() + min(max(grace_s, 0.0), LONGEST_GRACE_S)
        self._daemon.resume(name)
        self._daemon.signal(name, "SIGTERM")
        for _ in moments(LONGEST_CANCEL_S, FIRST_PAUSE_S, LONGEST_LOOK_S):
            if not _runs(self._daemon.state(name)):
                return
            if time.monotonic() > kill_at:
                self._daemon.signal(name, "SIGQUIT")
        self._daemon.signal(name, "SIGKILL")
        for _ in moments(KILL_S, FIRST_PAUSE_S, LONGEST_LOOK_S):
            if not _runs(self._daemon.state(name)):
                break
        if self.observe(host, folder, handle).state is LaunchState.LOST:
            end = Exit(
                signal="SIGKILL", reason="canceled", canceled=True, started=_started(host, folder), ended=timestamp()
            )
            with contextlib.suppress(OSError):  # the disk may be what it could not be canceled for
                host.write(folder.exit, msgspec.json.encode(end))

    def forget(self, host: Host, folder: RunFolder) -> bool:
        """As `Launcher.forget`: the container is removed; where the daemon is away it stays for `left_behind`."""
        self._looks.pop(folder, None)
        if not self._settings.shared_volumes:
            with contextlib.suppress(OSError):
                host.remove(folder.live)
        self._waiting(folder, None)
        try:
            self._daemon.remove(_name(folder))
        except UserError:
            return False
        return True

    def end(self, host: Host, folder: RunFolder, handle: Handle) -> None:  # noqa: ARG002
        """As `Launcher.end`."""
        self._daemon.remove(_name(folder))

    def left_behind(self, host: Host, clone: str) -> list[LeftBehind]:  # noqa: ARG002
        """As `Launcher.left_behind`: containers; the size is that of what they wrote.

        Raises:
            TargetError: the daemon does not answer.
        """
        return [
            LeftBehind(kind="container", place=kept.name, size=kept.size, run_id=kept.labels[RUN_LABEL])
            for kept in self._daemon.containers(f"{CLONE_LABEL}={clone}")
            if kept.labels.get(RUN_LABEL)
        ]

    def remove_left_behind(self, host: Host, folder: RunFolder) -> None:
        """As `Launcher.remove_left_behind`."""
        self.forget(host, folder)

    def _waiting(self, folder: RunFolder, expected: Expected | None) -> Waiting | None:
        """The container that waits for a run, if it is one as expected; another one is let go."""
        before, ready = self._ready.pop(folder, (None, None))
        waiting = ready.quietly() if ready is not None else None
        if waiting is None or before == expected:
            return waiting
        waiting.input.close()
        with contextlib.suppress(UserError):
            self._daemon.remove(waiting.id)
        return None

    def _mark_of(self, name: str) -> str:
        """When the daemon that started a container was itself started."""
        state = self._daemon.state(name)
        return state.labels.get(MARK_LABEL, "") if state is not None else self._daemon.start_mark()

    def _handle(self, host: Host, launch: Launch, mark: str) -> Handle:
        self._look(launch.folder, self._ask_every_s)
        handle = {"kind": "container", "container": _name(launch.folder), "daemon": mark, "boot": boot_of(host)}
        return handle if self._settings.shared_volumes else {**handle, "python": launch.python}

    # looking

    def _look(self, folder: RunFolder, in_s: float) -> Look[ContainerState | None]:
        """The next look at a container, in so many seconds."""
        self._looks[folder] = look = Look(lambda: self._daemon.state(_name(folder)), in_s)
        return look

    def _answer(self, folder: RunFolder, look: Look[ContainerState | None]) -> ContainerState | None:
        try:
            state = look.answer()
        except TargetError as error:
            self._doubts[folder] = error
            if look.is_over:
                self._look(folder, 0.0)
            raise
        self._doubts.pop(folder, None)
        self._look(folder, self._ask_every_s)
        return state

    def _ended(self, host: Host, folder: RunFolder, handle: Handle) -> Observation | None:
        """How the run says that it ended; it is asked first, for it needs no daemon."""
        end = exit_at(host, folder)
        if end is None:
            return None
        if end.reason == STOPPED:
            end = replace(end, reason=why_stopped(host, self._daemon, handle))
        return Observation(LaunchState.ENDED, end)

    def _judge(self, host: Host, folder: RunFolder, handle: Handle, state: ContainerState | None) -> Observation:
        """What the state of its container says of a run that did not say that it ended."""
        if state is not None and (_runs(state) or state.is_starting):
            self._bring_console(folder, handle)
            return Observation(LaunchState.RUNNING)
        if state is not None and not self._settings.shared_volumes and not host.exists(folder.copied_back):
            from amltool.launchers.copying import copy_back

            copy_back(self._daemon, state.id, host, folder)
        for _ in moments(LAST_LOOKS_S, FIRST_PAUSE_S, LONGEST_LOOK_S):
            if ended := self._ended(host, folder, handle):
                return ended
        if not handle and not host.exists(folder.start):
            return Observation(LaunchState.ABSENT)
        why = why_lost(host, self._daemon, handle, state)
        return Observation(LaunchState.LOST, Exit(reason=why, started=_started(host, folder)))

    def _bring_console(self, folder: RunFolder, handle: Handle) -> None:
        if self._settings.shared_volumes or time.monotonic() < self._console_at.get(folder, 0.0):
            return
        from amltool.launchers.copying import bring_console

        bring_console(self._daemon, _name(folder), handle.get("python") or [], folder)
        self._console_at[folder] = time.monotonic() + CONSOLE_EVERY_S


def _name(folder: RunFolder) -> str:
    return container_name(folder.path.name)


def _expected(launch: Launch) -> Expected:
    return Expected(
        run_id=launch.run_id,
        folder=launch.folder,
        labels=launch.labels,
        image=launch.image,
        python=launch.python,
        accounts=launch.accounts,
    )


def _runs(state: ContainerState | None) -> bool:
    return state is not None and state.is_running


def _started(host: Host, folder: RunFolder) -> str | None:
    """When the run began, as its bootstrap says."""
    (content,) = host.pieces(folder.path, [Piece(folder.start.name, LONGEST_EXIT)])
    said = exit_in(content) if isinstance(content, bytes) else None
    return said.started if said is not None else None


__all__ = ["ContainerLauncher", "ContainerSettings"]
