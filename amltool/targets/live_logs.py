"""The files of a run that goes on: what there is, one that grows, and all of ``logs/`` in a folder of this machine.

Names are checked here, no link is followed there, and a look costs one round trip, and one more where something grew.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import msgspec
from msgspec.structs import replace

from amltool.destination import Destination
from amltool.errors import UserError
from amltool.files import no_space, safe_text
from amltool.hosts.base import LARGEST_PIECE, FileKind, FileOnHost, Host, Piece
from amltool.layout import METRICS_FILE

TOPS = ("logs", "outputs")
MOST_AT_ONCE = 16 * LARGEST_PIECE
"""So many bytes of all files are brought before somebody else has a word."""
Where = Callable[[], PurePosixPath]
"""Gives the folder of the host that holds ``logs`` and ``outputs`` as they are now."""


class LiveFile(msgspec.Struct, frozen=True):
    """A file of a run that goes on: its size in bytes until now."""

    path: str
    size: int


def files_of(host: Host, where: PurePosixPath) -> Iterator[LiveFile]:
    """The regular files under ``logs/`` and ``outputs/`` until now."""
    for top in TOPS:
        for entry in host.walk(where.parent, f"{where.name}/{top}"):
            if entry.kind is FileKind.FILE and entry.path != ".":
                yield LiveFile(safe_text(f"{top}/{entry.path}"), entry.size)


def parts_of(path: str) -> list[str]:
    """The parts of a path under ``logs/`` or ``outputs/``.

    Raises:
        UserError: it is none.
    """
    parts = path.split("/")
    if parts[0] not in TOPS or len(parts) < 2 or {"", ".", ".."} & set(parts) or "\0" in path:
        raise UserError(
            f"{path!r} is no file under logs/ or outputs/ of a run.",
            "Name one of those that amltool logs RUN --list shows.",
        )
    return parts


class LogReader:
    """Reads one file from a byte offset on: no byte lost, none twice. One that is not there yet is waited for."""

    def __init__(self, host: Host, where: Where, path: str) -> None:
        """Raises UserError: the path is no file under ``logs/`` or ``outputs/``, nor that of the metrics."""
        if path != METRICS_FILE:
            parts_of(path)
        self._host, self._where, self._path = host, where, path
        self.offset = 0
        self.is_there = False

    def new(self) -> list[bytes]:
        """What was written since the last call, in blocks.

        Raises:
            UserError: what lies there is no file, or a link stands in the way.
        """
        blocks: list[bytes] = []
        while sum(map(len, blocks)) < MOST_AT_ONCE:
            where = self._where()
            wanted = Piece(f"{where.name}/{self._path}", LARGEST_PIECE, self.offset)
            (found,) = self._host.pieces(where.parent, [wanted])
            if isinstance(found, FileNotFoundError):
                break
            if isinstance(found, OSError):
                raise UserError(
                    f"{self._path} of the run cannot be read: {found.strerror}.", "Links there are not followed."
                ) from found
            self.is_there = True
            if not found:
                break
            self.offset += len(found)
            blocks.append(found)
            if len(found) < LARGEST_PIECE:
                break
        return blocks


class LogsCopy:
    """Keeps ``logs/`` of a run in a folder of this machine as it grows; what became smaller there begins anew."""

    def __init__(self, host: Host, where: Where, into: Path) -> None:
        self._host, self._where, self._into = host, where, Destination(into)
        self._have: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        """What cannot be kept here, and why."""
        self.told: set[str] = set()

    def bring(self) -> int:
        """Bring what is new; gives how many bytes that was. With `MOST_AT_ONCE` or more there may be more.

        Raises:
            UserError: the disk here is full.
        """
        where = self._where()
        found = self._host.walk(where.parent, f"{where.name}/{TOPS[0]}")
        entries = [entry for entry in found if entry.kind is FileKind.FILE]
        return self._take(where, [piece for entry in entries if (piece := self._lacking(entry)) is not None])

    def _lacking(self, entry: FileOnHost) -> Piece | None:
        """The next bytes of a file that are not here, or all of one that became smaller."""
        have = self._have.get(entry.path, -1)
        if entry.size == have or entry.path == "." or entry.path in self.refused:
            return None
        offset = have if 0 < have < entry.size else 0
        return Piece(f"{TOPS[0]}/{entry.path}", min(entry.size - offset, LARGEST_PIECE), offset)

    def _take(self, where: PurePosixPath, wanted: list[Piece]) -> int:
        brought = 0
        below = [replace(piece, path=f"{where.name}/{piece.path}") for piece in wanted]
        for piece, found in zip(wanted, self._host.pieces(where.parent, below), strict=False):
            if isinstance(found, OSError):  # gone, or no file any more
                continue
            path = piece.path.partition("/")[2]
            try:
                self._write(parts_of(piece.path), found, piece.offset)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise no_space(error, self._into.folder) from error
                self.refused[path] = error.strerror or str(error)
                continue
            except UserError as error:
                self.refused[path] = error.what
                continue
            self._have[path] = piece.offset + len(found)
            brought += len(found)
            if brought >= MOST_AT_ONCE:
                break
        return brought

    def _write(self, parts: list[str], content: bytes, offset: int) -> None:
        if offset:
            self._into.write_at(parts, content, offset)
        else:
            self._into.put(parts, [content], over_links=False)
