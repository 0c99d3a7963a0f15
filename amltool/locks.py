"""Who holds a lock, and waiting for one: its holder is named after two seconds, and it is given up after a bound.

The kernel knows the holder of a lock on Linux (``/proc/locks``), also of one that another program took. Elsewhere, and
for the time since when, the lock file itself says it: `note_holder` is written by whoever gets a lock of ours.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from amltool.errors import UserError

SAID_AFTER_S = 2.0
LOCKED_S = 30.0
"""How long one holder may keep a lock that is held for a moment only, before whoever waits for it gives up."""
STOPPED_S = 10.0
"""The same where the holder is stopped (Ctrl-Z): it does not go on by itself."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.02
NOTE_BYTES = 200


class LockedError(UserError):
    """A lock was not free in time, or its file is none; nothing was done."""


class Holder(NamedTuple):
    """A process that holds a lock; ``since`` is a UTC time of day, empty where it is not known."""

    pid: int
    command: str
    since: str
    is_stopped: bool

    def __str__(self) -> str:
        command = f" ({self.command})" if self.command else ""
        since = f" since {self.since} UTC" if self.since else ""
        return f"process {self.pid}{command}{since}{', which is stopped' if self.is_stopped else ''}"

    @property
    def remedy(self) -> str:
        """What makes it let go."""
        if self.is_stopped:
            return f"Let it go on: kill -CONT {self.pid}, or end it: kill -9 {self.pid}"
        return f"Wait for it, or end it if it hangs: kill {self.pid}"


def own_note() -> bytes:
    """What this process writes into the file of a lock that it got: ``708 20:11:03``, the time in UTC."""
    return f"{os.getpid()} {time.strftime('%H:%M:%S', time.gmtime())}\n".encode("ascii")


def note_holder(handle: int) -> None:
    """Write down in a lock file that this process holds it now."""
    note = own_note()
    with contextlib.suppress(OSError):  # a full disk: the lock counts, not its note
        os.pwrite(handle, note, 0)
        os.ftruncate(handle, len(note))


def holder_of(path: Path) -> Holder | None:
    """The process that holds the lock on a file; ``None`` where nobody does, or where nobody can tell."""
    from amltool.tracking.lock_holder import pid_of

    pid, since, _ = noted(note_in(path))
    with contextlib.suppress(OSError):  # not on Linux
        found = pid_of(os.fspath(path))
        if found is None or found != pid:
            pid, since = found, ""
    if pid is None or not _is_alive(pid):
        return None
    command, is_stopped = _described(pid)
    return Holder(pid, command, since, is_stopped)


def note_in(path: Path) -> bytes:
    """What stands in a lock file; nothing where it cannot be read."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(handle, NOTE_BYTES)
        finally:
            os.close(handle)
    return b""


def noted(note: bytes) -> tuple[int | None, str, str]:
    """Process, time and (from another machine) machine of a note; it is input, and may hold anything."""
    words = [*note.decode("ascii", "replace").split(), "", "", ""]
    since = words[1] if len(words[1]) == 8 and words[1].replace(":", "").isdigit() else ""
    where = words[2] if words[2].replace("-", "").replace(".", "").isalnum() else ""
    return (int(words[0]) if words[0].isdigit() and len(words[0]) < 10 else None), since, where


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return pid > 0


def _described(pid: int) -> tuple[str, bool]:
    """The command of a process and whether it is stopped."""
    from amltool.tracking.lock_holder import described

    try:
        return described(pid)
    except OSError:
        return _described_by_ps(pid)


def _described_by_ps(pid: int) -> tuple[str, bool]:
    import subprocess

    from amltool.tracking.lock_holder import short

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            ["ps", "-o", "state=", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, timeout=2
        ).stdout.strip()
        state, _, command = said.partition(" ")
        return short(command.split()), state.startswith("T")
    return "", False


class Patience:
    """Waiting for a lock: says once who holds it, and gives up when one holder has kept it for too long.

    ``note`` reads what stands in its file, ``holder`` looks who that is; ``longest_pause_s`` lies between two attempts.
    """

    def __init__(
        self,
        what: str,
        note: Callable[[], bytes],
        holder: Callable[[], Holder | None],
        within_s: float = LOCKED_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._what = what
        self._note = note
        self._holder = holder
        self._within_s = within_s
        self._longest_pause_s = longest_pause_s
        self._begun = time.monotonic()
        self._seen: bytes | None = None
        self._is_said = False
        self._pause_s = FIRST_PAUSE_S

    @classmethod
    def of(cls, path: Path, what: str, within_s: float = LOCKED_S) -> Patience:
        """Waiting for the lock of a file of this machine."""
        return cls(what, lambda: note_in(path), lambda: holder_of(path), within_s)

    def goes_on(self, meanwhile: Callable[[], None] | None = None) -> None:
        """The lock is not free: returns when it is time to try again.

        Raises:
            LockedError: it is given up; names the holder, and what to do.
        """
        if time.monotonic() - self._begun > min(SAID_AFTER_S, self._within_s):
            self._look()
        if meanwhile is not None:
            meanwhile()
        time.sleep(self._pause_s)
        self._pause_s = min(self._longest_pause_s, 2 * self._pause_s)

    def _look(self) -> None:
        note = self._note()
        if self._seen is not None and note != self._seen:  # it goes from hand to hand: that is no reason to give up
            self._begun = time.monotonic()
        self._seen = note
        waited_s = time.monotonic() - self._begun
        if self._is_said and waited_s <= min(STOPPED_S, self._within_s):
            return
        holder = self._holder()
        stopped = holder is not None and holder.is_stopped
        if waited_s > (min(self._within_s, STOPPED_S) if stopped else self._within_s):
            raise self._given_up(holder, waited_s)
        if not self._is_said:
            self._is_said = True
            tell(f"Waiting for {self._what}, kept locked by {holder or 'another program'}.")

    def _given_up(self, holder: Holder | None, waited_s: float) -> LockedError:
        remedy = holder.remedy if holder else "See which program holds it"
        return LockedError(
            f"{self._what[0].upper()}{self._what[1:]} was kept locked by {holder or 'another program'} "
            f"for {waited_s:.0f} s: given up.",
            f"{remedy}; then run the same command again.",
        )


def tell(sentence: str) -> None:
    """Say something to whoever waits: a warning of the logger ``amltool``, which goes to standard error by default."""
    import logging

    logging.getLogger("amltool").warning("%s", sentence)
