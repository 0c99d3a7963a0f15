"""A machine over SSH that lets everybody in and then answers without end: a process of its own, without Docker.

The name of the user who logs in says how it lies. ``python -m tests.hosts.hostile_machine`` prints its port and its
host key, and serves until its standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any

import paramiko  # noqa: TID251 (the other side of the door)
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED  # noqa: TID251

from amltool.hosts.ssh_stream import MARK
from amltool.hosts.there.answers import FRAME, MAGIC

FACTS = {
    "uid": 1, "gid": 1, "user": "ada", "home": "/home/ada", "python": "/usr/bin/python3", "python_version": "3.6.0",
    "boot_id": "1", "platform": "linux", "machine": "x86_64", "node": "vm",
}  # fmt: skip
TIME = 1_700_000_000_000_000_000
ENTRY = ["a", "file", 100_000, TIME, 33_188, 1_000_000, TIME]


def frame(header: Any, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return FRAME.pack(len(text), len(body)) + text + body


def large_parts(number: int) -> bytes:
    return frame({"to": number, "more": True}, bytes(1 << 20))


def empty_parts(number: int) -> bytes:
    return frame({"to": number, "more": True}) * 1000


def large_headers(number: int) -> bytes:
    """What is small as text, and 20 times as large once it is read."""
    return frame({"to": number, "more": True, "sizes": [[]] * 15_000})


def nested(number: int) -> bytes:
    """One answer that may be so large, and is 25 times as large once it is read."""
    block = b"[]," * 80_000
    parts = [frame({"to": number, "more": True}, block) for _ in range((8 << 20) // len(block) - 1)]
    first, last = frame({"to": number, "more": True}, b"["), frame({"to": number}, b"[]]")
    return first + b"".join(parts) + last


def entries(number: int) -> bytes:
    return frame({"to": number, "more": True}, json.dumps([ENTRY] * 500).encode())


def long_names(number: int) -> bytes:
    return frame({"to": number, "more": True}, json.dumps([["a" * 4000, *ENTRY[1:]]] * 400).encode())


def huge_frame(number: int) -> bytes:
    return FRAME.pack(50, 1 << 40) + frame({"to": number})[FRAME.size :] + bytes(1 << 20)


ANSWERS: dict[str, Callable[[int], bytes]] = {
    lie.__name__: lie
    for lie in (large_parts, empty_parts, large_headers, nested, entries, long_names, huge_frame)
}  # fmt: skip
ONCE = ("nested",)


class _Bomb:
    """Compresses what it is given, and 200 MB of nothing behind it, into one packet."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(9)
        self.is_armed = False

    def __call__(self, content: bytes) -> bytes:
        found = self._stream.compress(content)
        for _ in range(200 if self.is_armed else 0):
            found += self._stream.compress(bytes(1 << 20))
        return found + self._stream.flush(zlib.Z_FULL_FLUSH)


class _Machine(paramiko.ServerInterface):
    def __init__(self, stream: socket.socket, key: paramiko.PKey) -> None:
        self._transport = paramiko.Transport(stream)
        self._bomb = _Bomb()
        ways = self._transport._compression_info  # type: ignore[attr-defined]
        bombs = {name: (way[0] and (lambda: self._bomb), way[1]) for name, way in ways.items()}
        self._transport._compression_info = bombs  # type: ignore[attr-defined]
        self._transport.use_compression(True)
        self._transport.add_server_key(key)
        self._transport.start_server(server=self)

    def check_auth_password(self, username: str, password: str) -> int:
        return int(AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(OPEN_SUCCEEDED)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        is_first = channel.get_id() == 0
        threading.Thread(target=self._talk if is_first else self._flood, args=(channel,), daemon=True).start()
        return True

    def _talk(self, channel: paramiko.Channel) -> None:
        """As amltool's part there does, until somebody asks; from then on as the lie has it."""
        lie, asked = str(self._transport.get_username()), queue.SimpleQueue[int]()
        channel.sendall(MAGIC + frame(FACTS))
        threading.Thread(target=_hear, args=(channel, asked), daemon=True).start()
        with contextlib.suppress(OSError, EOFError):  # the client has enough
            while True:
                self._answer(lie, asked.get(), channel, asked)

    def _answer(self, lie: str, number: int, channel: paramiko.Channel, asked: queue.SimpleQueue[int]) -> None:
        if lie in ANSWERS:
            content = ANSWERS[lie](number)
            channel.sendall(content)
            while lie not in ONCE:
                channel.sendall(content)
                if not asked.empty():
                    return
        elif lie == "huge_packet":
            self._transport.sock.sendall(struct.pack(">I", (1 << 31) - 12))
            while True:
                self._transport.sock.sendall(bytes(1 << 20))
        elif lie == "bomb":
            self._bomb.is_armed = True
        channel.sendall(frame({"to": number, "exit_code": 0, "stdout": 0}))

    def _flood(self, channel: paramiko.Channel) -> None:
        """Any other command prints for ever; a lie sends on where nobody takes it."""
        is_lie = self._transport.get_username() == "flood"
        if is_lie:
            channel.out_window_size = 1 << 40
        with contextlib.suppress(OSError, EOFError):
            channel.sendall(MARK)
            while True:
                (channel.sendall_stderr if is_lie else channel.sendall)(bytes(1 << 20))


def _hear(channel: paramiko.Channel, asked: queue.SimpleQueue[int]) -> None:
    """The numbers of the requests, as they come."""
    stream = channel.makefile("rb")
    with contextlib.suppress(OSError, EOFError):
        while size := stream.read(FRAME.size):
            header_size, body_size = FRAME.unpack(size)
            header = json.loads(stream.read(header_size))
            stream.read(body_size)
            if header["operation"] != "ping":
                asked.put(header["number"])


def main() -> None:
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    key = paramiko.ECDSAKey.generate()
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]} {key.get_name()} {key.get_base64()}\n")
    sys.stdout.flush()
    machines = []

    def serve() -> None:
        while True:
            machines.append(_Machine(listening.accept()[0], key))

    threading.Thread(target=serve, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
