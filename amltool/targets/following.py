"""Follow a run to its end: its console, its cancellation, and times when its target does not answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from amltool.errors import TargetError
from amltool.hosts.base import LARGEST_PIECE, Piece
from amltool.hosts.streaming import watching
from amltool.launchers.base import Exit, LaunchState, Observation
from amltool.launchers.exit_file import folder_trouble, unreadable_at
from amltool.run import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amltool.hosts.base import Host
    from amltool.hosts.streaming import Soon
    from amltool.layout import RunFolder
    from amltool.targets.drive import Drive
    from amltool.targets.watcher import Watcher

FOLLOW_S = 0.05
"""How long one look at a running command may wait, in seconds: the most a console line is late here."""
SHORT_FOLLOW_S = 0.01
"""The same at the beginning: the end of a short run should not be waited for."""
WATCH_S = 0.25
"""How long we wait for a host that says by itself when something was printed, before we look at other things."""
LOOK_EVERY_S = 0.5
"""How often such a host is asked how the run is."""
UNTOLD = "nothing that the run left tells how it ended"
CONSOLE_BLOCK = LARGEST_PIECE
MOST_AT_ONCE = 16
"""So many blocks of a console are read before something else is looked at."""
MOST_EMPTY = 64
"""A console is not read further after so many blocks without a byte of text."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
"""Between two attempts to reach a target that does not answer."""


def follow(run: Drive) -> Observation:
    """Pass on what a launched run prints, cancel it when somebody asks for that, and return when it ended.

    A target that does not answer says nothing about the run: it is waited for.
    """
    target, launcher = run.target, run.target.launcher
    console, run.console = run.console or ConsoleReader(target.host, run.folder, run.console_offset), None
    outage = Outage(run.watcher, run.waits_for)
    canceled = False
    begun = time.monotonic()
    while True:
        try:
            seen = _seen(run, console, time.monotonic() - begun)
            for block in console.new() if seen.state is LaunchState.RUNNING else console.rest():
                run.watcher.console(block)
            if seen.state is not LaunchState.RUNNING:
                seen = _explained(run, seen)
                outage.is_over()
                return seen
            _note_queue(run, seen)
            if run.entry.cancel_asked and not canceled:
                launcher.cancel(target.host, run.folder, run.state.handle)
                run.entry.note_cancel_reached()
                canceled = True
        except TargetError as error:
            if run.entry.is_given_up:
                raise
            outage.goes_on(error)
            continue
        outage.is_over()


def _explained(run: Drive, seen: Observation) -> Observation:
    """An end that its run did not tell, with what its folder shows of the reason."""
    if seen.state is LaunchState.ENDED:
        return seen
    why = unreadable_at(run.target.host, run.folder) or folder_trouble(run.target.host, run.folder)
    return replace(seen, exit=replace(seen.exit or Exit(reason=UNTOLD), **({"reason": why} if why else {})))


def _note_queue(run: Drive, seen: Observation) -> None:
    """Write down that the run waits for its first container on a cluster, or does so no more."""
    status = RunStatus.QUEUED if seen.is_queued else RunStatus.RUNNING
    if seen.is_queued is not None and status is not run.state.status:
        run.enter(status)
        run.done(run.state.step, status, application_id=seen.application_id)


def _seen(run: Drive, console: ConsoleReader, age_s: float) -> Observation:
    """How the run is, after a moment."""
    wait, handle = run.target.launcher.wait, run.state.handle
    if not console.is_watched:
        return wait(run.target.host, run.folder, handle, min(FOLLOW_S, max(SHORT_FOLLOW_S, age_s / 20)))
    if console.looked is not None and not console.wait(WATCH_S) and time.monotonic() - console.looked < LOOK_EVERY_S:
        return Observation(LaunchState.RUNNING)
    seen = wait(run.target.host, run.folder, handle, FOLLOW_S if console.is_all else 0.0)
    console.looked = time.monotonic()
    if seen.state is not LaunchState.RUNNING:
        console.wait(WATCH_S)  # what it printed last is on its way
    return seen


