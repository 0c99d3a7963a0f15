"""The form of what two ends of a placing say to each other; standard library, Python 3.6.

A frame is its length in four bytes (big-endian) and so many bytes. A message is a frame that holds JSON, compressed.
A content of unknown length is a row of frames, ended by an empty one.
"""

import json
import struct
import zlib
from typing import Any, Callable, Iterator

MOST = 256 << 20
"""A longer frame, or a message that is longer when it is unpacked, is none of ours: something else speaks."""
BLOCK = 256 << 10
"""Contents travel in frames of at most so many bytes."""

Read = Callable[[int], bytes]
"""Gives at least one and at most so many bytes; none at the end of the stream."""


class CutError(Exception):
    """The stream ended, or what came is not of this form."""


def framed(content: bytes) -> bytes:
    """A frame."""
    return struct.pack(">I", len(content)) + content


def message(value: Any) -> bytes:
    """The frame of a message."""
    return framed(zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), 6))


def read_frame(read: Read, most: int = MOST) -> bytes:
    """The content of the next frame, of at most so many bytes.

    Raises:
        CutError: the stream ended before it was whole, or it is longer.
    """
    size = struct.unpack(">I", _exactly(read, 4))[0]
    if size > most:
        raise CutError("what was said is not understood")
    return _exactly(read, size)


def read_message(read: Read, most: int = MOST) -> Any:
    """The value of the next message, of at most so many bytes however small it is packed.

    Raises:
        CutError: the stream ended before it was whole, or what came is no message.
    """
    content = read_frame(read, most)
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(content, most)
        if not unpacking.eof:
            raise ValueError
        return json.loads(text.decode("ascii"))
    except (zlib.error, ValueError, RecursionError):
        raise CutError("what was said is not understood") from None


def read_contents(read: Read) -> Iterator[bytes]:
    """The frames of a content.

    Raises:
        CutError: the stream ended before it was whole.
    """
    block = read_frame(read)
    while block:
        yield block
        block = read_frame(read)


def _exactly(read: Read, size: int) -> bytes:
    found = read(size) if size else b""
    if len(found) == size:
        return found
    blocks = [found]
    left = size - len(found)
    while left:
        if not blocks[-1]:
            raise CutError("the stream ended")
        blocks.append(read(left))
        left -= len(blocks[-1])
    return b"".join(blocks)
