"""What an artifact store can do: keep content under its SHA-256 and give it back unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

import msgspec


class Kept(msgspec.Struct, frozen=True):
    """Content in a store: SHA-256 in hex, size in bytes."""

    sha256: str
    size: int


class ArtifactStore(Protocol):
    """Content-addressed: the same bytes are kept once. Whole or absent, durable when `put` returns."""

    @property
    def address(self) -> str:
        """What a record says of it: ``file`` (this clone's own) or its URL."""
        ...

    def ready(self) -> None:
        """Make sure that content can be kept here, without a trace.

        Raises:
            UserError: it cannot; says why and what to do.
        """
        ...

    def put(self, stream: BinaryIO, limit: int | None = None) -> Kept:
        """Keep what the stream gives, to its end. More than ``limit`` bytes: ValueError, and nothing is kept."""
        ...

    def flush(self) -> None:
        """Make everything that was put durable (a power cut loses none of it)."""
        ...

    def open(self, sha256: str) -> AbstractContextManager[BinaryIO]:
        """The content, verified while it is read: a reader that comes to the end has seen the right bytes.

        Raises:
            KeyError: it is not there.
            DamagedError: the bytes are not those of this SHA-256 (raised at the latest by the last read).
        """
        ...

    def contains(self, sha256: str) -> bool: ...

    def remove(self, sha256: str) -> None:
        """Forget it; what is not there is fine."""
        ...

    def walk(self) -> Iterator[Kept]:
        """Everything that is kept, in order of SHA-256."""
        ...

    def check(self, sha256: str) -> bool:
        """Whether the bytes that are kept are the right ones. KeyError when not there."""
        ...
