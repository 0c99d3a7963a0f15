"""Content on its way to a store that names it by its SHA-256: read once to know that, and again to be sent."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import msgspec

from amltool.errors import UserError
from amltool.files import no_space
from amltool.stores.base import Kept

BLOCK = 4 << 20
MOST_BLOCKS = 50_000
"""Of one blob (Azure: "Scale targets for Blob Storage")."""
DIGEST_IN_ID = 48


class Block(msgspec.Struct, frozen=True):
    """A part of some content: where it begins, its size, and the SHA-256 of its bytes in hex."""

    offset: int
    size: int
    sha256: str

    @property
    def id(self) -> str:
        """The same for the same bytes at the same place, so that a later process knows what has arrived; 60 bytes."""
        return f"{self.offset:012x}{self.sha256[:DIGEST_IN_ID]}"


class Content(msgspec.Struct):
    """Bytes that can be read again: in memory, or in a file of which we hold the handle."""

    kept: Kept
    blocks: list[Block]
    memory: bytes = b""
    file: BinaryIO | None = None

    def read(self, block: Block) -> bytes:
        """The bytes of a block.

        Raises:
            UserError: they are not those that were read before.
        """
        if self.file is None:
            return self.memory[block.offset : block.offset + block.size]
        content = b"".join(_read_at(self.file.fileno(), block))
        if hashlib.sha256(content).hexdigest() != block.sha256:
            raise UserError(
                "A file of the run changed while it was sent to the artifact store.",
                "See that nothing of the run is alive.",
            )
        return content

    def close(self) -> None:
        self.memory = b""
        if self.file is not None:
            self.file.close()


def _read_at(handle: int, block: Block) -> Iterator[bytes]:
    offset, end = block.offset, block.offset + block.size
    while offset < end:
        piece = os.pread(handle, end - offset, offset)
        if not piece:
            return
        offset += len(piece)
        yield piece


def take(stream: BinaryIO, limit: int | None = None) -> Content:
    """Read a stream to its end: what is no longer than a block stays in memory, of a file on this machine the handle
    is kept, anything else goes through a temporary file.

    Raises:
        ValueError: it has more than ``limit`` bytes.
        UserError: the temporary file cannot be written.
    """
    first = _exactly(stream, BLOCK)
    _check(len(first), limit)
    if len(first) < BLOCK:
        return Content(Kept(hashlib.sha256(first).hexdigest(), len(first)), [], memory=first)
    file, is_copy = _file_behind(stream, len(first))
    try:
        return _taken(first, stream, file, limit, is_copy=is_copy)
    except BaseException:
        file.close()
        raise


def _taken(first: bytes, stream: BinaryIO, file: BinaryIO, limit: int | None, *, is_copy: bool) -> Content:
    whole, blocks, size, content = hashlib.sha256(), [], 0, first
    block_size = _block_size(stream)
    if block_size > BLOCK:
        content += _exactly(stream, block_size - BLOCK)
    while content:
        whole.update(content)
        blocks.append(Block(size, len(content), hashlib.sha256(content).hexdigest()))
        size += len(content)
        _check(size, limit)
        if is_copy:
            _append(file, content)
        content = _exactly(stream, block_size)
    if len(blocks) > MOST_BLOCKS:
        raise ValueError(f"more than {MOST_BLOCKS} blocks")
    if is_copy:
        with _full_disk():
            file.flush()
    return Content(Kept(whole.hexdigest(), size), blocks, file=file)


def _block_size(stream: BinaryIO) -> int:
    """Blocks as small as the service allows for a file of this size (a stream of unknown size ends at 195 GB)."""
    try:
        size = os.fstat(stream.fileno()).st_size
    except (OSError, ValueError):
        size = 0
    return max(BLOCK, -(-size // (MOST_BLOCKS - 1)))


def _file_behind(stream: BinaryIO, position: int) -> tuple[BinaryIO, bool]:
    """The file that a stream reads from its beginning, opened once more; else an empty temporary one, and True."""
    try:
        handle = stream.fileno()
        if stat.S_ISREG(os.fstat(handle).st_mode) and stream.tell() == position:
            return cast(BinaryIO, io.FileIO(os.dup(handle), "rb")), False
    except (OSError, ValueError):
        pass
    with _full_disk():
        return cast(BinaryIO, tempfile.TemporaryFile()), True


def _append(file: BinaryIO, content: bytes) -> None:
    with _full_disk():
        file.write(content)


class _full_disk:  # noqa: N801 - reads as a verb
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise no_space(error, tempfile.gettempdir()) from error


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes of a stream, fewer only at its end."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise ValueError(f"more than {limit} bytes")
