"""A cancel that is asked for while a run is prepared or placed: it is seen while that goes on, not only at its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amltool.run import RunStatus
    from amltool.targets.base import Drive

LOOK_EVERY_S = 0.2


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
