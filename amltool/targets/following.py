"""Follow a run to its end: its console, its cancellation, and times when its target does not answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from amltool.errors import TargetError
from amltool.launchers.base import LaunchState, Observation

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from amltool.hosts.base import Host
    from amltool.layout import RunFolder
    from amltool.targets.base import Drive, Watcher

FOLLOW_S = 0.05
"""How long one look at a running command may wait, in seconds: the most a console line is late here."""
SHORT_FOLLOW_S = 0.01
"""The same at the beginning: the end of a short run should not be waited for."""
KEEP_AFTER_S = 1.0
"""A run that lasts longer keeps its snapshot at once; a shorter one keeps it with its record."""
CONSOLE_BLOCK = 1 << 20
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
"""Between two attempts to reach a target that does not answer."""


def follow(run: Drive) -> Observation:
    """Pass on what a launched run prints, cancel it when somebody asks for that, and return when it ended.

    A target that does not answer says nothing about the run: it is waited for.
    """
    target, launcher = run.target, run.target.launcher
    console = ConsoleReader(target.host, run.folder, run.console_offset)
    outage = Outage(run.watcher)
    canceled = kept = False
    begun = time.monotonic()
    while True:
        look_s = min(FOLLOW_S, max(SHORT_FOLLOW_S, (time.monotonic() - begun) / 20))
        try:
            seen = launcher.wait(target.host, run.folder, run.state.handle, look_s)
            for block in console.new():
                run.watcher.console(block)
            if seen.state is not LaunchState.RUNNING:
                outage.is_over()
                return seen
            if run.entry.cancel_asked and not canceled:
                launcher.cancel(target.host, run.folder, run.state.handle)
                canceled = True
        except TargetError as error:
            outage.goes_on(error)
            continue
        outage.is_over()
        if not kept and time.monotonic() - begun > KEEP_AFTER_S:
            run.keep_snapshot()
            kept = True


class Outage:
    """A time during which a target does not answer."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._pause_s = 0.0

    def goes_on(self, error: TargetError) -> None:
        """It did not answer: says so once, and returns when it is time to try again."""
        if not self._pause_s:
            self._watcher.say(f"{error.what} The run may go on there; waiting for an answer (Ctrl-C stops waiting).")
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or FIRST_PAUSE_S)
        time.sleep(self._pause_s)

    def is_over(self) -> None:
        """It answered."""
        if self._pause_s:
            self._watcher.say("It answers again.")
        self._pause_s = 0.0


class ConsoleReader:
    """Reads a run's console from a byte offset on: no line lost, none twice."""

    def __init__(self, host: Host, folder: RunFolder, offset: int = 0, path: PurePosixPath | None = None) -> None:
        self._host = host
        self._path = path or folder.console
        self.offset = offset

    def new(self) -> list[bytes]:
        """What was printed since the last call, in blocks."""
        blocks: list[bytes] = []
        while True:
            try:
                block = self._host.read(self._path, self.offset, CONSOLE_BLOCK)
            except FileNotFoundError:
                return blocks
            except TargetError:
                if blocks:  # they count as read: they must not be lost
                    return blocks
                raise
            if not block:
                return blocks
            self.offset += len(block)
            blocks.append(block)
            if len(block) < CONSOLE_BLOCK:
                return blocks
