"""Who is told what happens while a run is driven."""

from __future__ import annotations

from typing import Protocol

from amltool.run import RunStatus


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
