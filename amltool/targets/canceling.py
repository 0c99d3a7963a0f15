"""A cancel: one that is asked for while a run is prepared or placed is seen while that goes on, not only at its end;
one that comes to a run which ended by itself did not end it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from msgspec.structs import replace

from amltool.launchers.base import Exit, LaunchState, Observation
from amltool.launchers.exit_file import GONE
from amltool.run import ENDED_FIRST, parse_timestamp, timestamp

if TYPE_CHECKING:
    from amltool.history.journal import JournalEntry
    from amltool.run import RunStatus
    from amltool.targets.drive import Drive

LOOK_EVERY_S = 0.2
FROM_OUTSIDE = "terminated by something other than amltool"
"""Such as a host that ends what its users left when they log out (docs/az-ml.md)."""
FAR_OFF = timedelta(days=1)
"""So far the clock of another machine may be from ours."""


def as_it_ended(seen: Observation, entry: JournalEntry) -> Exit:
    """How a run ended, with the reason where a cancel, or that it came too late, is the reason.

    What the run's folder says of it is true, whenever we asked: ``canceled`` stands there only if the command still ran
    when the cancel came to it (`amltool.tracking.supervision`). A lost run, which says nothing, was ended by a cancel
    that came to it. No clock of another machine counts.
    """
    end = seen.exit or Exit(reason=GONE)
    if seen.state is not LaunchState.ENDED and entry.is_cancel_reached:
        end = replace(end, canceled=True)
    if end.canceled:
        return end if entry.cancel_asked else replace(end, reason=FROM_OUTSIDE)
    # a reason to cancel it that is written there is that of a submit that failed: nobody else wanted it
    if entry.cancel_asked and not entry.cancel_reason and not end.reason:
        return replace(end, reason=ENDED_FIRST)
    return end


def with_times(end: Exit, launched: str | None) -> Exit:
    """The end with both times, by our clock where it tells none, or one that is far from when we saw it run."""
    now = datetime.now(timezone.utc)
    earliest = (parse_timestamp(launched) if launched else now) - FAR_OFF

    def believed(time: str | None) -> str | None:
        return time if time and earliest <= parse_timestamp(time) <= now + FAR_OFF else None

    started = believed(end.started) or launched
    ended = believed(end.ended) or timestamp(now)
    return replace(end, started=started, ended=max(ended, started or ended))


class CanceledError(Exception):
    """Somebody wants the run canceled that is being prepared or placed."""


class UntilCanceled:
    """A run's watcher that ends what tells it something, by `CanceledError`, once the run is to be canceled."""

    def __init__(self, run: Drive) -> None:
        self._run = run
        self._looked = 0.0

    def status(self, status: RunStatus) -> None:
        self._run.watcher.status(status)

    def console(self, content: bytes) -> None:
        self._run.watcher.console(content)

    def say(self, message: str) -> None:
        self._look()
        self._run.watcher.say(message)

    def log(self, line: str) -> None:
        self._look()
        self._run.watcher.log(line)

    def progress(self, what: str, size: int, total: int | None) -> None:
        """As `Watcher.progress`; of nothing that was done, which says that one still waits, nobody is told."""
        self._look()
        if size:
            self._run.watcher.progress(what, size, total)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            if self._run.entry.cancel_asked:
                raise CanceledError
