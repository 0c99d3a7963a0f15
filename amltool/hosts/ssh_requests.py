"""Requests to the part of amltool on the host and its answers, for many threads over one channel."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from amltool.errors import TargetError, UserError
from amltool.hosts.ssh_answers import LARGEST_BODY, LARGEST_HEADER, MOST_WITHOUT, Pending
from amltool.hosts.ssh_failures import failures_of, lost, understood
from amltool.hosts.ssh_settings import HostFacts
from amltool.hosts.there.answers import FRAME, MAGIC, WORD_S

if TYPE_CHECKING:
    from paramiko import Channel

GREETING_S = 20.0
TICK_S = 1.0
SILENT_S = 3.0
"""With a question open: time to ask whether the other side is there."""
DEAD_S = 8.0
"""Asked, and nothing was heard for so long: it is not."""
STUCK_S = 30.0
"""Nothing could be sent for so long, also on a slow link: it is not."""
SLOW_UPLOAD = 65_536
"""Bytes that a link of 100 kbit/s may still hold on their way, so that no answer can be expected yet."""
SLOWEST = 12_500
"""Bytes a second of such a link."""
MOST_ON_THE_WAY = 2 << 20
"""Bytes that a channel may hold of what the other side has not taken yet (sshd's CHAN_SES_WINDOW_DEFAULT)."""
MOST_NOISE = 65_536
PIECE = 32_000
_TOO_OLD = 96
_MODULES = ("answers", "tree", "pieces", "soon", "running", "operations", "serving")
_BOOTSTRAP = (
    "import sys, types, zlib, json, base64\n"
    f"if sys.version_info < (3, 6): sys.exit({_TOO_OLD})\n"
    "for name, text in json.loads(zlib.decompress(base64.b64decode(sys.argv[1])).decode()):\n"
    " m = sys.modules[name] = types.ModuleType(name); m.__path__ = []\n"
    " exec(compile(text, name, 'exec'), m.__dict__)\n"
    "m.main()"
)


class Requests:
    """The conversation over one channel; `facts` came with the greeting.

    ``start_files_say`` is what the login shell's start files printed before it, which is passed over.
    """

    def __init__(self, channel: Channel, address: str) -> None:
        self._channel = channel
        self._address = address
        self._pending: dict[int, Pending] = {}
        self._number = 0
        self._kept = bytearray()
        self._table, self._sending = threading.Lock(), threading.Lock()
        self._over = False
        self._heard = self._asked = self._moved = time.monotonic()
        self._sent = 0
        self.start_files_say = ""
        self.facts = self._greet()
        channel.settimeout(TICK_S)
        threading.Thread(target=self._listen, name=f"ssh-{address}", daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return not self._over

    def begin(self, operation: str, body: bytes = b"", *, most: int = MOST_WITHOUT, **values: Any) -> Pending:
        """Send a request and do not wait; of the answer ``most`` bytes are taken, as `Pending` counts them.

        Raises:
            LostError: the connection is gone.
        """
        pending = Pending(self._address, most)
        with self._table:
            self._number += 1
            number = self._number
            self._pending[number] = pending
        if self._over:
            raise lost(self._address)
        text = json.dumps({"operation": operation, "number": number, **values}).encode()
        with self._sending:
            self._send(FRAME.pack(len(text), len(body)) + text)
            self._send(body)
        return pending

    def close(self) -> None:
        self._end()

    def _greet(self) -> HostFacts:
        channel, noise = self._channel, bytearray()
        with failures_of(self._address):
            channel.settimeout(GREETING_S)
            # The program is a word of the command: before its standard input takes a byte, sshd takes a round trip.
            begin_command(channel, f"exec python3 -I -S -B -c {python_word(_BOOTSTRAP)} {_program()}")
            until = time.monotonic() + GREETING_S
            while MAGIC not in noise:
                if len(noise) > MOST_NOISE or time.monotonic() > until:
                    raise UserError(*says_too_much(self._address).args)  # it is there, and no target yet
                block = channel.recv(PIECE)
                if not block:
                    raise self._no_greeting(bytes(noise))
                noise += block
            self.start_files_say = noise[: noise.index(MAGIC)].decode("utf-8", "replace").strip()
            self._kept = noise[noise.index(MAGIC) + len(MAGIC) :]
            header, _ = self._received()
        with understood(self._address):
            return msgspec.convert(json.loads(header), HostFacts)

    def _no_greeting(self, said: bytes) -> UserError:
        code = self._channel.recv_exit_status() if self._channel.eof_received else -1
        with contextlib.suppress(OSError):
            said += self._channel.recv_stderr(PIECE)
        text = said.decode(errors="replace").strip()[-500:]
        if code == 127 or "not found" in text:
            return UserError(
                f"{self._address} has no python3, which amltool needs there.",
                "Install it there, for example: sudo apt-get install python3 (or sudo dnf install python3).",
            )
        if code == _TOO_OLD:
            return UserError(
                f"The python3 of {self._address} is too old.", "Install Python 3.6 or newer there, as python3."
            )
        if code == -1 and not text:
            return lost(self._address)
        return UserError(
            f"{self._address} starts no program for this user; it said: {text or f'nothing (exit code {code})'}.",
            "Look whether `ssh` runs a command there, and what the login shell's start files do.",
        )

    def _listen(self) -> None:
        with contextlib.suppress(Exception):  # the end of it, or no answer of ours: it is over either way
            while True:
                header, body = self._received()
                says = json.loads(header)
                number, is_last = says["to"], not says.get("more")
                with self._table:
                    pending = self._pending.get(number)
                    if is_last:
                        self._pending.pop(number, None)
                if pending is not None:
                    pending.put(header, body, is_last=is_last)
        self._end()

    def _end(self) -> None:
        self._over = True
        with contextlib.suppress(Exception):  # it may be dead already
            self._channel.close()
        with self._table:
            waiting, self._pending = list(self._pending.values()), {}
        for pending in waiting:
            pending.lose()

    def _received(self) -> tuple[bytes, bytes]:
        header_size, body_size = FRAME.unpack(self._take(FRAME.size))
        if header_size > LARGEST_HEADER or body_size > LARGEST_BODY:
            raise ValueError("no frame of ours")
        return self._take(header_size), self._take(body_size)

    def _take(self, size: int) -> bytes:
        while len(self._kept) < size:
            try:
                block = self._channel.recv(1 << 18)
            except TimeoutError:
                if self._is_silent():
                    raise EOFError from None
                continue
            if not block:
                raise EOFError
            self._kept += block
            self._heard, self._sent = time.monotonic(), 0
        taken = bytes(self._kept[:size])
        del self._kept[:size]
        return taken

    def _is_silent(self) -> bool:
        """Whether the other side is gone; asks it when it has been silent, which also tells it that we are there."""
        now = time.monotonic()
        silent_s = now - self._heard
        if silent_s > DEAD_S and self._asked > self._heard and now - self._asked > DEAD_S - SILENT_S:
            arrives_s = min(self._sent, MOST_ON_THE_WAY) / SLOWEST
            return self._sent < SLOW_UPLOAD or now - self._moved > DEAD_S + arrives_s
        patience_s = SILENT_S if self._pending else WORD_S
        if silent_s > patience_s and self._asked <= self._heard and self._sending.acquire(blocking=False):
            try:
                self._asked = now
                text = json.dumps({"operation": "ping", "number": 0}).encode()
                self._send(FRAME.pack(len(text), 0) + text)
            finally:
                self._sending.release()
        return False

    def _send(self, content: bytes) -> None:
        view, progress = memoryview(content), time.monotonic()
        while view:
            try:
                sent = self._channel.send(bytes(view[:PIECE]))
            except TimeoutError:  # the link is slow, or gone
                if time.monotonic() - max(progress, self._heard) > STUCK_S:
                    self._end()
                if self._over:
                    raise lost(self._address) from None
                continue
            except (OSError, EOFError) as error:
                self._end()
                raise lost(self._address) from error
            if not sent:
                self._end()
                raise lost(self._address)
            self._sent += sent
            self._moved = progress = time.monotonic()
            view = view[sent:]


def says_too_much(address: str) -> TargetError:
    """The sentence for start files of the login shell that print without end."""
    return TargetError(
        f"Before {address} starts a program, it prints more than {MOST_NOISE >> 10} KB or over {GREETING_S:.0f} s.",
        "Look what the login shell's start files (~/.bashrc) do there: they print also where there is no terminal.",
    )


def begin_command(channel: Channel, command: str) -> None:
    """Start a command and do not wait for word of it, as `Channel.exec_command` does: a round trip less.

    Where it cannot be started, the channel ends.
    """
    from paramiko.common import cMSG_CHANNEL_REQUEST
    from paramiko.message import Message

    wants_answer = False
    message = Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("exec")
    message.add_boolean(wants_answer)
    message.add_string(command)
    channel.transport._send_user_message(message)  # type: ignore[union-attr]


def _program() -> str:
    folder, package = Path(__file__).parent / "there", "amltool.hosts.there"
    modules = [("amltool", ""), ("amltool.hosts", ""), (package, "")]
    modules += [(f"{package}.{name}", (folder / f"{name}.py").read_text("utf-8")) for name in _MODULES]
    return base64.b64encode(zlib.compress(json.dumps(modules).encode(), 9)).decode()


def python_word(text: str) -> str:
    """A program of Python as one word for any login shell: what csh and fish would change is not in it."""
    return f"'exec(bytes.fromhex(\"{text.encode().hex()}\").decode())'"
