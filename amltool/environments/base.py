"""What an execution environment can do: be there, and say exactly what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from amltool.hosts.base import Host

Progress = Callable[[str], None]
"""Called with a line of what is being done, for people."""


Dependencies = Callable[[], Mapping[str, bytes]]
"""Gives the dependency files a run configuration names, by their path in the project; missing ones are left out."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An execution environment that is there: how to run Python in it, and the lock of what it holds.

    ``variables`` are set in the run before its own; ``notices`` are sentences for the user.
    """

    python: list[str]
    key: str
    lock: bytes
    image: str | None = None
    variables: dict[str, str] = {}
    notices: tuple[str, ...] = ()


class ExecutionEnvironment(Protocol):
    """Brings an environment about on a host; the same request again finds what is there."""

    def prepare(self, host: Host, dependencies: Dependencies, progress: Progress) -> Prepared:
        """Build it or find it built; ``dependencies`` reads the dependency files of the snapshot when they matter.

        Raises:
            UserError: it cannot be had; says what stands in the way.
        """
        ...
