"""Who is told what happens while a run is driven."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from amltool.run import RunStatus

TAIL = 8 << 10


class Watcher(Protocol):
    """Who is told what happens while a run is driven."""

    def status(self, status: RunStatus) -> None:
        """The run has come to this status."""

    def console(self, content: bytes) -> None:
        """The run printed this."""

    def say(self, message: str) -> None:
        """A sentence for the user."""

    def log(self, line: str) -> None:
        """A line that the build of the environment printed."""

    def progress(self, what: str, size: int, total: int | None) -> None:
        """So many bytes more of ``what`` were done."""


class Silent:
    """A watcher nobody listens to."""

    def status(self, status: RunStatus) -> None: ...

    def console(self, content: bytes) -> None: ...

    def say(self, message: str) -> None: ...

    def log(self, line: str) -> None: ...

    def progress(self, what: str, size: int, total: int | None) -> None: ...


class TailWatcher:
    """Hands everything on to another watcher, and keeps the end of what the run printed, `TAIL` bytes at most."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.tail = b""

    def status(self, status: RunStatus) -> None:
        self._watcher.status(status)

    def console(self, content: bytes) -> None:
        self.tail = (self.tail + content[-TAIL:])[-TAIL:]
        self._watcher.console(content)

    def passed(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The blocks themselves, noted as they pass."""
        for block in blocks:
            self.console(block)
            yield block

    def say(self, message: str) -> None:
        self._watcher.say(message)

    def log(self, line: str) -> None:
        self._watcher.log(line)

    def progress(self, what: str, size: int, total: int | None) -> None:
        self._watcher.progress(what, size, total)
