"""What a launcher can do: start the command of a run, once, and say how it is."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePosixPath
from typing import Any, Protocol

import msgspec

from amltool.hosts.base import Host
from amltool.layout import RunFolder
from amltool.run import Exit

Handle = dict[str, Any]
"""What a later process needs to find the run again; plain JSON, kept in the journal, no secrets."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One start: the command (program first), its whole environment, limits in seconds.

    ``secrets`` are values that must never reach a file: they are redacted from the console. The environment may
    hold them; it travels over standard input, never on a command line. ``image`` and ``accounts`` (its
    ``/etc/passwd``) say in what a container is made. ``mark`` is the number that its processes are known by, and
    ``proof`` the word by which its client knows an end to be the bootstrap's own.
    """

    run_id: str
    folder: RunFolder
    command: list[str]
    environment: dict[str, str]
    secrets: list[str] = []
    timeout_s: float | None = None
    labels: dict[str, str] = {}
    image: str | None = None
    python: list[str] = []
    accounts: str = ""
    mark: int | None = None
    proof: str = ""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A start that will come: what is known of it so far; ``image`` only once the environment is prepared."""

    run_id: str
    folder: RunFolder
    labels: dict[str, str] = {}
    image: str | None = None
    python: list[str] = []
    accounts: str = ""


class LaunchState(str, Enum):
    """Where a launched command stands; ``LOST`` means that it will never say how it ended."""

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


class Observation(msgspec.Struct, frozen=True):
    """What a look at a launched command showed; ``exit`` is there when it ended or is lost.

    On a cluster: ``application_id`` of YARN, whether it waits there for its first container, and the version of
    ``spark``; ``None`` says nothing.
    """

    state: LaunchState
    exit: Exit | None = None
    application_id: str | None = None
    is_queued: bool | None = None
    spark: str | None = None


class LeftBehind(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a start of a run left outside of its folder: what and where, ``size`` in bytes.

    With ``is_anybodys`` it may be of a run of another clone.
    """

    kind: str
    place: str
    size: int
    run_id: str
    is_anybodys: bool = False


class Launcher(Protocol):
    """Starts the command of a run on a host. Every method may be called again by another process."""

    def get_ready(self, host: Host, expected: Expected) -> None:
        """Do beforehand what a start needs and what has no effect without it; called again when more is known, or
        never. What goes wrong is left to `start` to meet and say."""
        ...

    def start(self, host: Host, launch: Launch) -> Handle:
        """Start it and return once it is certain that it was started; a second start of the same run has no
        effect (the first one goes on) and returns an equal handle.

        Raises:
            UserError: it cannot be started at all (no such program, no such folder).
        """
        ...

    def observe(self, host: Host, folder: RunFolder, handle: Handle) -> Observation:
        """How it is now; never waits. Raises TargetError when the host does not answer."""
        ...

    def is_over(self, host: Host, folder: RunFolder) -> bool:
        """Whether a run that began is over, whoever started it; unlike `observe` it brings nothing of it to the run's
        folder, where another client may be at work. Raises TargetError when the host does not answer."""
        ...

    def live_work(self, host: Host, folder: RunFolder) -> PurePosixPath:
        """The folder of the host that has what a run wrote to ``logs/`` until now; where the host does not see that
        itself, it is brought there, as seldom as it takes long. Raises TargetError when the host does not answer."""
        ...

    def wait(self, host: Host, folder: RunFolder, handle: Handle, timeout_s: float) -> Observation:
        """Like `observe`, but returns only when it ended, is lost, or the time is over."""
        ...

    def cancel(self, host: Host, folder: RunFolder, handle: Handle, grace_s: float = 10.0) -> None:
        """Ask the whole process tree to end (SIGTERM), kill what is left after the grace time, and return when
        nothing of it is left (at most 15 s). One that ended already is left as it ended."""
        ...

    def forget(self, host: Host, folder: RunFolder) -> bool:
        """Remove what `get_ready` and `start` left outside of the run's folder: the run is recorded, or was never
        started. Nothing there is fine. Return True if nothing of the run can be alive after it."""
        ...

    def end(self, host: Host, folder: RunFolder, handle: Handle) -> None:
        """Kill whatever is alive of a run that said itself that it ended. Raises TargetError when the host does not
        answer."""
        ...

    def left_behind(self, host: Host, clone: str) -> list[LeftBehind]:
        """What starts of runs of one clone (its label) left outside of run folders, of whatever run."""
        ...

    def remove_left_behind(self, host: Host, folder: RunFolder) -> None:
        """Remove what `left_behind` names of one run that is over. Raises TargetError when that cannot be done."""
        ...


__all__ = ["Exit", "Expected", "Handle", "Launch", "LaunchState", "Launcher", "Observation"]
