"""A command on a host with its streams in our hands, in a channel of its own; and a larger file, read ahead."""

from __future__ import annotations

import contextlib
import io
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from amltool.errors import TargetError
from amltool.hosts.ssh_failures import failures_of, lost, missing_program
from amltool.hosts.ssh_requests import PIECE, Pending, Requests, begin_command, python_word

if TYPE_CHECKING:
    from types import TracebackType

    from paramiko import Channel  # noqa: TID251 (one of the door's modules)
    from typing_extensions import Self

FIRST_BLOCK = 1 << 18
"""A file that is no larger comes with the answer to its opening."""
BLOCK = 1 << 18
AHEAD = 8
_NO_PROGRAM = 127
_EXEC = """import os, sys
words = [bytes.fromhex(word[1:]) for word in sys.argv[1:]]
try:
    os.execvp(words[0], words)
except OSError:
    os._exit(127)
"""


class SshStream:
    """A running command: `write` to its input, `read` its output. Its end of the channel ends with the connection."""

    def __init__(self, channel: Channel, command: Sequence[str], address: str) -> None:
        self._channel = channel
        self._address = address
        self._program = command[0]
        words = " ".join("x" + word.encode("utf-8", "surrogateescape").hex() for word in command)
        with failures_of(address):
            begin_command(channel, f"exec python3 -I -S -B -c {python_word(_EXEC)} {words}")

    @property
    def socket(self) -> Channel:
        """What behaves as a socket: recv, sendall, makefile, settimeout, shutdown, close, fileno."""
        return self._channel

    def read(self, size: int = -1) -> bytes:
        """At least one byte and up to ``size``, as soon as there is any; with -1 all to the end; nothing at the end.

        Raises:
            LostError: the connection went away first.
        """
        if size >= 0:
            return self._received(size)
        blocks = []
        while block := self._received(1 << 18):
            blocks.append(block)
        return b"".join(blocks)

    def write(self, content: bytes) -> int:
        """Send all of it.

        Raises:
            BrokenPipeError: the command reads no more.
            LostError: the connection went away.
        """
        view = memoryview(content)
        try:
            while view:
                sent = self._channel.send(bytes(view[:PIECE]))
                if not sent:
                    raise OSError
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
        if not self._channel.status_event.wait(timeout_s):
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
        block: bytes = self._channel.recv(size)
        if not block and size:
            self._check()
        return block

    def _check(self) -> None:
        if not self._channel.get_transport().is_active():
            raise lost(self._address)


class RemoteFile(io.RawIOBase):
    """A larger file that is open there, read from its start, some blocks ahead."""

    def __init__(self, requests: Requests, handle: int, first: bytes) -> None:
        self._requests = requests
        self._handle = handle
        self._block = memoryview(first)
        self._asked = len(first)
        self._coming: deque[Pending] = deque()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # any buffer, says typeshed
        if not self._block and not self._over():
            self._ask()
            self._block = memoryview(self._coming.popleft().whole()[1])
        size = min(len(buffer), len(self._block))
        buffer[:size] = self._block[:size]
        self._block = self._block[size:]
        if not size:
            self._asked = -1
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
            self._coming.append(self._requests.begin("read_open", handle=self._handle, offset=self._asked, size=BLOCK))
            self._asked += BLOCK
