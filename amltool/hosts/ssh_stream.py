"""A command on a host with its streams in our hands, in a channel of its own; and a larger file, read ahead."""

from __future__ import annotations

import contextlib
import io
import queue
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from amltool.errors import TargetError
from amltool.hosts.ssh_answers import LARGEST_OUTPUT, Pending, most_for
from amltool.hosts.ssh_failures import failures_of, lost, missing_program, not_asked_for, said_too_much
from amltool.hosts.ssh_requests import (
    GREETING_S,
    MOST_NOISE,
    PIECE,
    STUCK_S,
    TICK_S,
    Requests,
    begin_command,
    python_word,
    says_too_much,
)

if TYPE_CHECKING:
    from types import TracebackType

    from paramiko import Channel
    from typing_extensions import Self

    from amltool.hosts.ssh_connection import SshConnection

FIRST_BLOCK = 1 << 18
"""A file that is no larger comes with the answer to its opening."""
BLOCK = 1 << 18
AHEAD = 8
MARK = b"\0amltool starts a command\1\n"
"""Said before a command says anything: what comes earlier is of the login shell's start files, and passed over."""
_NO_PROGRAM = 127
_EXEC = f"""import os, sys
os.write(1, {MARK!r})
words = [bytes.fromhex(word[1:]) for word in sys.argv[1:]]
try:
    os.execvp(words[0], words)
except OSError:
    os._exit(127)
"""
_EXEC_LATER = f"""import os
os.write(1, {MARK!r})
def take(size):
    found = b""
    while len(found) < size:
        found += os.read(0, size - len(found)) or os._exit(0)
    return found
words = take(int.from_bytes(take(4), "big")).split(bytes(1))
try:
    os.execvp(words[0], words)
except OSError:
    os._exit(127)
"""


class WaitingChannel:
    """A channel with an interpreter in it that waits for the words of its command.

    It is opened while other things go on: what is said to it reaches the command in half a round trip, where one that
    is opened at the need takes two more (sshd takes nothing for a command that it has not started).
    """

    def __init__(self, connection: SshConnection) -> None:
        self._opened: queue.SimpleQueue[Channel | None] = queue.SimpleQueue()
        threading.Thread(target=self._open, args=(connection,), daemon=True).start()

    def take(self) -> Channel | None:
        """The channel, for one command; ``None`` where it could not be had (sshd's MaxSessions) or is gone."""
        channel = self._opened.get()
        return None if channel is None or channel.closed or channel.eof_received else channel

    def _open(self, connection: SshConnection) -> None:
        channel = None
        with contextlib.suppress(Exception):  # who needs it opens another, and hears why that fails
            channel = connection.open_channel()
            begin_command(channel, f"exec python3 -I -S -B -c {python_word(_EXEC_LATER)}")
        self._opened.put(channel)


