"""What an execution environment can do: be there, and say exactly what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from amltool.hosts.base import Host

ReadFile = Callable[[str], bytes | None]
"""Gives a file of the snapshot by its path in the project; ``None`` where there is none."""


class Progress(Protocol):
    """Who is told what is being done while an environment is built."""

    def say(self, message: str) -> None:
        """A sentence for the user."""

    def log(self, line: str) -> None:
        """A line of the build's own output."""

    def progress(self, what: str, size: int, total: int | None) -> None:
        """So many bytes more of ``what`` were done."""


class EnvironmentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks of its environment.

    ``conda_file`` and ``spark_file`` are paths in the project, which `read` reads; ``lock`` is that of the run that is
    run again: the same packages are wanted, not what the loose files resolve to today.
    """

    read: ReadFile
    conda_file: str | None = None
    spark_file: str | None = None
    framework: str = "Python"
    lock: bytes | None = None

    @property
    def wants_spark(self) -> bool:
        return self.framework == "PySpark"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An execution environment that is there: how to run Python in it, and the lock of what it holds.

    ``variables`` are set in the run before its own; ``spark_submit`` is the program that starts Spark (empty where
    there is none); ``image`` the id of the image (``sha256:<64 hex>``); ``accounts`` the image's ``/etc/passwd``;
    ``archive`` names what YARN brings to the nodes of a cluster (JSON: ``local`` on the head node, ``remote`` on its
    file system); ``notices`` are sentences for the user. One that was ``built`` by us lies where `clean` may find it.
    """

    python: list[str]
    key: str
    lock: bytes
    image: str | None = None
    variables: dict[str, str] = {}
    spark_submit: list[str] = []
    accounts: str = ""
    archive: str = ""
    notices: tuple[str, ...] = ()
    built: bool = False


class KeptEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """An environment (or what an interrupted build left) that lies on a host: ``place`` is its path or image name,
    ``size`` in bytes, ``key`` as in `Prepared`; ``reason`` says what it is for."""

    kind: str
    place: str
    size: int
    key: str
    reason: str


class ExecutionEnvironment(Protocol):
    """Brings an environment about on a host; the same request again finds what is there."""

    def find(self, host: Host, request: EnvironmentRequest) -> Prepared | None:
        """The environment a request means, when it is there already and whole; builds nothing.

        Raises:
            UserError: it can never be had as asked (a mistake in the dependency files, no such interpreter).
        """
        ...

    def prepare(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Prepared:
        """Build it or find it built; safe when several build the same at once.

        Raises:
            UserError: it cannot be had; says what stands in the way.
        """
        ...

    def kept(self, host: Host) -> list[KeptEnvironment]:
        """All that `prepare` ever left on this host and that can be built again."""
        ...

    def remove(self, host: Host, kept: KeptEnvironment) -> None:
        """Remove one of `kept`; one that is gone is fine."""
        ...
