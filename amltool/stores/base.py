"""What an artifact store can do: keep content under its SHA-256 and give it back unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from amltool.configuration.secrets import SecretReference


class Kept(msgspec.Struct, frozen=True):
    """Content in a store: SHA-256 in hex, size in bytes."""

    sha256: str
    size: int


class SignIn(msgspec.Struct, frozen=True):
    """The sign-in to a storage account: a reference to a connection string, an account key or a SAS
    (``None``: what `azure-identity` finds), the URL of the account where it is not the usual one, and the file that
    remembers which kind of identity worked."""

    credential: SecretReference | None = None
    url: str | None = None
    remembered: Path | None = None


class Access(msgspec.Struct, frozen=True):
    """For whom a store outside of the clone is opened: the names of the project, the run and its commit."""

    account: str = ""
    workspace: str = ""
    project: str = ""
    run_id: str = ""
    commit: str = ""
    sign_in: SignIn = SignIn()


class ArtifactStore(Protocol):
    """Content-addressed: the same bytes are kept once. Whole or absent, durable when `flush` returns."""

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

    def put(self, stream: BinaryIO, limit: int | None = None, name: str | None = None) -> Kept:
        """Keep what the stream gives, to its end. More than ``limit`` bytes: ValueError, and nothing is kept.

        ``name`` is the path by which a person would look for it among the artifacts of the run; a store that names
        content by its SHA-256 alone passes over it. The content may still be under way until `flush` returns.
        """
        ...

    def flush(self) -> None:
        """Make everything that was put durable (a power cut loses none of it)."""
        ...

    def open(self, sha256: str, begun: Iterable[bytes] = ()) -> AbstractContextManager[BinaryIO]:
        """The content, verified while it is read: a reader that comes to the end has seen the right bytes.

        Of ``begun``, its first bytes that the reader has already, only what follows is given; both are verified as
        one.

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

    def foreign(self) -> Iterator[str]:
        """The names of what lies among the content and was not put there by a store of ours, or was changed since."""
        ...
