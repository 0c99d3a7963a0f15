"""What a host can do: the seam between amltool and a machine, this one or one over SSH."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

import msgspec


class FileKind(str, Enum):
    """What lies under a name on a host; only regular files are ever collected."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


class FileOnHost(msgspec.Struct, frozen=True):
    """One name below a folder: ``path`` relative to it (``os.fsdecode`` form), ``size`` in bytes,
    ``mtime_ns`` since the epoch, ``inode`` and ``ctime_ns`` where the host knows them (else 0)."""

    path: str
    kind: FileKind
    size: int
    mtime_ns: int
    mode: int = 0
    inode: int = 0
    ctime_ns: int = 0


LARGEST_PIECE = 1 << 20
"""The most bytes a `Piece` may have."""


class Piece(msgspec.Struct, frozen=True):
    """Bytes of a file: at most ``limit`` of them (`LARGEST_PIECE` is the most) from ``offset`` on."""

    path: str
    limit: int
    offset: int = 0


class CommandResult(msgspec.Struct, frozen=True):
    """What a short command on a host came to; a command ended by signal n has exit code -n."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Host(Protocol):
    """A machine. Paths are absolute on that machine; every method may raise TargetError ("unreachable").

    A missing file is FileNotFoundError, as on this machine, so that callers read the same everywhere.
    """

    @property
    def name(self) -> str:
        """For people and for the record."""
        ...

    @property
    def root(self) -> PurePosixPath:
        """Amltool's own folder there (absolute, ``~`` resolved)."""
        ...

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:
        """Run a short command to its end."""
        ...

    def start(self, command: Sequence[str], *, input: bytes = b"") -> None:
        """Start a command in a session of its own, detached from us, its streams on ``/dev/null``; feed it
        ``input`` on its standard input and do not wait for it."""
        ...

    def read(self, path: PurePosixPath, offset: int = 0, limit: int | None = None) -> bytes:
        """Bytes of a file from an offset; shorter than ``limit`` only at the end of the file."""
        ...

    def write(self, path: PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        """Write a file whole (beside its place, then renamed); makes the folders above it."""
        ...

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder and those above it; one that is there is fine."""
        ...

    def exists(self, path: PurePosixPath) -> bool:
        """Whether something (a link counts as itself) lies there."""
        ...

    def names(self, folder: PurePosixPath) -> list[str]:
        """The names in a folder, sorted; FileNotFoundError where there is none."""
        ...

    def rename(self, source: PurePosixPath, destination: PurePosixPath) -> None:
        """Rename within one file system; a folder never replaces what is there."""
        ...

    def remove(self, path: PurePosixPath) -> None:
        """Remove a file or a whole tree (never following links, whatever modes its folders have); none is fine."""
        ...

    def walk(self, folder: PurePosixPath, below: str = "") -> Iterator[FileOnHost]:
        """Everything below a folder, folders included, in sorted order, links never followed; a missing folder
        has nothing below it; what cannot be read is given with kind OTHER.

        With ``below`` (a path from the folder on) it is everything below that one, whose parts may be no links, either:
        one that is no folder is given as an entry ``.``."""
        ...

    def changed(self, folder: PurePosixPath, below: str, since: str, skipped: Sequence[str], limit: int) -> list[str]:
        """The paths of what is no folder and changed after a file ``since`` of a folder did, below ``below`` in it,
        as `walk` gives them; at most ``limit``. Folders whose path or name is to be ``skipped`` are not looked into."""
        ...

    def open(self, folder: PurePosixPath, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a regular file below a folder for reading, following no link in any component of ``path``.

        Raises:
            FileNotFoundError: nothing there any more.
            OSError: it is no regular file, cannot be read, or a link stands in the way.
        """
        ...

    def pieces(self, folder: PurePosixPath, wanted: Iterable[Piece]) -> Iterator[bytes | OSError]:
        """Read pieces of regular files below a folder, in their order, each as `open` would find it: shorter than its
        limit only at the end of the file, or what stands in the way. Many cost few round trips."""
        ...
