"""Say who drives a run where that keeps others waiting: a client stopped by Ctrl-Z, or one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

from amltool.history.journal import JournalEntry
from amltool.locks import SAID_AFTER_S, STOPPED_S, Holder, LockedError

LOOK_EVERY_S = 0.5
ASK_EVERY_S = 5.0
"""How often a machine is asked whether a run is over there that nobody records."""


def stopped_driver(entry: JournalEntry) -> Holder | None:
    """The process that drives a run, where it is stopped."""
    driver = entry.driver()
    return driver if driver is not None and driver.is_stopped else None


def drives(driver: Holder | None, run_id: str) -> str:
    """Who drives a run, and what makes that go on."""
    if driver is None:
        return f"Another process drives run {run_id} and records it when it goes on."
    return f"Run {run_id} is driven by {driver}; it records the run when it goes on. {driver.remedy}"


class DriverWatch:
    """Watches, for whoever waits for a run, its driver: says once who that is, where nothing goes on for two seconds.

    ``is_over`` asks where the run is whether it is over; it is called seldom.
    """

    def __init__(self, entry: JournalEntry, say: Callable[[str], None]) -> None:
        self._entry = entry
        self._say = say
        self._is_said = False
        self._looked = self._asked = time.monotonic()
        self._idle_since: float | None = None
        self._stopped_since: float | None = None

    def look(self, is_over: Callable[[], bool], *, goes_on_alone: bool = True) -> None:
        """The run is driven by another process, which is not through with it; ``goes_on_alone`` once it was started.

        Raises:
            LockedError: its driver was stopped for `STOPPED_S`, and nothing comes of the run without it.
        """
        now = time.monotonic()
        if now - self._looked < min(LOOK_EVERY_S, SAID_AFTER_S):
            return
        self._looked = now
        driver = stopped_driver(self._entry)
        self._give_up(driver, now, is_over, goes_on_alone)
        if self._is_said:
            return
        is_idle = driver is not None
        if not is_idle and self._idle_since is None and now - self._asked < min(ASK_EVERY_S, SAID_AFTER_S * 2.5):
            return
        if not is_idle:
            self._asked = now
            is_idle = is_over()
        if not is_idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= SAID_AFTER_S - LOOK_EVERY_S:
            self._is_said = True
            self._say(drives(self._entry.driver(), self._entry.run_id))

    def _give_up(self, driver: Holder | None, now: float, is_over: Callable[[], bool], goes_on_alone: bool) -> None:
        if driver is None:
            self._stopped_since = None
            return
        self._stopped_since = now if self._stopped_since is None else self._stopped_since
        if not self._is_said or now - self._stopped_since < STOPPED_S:
            return
        if goes_on_alone and not is_over():
            self._stopped_since = now
            return
        what = "is over, and is not recorded" if goes_on_alone else "is not started"
        raise LockedError(
            f"Run {self._entry.run_id} {what} while {driver} drives it: given up after {STOPPED_S:.0f} s.",
            f"{driver.remedy}; then: amltool wait {self._entry.run_id}",
        )