class Outage:
    """A time during which a target does not answer; ``note`` is told what is waited for, and ``""`` at its end."""

    def __init__(self, watcher: Watcher, note: Callable[[str], None] = lambda _: None) -> None:
        self._watcher = watcher
        self._note = note
        self._pause_s = 0.0

    def goes_on(self, error: TargetError) -> None:
        """It did not answer: says so once, and returns when it is time to try again."""
        if not self._pause_s:
            self._note(f"an answer: {error.what}")
            self._watcher.say(f"{error.what} The run may go on there; waiting for an answer (Ctrl-C stops waiting).")
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or FIRST_PAUSE_S)
        time.sleep(self._pause_s)

    def is_over(self) -> None:
        """It answered."""
        if self._pause_s:
            self._note("")
            self._watcher.say("It answers again.")
        self._pause_s = 0.0


class ConsoleReader:
    """Reads a run's console from a byte offset on: no line lost, none twice.

    A host that can says by itself when there is something new (`WatchingHost`); another is asked.
    """

    def __init__(self, host: Host, folder: RunFolder, offset: int = 0) -> None:
        self._host = host
        self._folder = folder
        self.offset = offset
        self._watching = watching(host)
        self._soon: Soon | None = None
        self._came: list[bytes] = []
        self._empty = 0
        self.is_all = False
        """The run ended, and all it printed was read."""
        self.is_at_end = False
        """There was nothing more the last time."""
        self.looked: float | None = None
        """When it was last asked how the run is."""

    @property
    def is_watched(self) -> bool:
        return self._watching is not None and not self._is_hollow

    @property
    def _is_hollow(self) -> bool:
        """Return True once there is nothing but NUL bytes: a sparse file may have any length."""
        return self._empty >= MOST_EMPTY

    def begin(self) -> None:
        """Have the host say what is printed, from now on, where it can."""
        if self._watching is not None and self._soon is None and not self.is_all and not self._is_hollow:
            path, end = self._folder.console, self._folder.exit
            self._soon = self._watching.read_soon(path, self.offset, CONSOLE_BLOCK, end)

    def wait(self, timeout_s: float) -> bool:
        """Wait for something to be printed, or for the end; whether all is here."""
        self.begin()
        if self._soon is not None:
            soon = self._soon
            try:
                came = soon.wait(timeout_s)
            except OSError:  # the run put something in its place: whoever collects it says what
                self._soon, self._empty = None, MOST_EMPTY
                return False
            except BaseException:
                self._soon = None
                raise
            if came is not None:
                self._soon = None
                content, self.is_all = came
                if content:
                    self._came.append(self._counted(content))
                self.begin()
        return self.is_all

    def new(self) -> list[bytes]:
        """What was printed since the last call, in blocks."""
        if self._soon is not None or self.is_all:
            self.wait(0)
            blocks, self._came = self._came, []
            return blocks
        return self._read()

    def rest(self) -> Iterator[bytes]:
        """What is left of it once the run has ended, however it did, a block at a time."""
        blocks, self._came = self._came, []
        yield from blocks
        if not self.is_all:
            self._soon, self.is_at_end = None, False
            while not self.is_at_end:
                yield from self._read()

    def _read(self) -> list[bytes]:
        """The next blocks, `MOST_AT_ONCE` of them at most; none where it is not there, or no file any more."""
        blocks: list[bytes] = []
        self.is_at_end = self._is_hollow
        while len(blocks) < MOST_AT_ONCE and not self.is_at_end:
            wanted = Piece(self._folder.console.name, CONSOLE_BLOCK, self.offset)
            try:
                (found,) = self._host.pieces(self._folder.path, [wanted])
            except TargetError:
                if blocks:  # they count as read: they must not be lost
                    return blocks
                raise
            content = b"" if isinstance(found, OSError) else found
            self.is_at_end = len(content) < CONSOLE_BLOCK or self._is_hollow
            if content:
                blocks.append(self._counted(content))
        return blocks

    def _counted(self, content: bytes) -> bytes:
        self.offset += len(content)
        self._empty = 0 if content.strip(b"\0") else self._empty + 1
        return content
