"""A machine that sends more than SSH lets it send is hung up on: paramiko holds in memory whatever comes.

It may say that a packet has four gigabytes, compress as many into a few, or send on where a channel's window is full,
to somebody who reads slowly or not at all.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paramiko import Channel, Transport
    from paramiko.buffered_pipe import BufferedPipe

LARGEST_PACKET = 1 << 18
"""PACKET_MAX_SIZE of OpenSSH, eight times what RFC 4253 (6.1) has everybody be able to take."""


def bound_packets(transport: Transport) -> None:
    """Take no larger packet, neither as it comes nor as it is once it is not compressed any more."""
    packetizer = transport.packetizer
    read_all = packetizer.read_all

    def read_bounded(n: int, check_rekey: bool = False) -> bytes:
        if n > LARGEST_PACKET:
            raise _flood("a packet")
        return bytes(read_all(n, check_rekey))

    packetizer.read_all = read_bounded  # type: ignore[method-assign]
    # paramiko has no other place to say how it is to be decompressed
    ways = transport._compression_info  # type: ignore[attr-defined]
    bounded = {name: (compressor, decompressor and _Decompressor) for name, (compressor, decompressor) in ways.items()}
    transport._compression_info = bounded  # type: ignore[attr-defined]


def bound_window(channel: Channel) -> Channel:
    """Hold no more of what nobody has read than the window that the other side was given."""
    window = channel.get_transport().default_window_size
    for pipe in (channel.in_buffer, channel.in_stderr_buffer):
        _bound(pipe, window)
    return channel


def _bound(pipe: BufferedPipe[bytes], most: int) -> None:
    feed = pipe.feed

    def feed_bounded(content: bytes) -> None:
        if len(pipe) + len(content) > most:
            raise _flood("more than the window of a channel")
        feed(content)

    pipe.feed = feed_bounded  # type: ignore[method-assign, assignment]


class _Decompressor:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    def __call__(self, content: bytes) -> bytes:
        found = self._stream.decompress(content, LARGEST_PACKET)
        if self._stream.unconsumed_tail:
            raise _flood("a compressed packet")
        return found


def _flood(what: str) -> Exception:
    from paramiko.ssh_exception import SSHException

    return SSHException(f"it sends {what} that is too large")