class SshStream:
    """A running command: `write` to its input, `read` its output. Its end of the channel ends with the connection.

    The channel is a fresh one, or that of a `WaitingChannel`. ``is_heard`` says whether the machine answers other
    questions over the same connection: behind another machine that is all that shows a cut.
    """

    def __init__(
        self,
        channel: Channel,
        command: Sequence[str],
        address: str,
        *,
        is_waiting: bool = False,
        is_heard: Callable[[], bool] = lambda: True,
    ) -> None:
        self._channel = channel
        self._address = address
        self._is_heard = is_heard
        self._moved = time.monotonic()
        self._program = command[0]
        self._noise: bytearray | None = bytearray()
        self._begun = time.monotonic()
        words = [word.encode("utf-8", "surrogateescape") for word in command]
        if is_waiting:
            said = b"\0".join(words)
            self.write(struct.pack(">I", len(said)) + said)
            channel.settimeout(None)  # who uses its `socket` sets what they need
            return
        with failures_of(address):
            shown = " ".join("x" + word.hex() for word in words)
            begin_command(channel, f"exec python3 -I -S -B -c {python_word(_EXEC)} {shown}")

    @property
    def socket(self) -> Channel:
        """What behaves as a socket: recv, sendall, makefile, settimeout, shutdown, close, fileno."""
        if self._noise is not None:
            self._received(0)
        return self._channel

    def read(self, size: int = -1) -> bytes:
        """At least one byte and up to ``size``, as soon as there is any; with -1 all to the end; nothing at the end.

        Raises:
            LostError: the connection went away first.
            TargetError: all to the end is more than `LARGEST_OUTPUT`.
        """
        if size >= 0:
            return self._received(size)
        blocks, left = [], LARGEST_OUTPUT
        while block := self._received(1 << 18):
            left -= len(block)
            if left < 0:
                raise said_too_much(self._program, self._address, LARGEST_OUTPUT)
            blocks.append(block)
        return b"".join(blocks)

    def write(self, content: bytes) -> int:
        """Send all of it.

        Raises:
            BrokenPipeError: the command reads no more.
            LostError: the connection went away.
        """
        view = memoryview(content)
        self._begin_moving()
        try:
            while view:
                try:
                    sent = self._channel.send(bytes(view[:PIECE]))
                except TimeoutError:
                    self._check_moving()
                    continue
                if not sent:
                    raise OSError
                self._moved = time.monotonic()
                view = view[sent:]
        except (OSError, EOFError):
            self._check()
            raise BrokenPipeError(32, "the command reads no more", self._program) from None
        return len(content)

    def close_writing(self) -> None:
        """Let the command see the end of its input."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def stderr(self) -> bytes:
        """What the command complained of since the last call."""
        blocks = []
        while self._channel.recv_stderr_ready() and (block := self._channel.recv_stderr(PIECE)):
            blocks.append(block)
        return b"".join(blocks)

    def wait(self, timeout_s: float | None = None) -> int:
        """The command's exit code; -1 when a signal ended it (paramiko does not say which).

        Raises:
            FileNotFoundError: there is no such program.
            TargetError: it did not end within its time.
            LostError: the connection went away first.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        self._begin_moving()
        while not self._channel.status_event.wait(TICK_S if until is None else min(TICK_S, until - time.monotonic())):
            self._check_moving()
            if until is not None and time.monotonic() >= until:
                raise TargetError(
                    f"{self._program} did not end within {timeout_s:g} s on {self._address}.",
                    "Try again, or look what holds it.",
                )
        code = int(self._channel.exit_status)
        if code == -1:
            self._check()
        if code == _NO_PROGRAM:
            raise missing_program(self._program)
        return code

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it may be dead already
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _received(self, size: int) -> bytes:
        self._begin_moving()
        while True:
            try:
                if self._noise is not None and not self._pass_over_noise(self._noise):
                    continue
                block: bytes = self._channel.recv(size) if size else b""
            except TimeoutError:
                self._check_moving()
                continue
            if not block and size:
                self._check()
            return block

    def _pass_over_noise(self, noise: bytearray) -> bool:
        """Take one more block of what comes up to the mark, and not a byte after it; True once it is over.

        Raises:
            TargetError: it does not end.
        """
        known = next(size for size in range(len(MARK) - 1, -1, -1) if noise.endswith(MARK[:size]))
        block = self._channel.recv(len(MARK) - known)
        noise += block
        if len(noise) > MOST_NOISE or time.monotonic() - self._begun > GREETING_S + STUCK_S:
            raise says_too_much(self._address)
        if block and not noise.endswith(MARK):
            return False
        self._noise = None
        return True

    def _begin_moving(self) -> None:
        self._channel.settimeout(TICK_S)
        self._moved = time.monotonic()

    def _check_moving(self) -> None:
        """An upload that goes on, and a command that says nothing for long, are no lost connection."""
        if not self._is_heard() and time.monotonic() - self._moved > STUCK_S:
            raise lost(self._address)

    def _check(self) -> None:
        if not self._channel.get_transport().is_active():
            raise lost(self._address)


class RemoteFile(io.RawIOBase):
    """A larger file that is open there, read from its start, some blocks ahead; it ends with the first short block,
    for what it grows by meanwhile would stand behind a gap."""

    def __init__(self, requests: Requests, handle: int, first: bytes, address: str) -> None:
        self._requests = requests
        self._address = address
        self._handle = handle
        self._block = memoryview(first)
        self._asked = len(first)
        self._coming: deque[Pending] = deque()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # any buffer, says typeshed
        if not self._block and not self._over():
            self._ask()
            block = self._coming.popleft().whole()[1]
            if len(block) > BLOCK:
                raise not_asked_for(self._address)
            if len(block) < BLOCK:
                self._asked = -1
            self._block = memoryview(block)
        size = min(len(buffer), len(self._block))
        buffer[:size] = self._block[:size]
        self._block = self._block[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(TargetError, OSError):
                for pending in self._coming:
                    pending.whole()
                self._requests.begin("close", handle=self._handle)
        super().close()

    def _over(self) -> bool:
        return self._asked < 0

    def _ask(self) -> None:
        while len(self._coming) < AHEAD:
            wanted: dict[str, Any] = {"handle": self._handle, "offset": self._asked, "size": BLOCK}
            self._coming.append(self._requests.begin("read_open", most=most_for(BLOCK), **wanted))
            self._asked += BLOCK
