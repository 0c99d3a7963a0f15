"""A machine over SSH as a host: the one door to SSH.

One connection, made at the first need, carries everything: a small Python program on the machine (`there`) answers
requests over one channel, one round trip each, with exact names and no link followed; commands whose streams we keep
have channels of their own. A connection that went away is made anew; what may be done twice is then asked again.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

import msgspec

from amltool.errors import TargetError
from amltool.hosts.base import CommandResult, FileKind, FileOnHost, Piece
from amltool.hosts.ssh_answers import (
    LARGEST_FILE,
    LARGEST_OUTPUT,
    LARGEST_RESULT,
    LARGEST_WALK,
    MOST_FILES,
    Pending,
    most_for,
)
from amltool.hosts.ssh_connection import SshConnection, connect
from amltool.hosts.ssh_failures import LONGEST_REASON, BusyError, LostError, not_asked_for, said_too_much, understood
from amltool.hosts.ssh_host_keys import USUAL_PORT
from amltool.hosts.ssh_login import Login
from amltool.hosts.ssh_pieces import AHEAD, answered, ask_for, groups
from amltool.hosts.ssh_requests import Requests
from amltool.hosts.ssh_settings import HostFacts, SshSettings
from amltool.hosts.ssh_stream import FIRST_BLOCK, RemoteFile, SshStream, WaitingChannel
from amltool.hosts.streaming import Soon

__all__ = ["HostFacts", "SshHost", "SshSettings", "SshStream"]

ROOT = "~/.amltool"
PATIENCE_S = 5.0
"""How long a connection that went away is tried again, from one attempt to the next a little longer."""
FIRST_PAUSE_S = 0.1
SOON_S = 1.0
"""Where nothing is printed the machine says so this often: shorter than what we take for silence."""
Got = TypeVar("Got")
Written = tuple[PurePosixPath, bytes, int]
_Entry = tuple[str, FileKind, int, int, int, int, int]


class _Ran(msgspec.Struct, frozen=True):
    """What a command came to; ``stdout`` is how many of the bytes are its output, the others are complaints."""

    exit_code: int = 0
    stdout: int = 0
    over_time: bool = False
    too_much: bool = False


class SshHost:
    """A machine over SSH; ``root`` is ``~/.amltool`` there unless said otherwise. For many threads."""

    def __init__(self, settings: SshSettings, root: str | PurePosixPath | None = None) -> None:
        self._settings = settings
        self._root = PurePosixPath(root or ROOT)
        self._login = Login(settings)
        self._connection: SshConnection | None = None
        self._requests: Requests | None = None
        self._waiting: WaitingChannel | None = None
        self._streams_soon = False
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._failed: tuple[float, TargetError] | None = None
        self.round_trips = 0
        """How often an answer was waited for, connecting aside."""

    @property
    def name(self) -> str:
        port = self._settings.port or USUAL_PORT
        return self._settings.address if port == USUAL_PORT else f"{self._settings.address}:{port}"

    @property
    def root(self) -> PurePosixPath:
        first, *rest = self._root.parts
        if first == "~":
            return PurePosixPath(self.facts().home, *rest)
        return self._root if self._root.is_absolute() else PurePosixPath(self.facts().home, self._root)

    def connect(self, *, streams_soon: bool = False) -> None:
        """Be ready to ask; ``streams_soon``: what `open_stream` needs is made ready, too.

        Raises:
            TargetError: the machine does not answer.
            UserError: it is not the one it should be, does not let us in, or has no Python.
        """
        self._streams_soon = streams_soon
        self._reached()

    def close(self) -> None:
        """End the connection; the next request makes a new one."""
        with self._lock:
            self._drop()

    def facts(self) -> HostFacts:
        """What the machine says of itself; came with the connection."""
        return self._reached().facts

    @property
    def start_files_say(self) -> str:
        """What the login shell's start files print whenever a program is started; it is passed over."""
        return self._reached().start_files_say

    def open_stream(self, command: Sequence[str]) -> SshStream:
        """Start a command in a channel of its own and keep its streams.

        Raises:
            TargetError: the machine does not answer, or opens no more sessions.
        """
        requests = self._reached()
        with self._lock:
            connection = self._connection
            waiting, self._waiting = self._waiting, None
        if connection is None:
            raise LostError(f"{self.name} is unreachable: the connection was closed.", "Run the same command again.")
        start = partial(SshStream, command=command, address=self.name, is_heard=lambda: requests.is_alive)
        channel = waiting.take() if waiting is not None else None
        if channel is not None:
            with contextlib.suppress(BrokenPipeError):  # it was ended there just now
                return start(channel, is_waiting=True)
        return start(connection.open_channel())

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:
        """As `Host.run`; what a command over its time started is ended with it (its whole session).

        Raises:
            TargetError: it took longer than ``timeout_s``, printed more than `LARGEST_OUTPUT` (both streams together),
                or the connection went away: it was then ended there.
            FileNotFoundError: there is no such program.
        """
        asked = {"command": list(command), "timeout_s": timeout_s, "limit": LARGEST_OUTPUT}
        header, said = self._once("run", input, most=most_for(LARGEST_OUTPUT), **asked)
        with understood(self.name):
            ran = msgspec.convert(header, _Ran)
        if ran.over_time:
            raise TargetError(
                f"{command[0]} did not end within {timeout_s:g} s on {self.name}.", "Try again, or look what holds it."
            )
        if ran.too_much:
            raise said_too_much(command[0], self.name, LARGEST_OUTPUT)
        return CommandResult(ran.exit_code, said[: ran.stdout], said[ran.stdout :])

    def start(self, command: Sequence[str], *, input: bytes = b"") -> None:
        """As `Host.start`; the command starts in ``/``, and neither our end nor that of the connection ends it.

        Raises:
            TargetError: the machine does not answer; when the connection went away it may have started.
            FileNotFoundError: there is no such program.
        """
        self._once("start", input, command=list(command))

    def evaluate(self, program: str, arguments: Sequence[Any]) -> Any:
        """As `EvaluatingHost.evaluate`; the JSON has at most `LARGEST_RESULT` bytes."""
        most = most_for(LARGEST_RESULT)
        _, body = self._again("evaluate", program.encode(), most=most, arguments=list(arguments))
        with understood(self.name):
            return json.loads(body)

    def read(self, path: PurePosixPath, offset: int = 0, limit: int | None = None) -> bytes:
        """As `Host.read`; without a limit the file may have `LARGEST_FILE` bytes from the offset on.

        Raises:
            TargetError: the machine does not answer, not what it was asked, or the file is larger.
        """
        wanted = LARGEST_FILE + 1 if limit is None else limit
        body = self._again("read", most=most_for(wanted), path=str(path), offset=offset, limit=wanted)[1]
        if len(body) > wanted:
            raise not_asked_for(self.name)
        if limit is None and len(body) == wanted:
            raise TargetError(
                f"{path} on {self.name} has more than {LARGEST_FILE >> 20} MB, too many for what it should be.",
                "Look what writes there.",
            )
        return body

    def read_soon(self, path: PurePosixPath, offset: int, limit: int, until: PurePosixPath) -> Soon:
        """As `WatchingHost.read_soon`."""
        wanted = {"path": str(path), "offset": offset, "limit": limit, "until": str(until), "wait_s": SOON_S}
        return _Soon(self._begin("read_soon", most=most_for(limit), **wanted), self.name, limit)

    def write(self, path: PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        """As `Host.write`; the content is on the machine's disk when this returns."""
        self._again("write", content, path=str(path), mode=mode)

    def write_many(self, files: Iterable[Written]) -> None:
        """Write several files (path, content, mode), each whole, in one round trip.

        Raises:
            OSError: one could not be written; the others were.
        """

        def ask(requests: Requests) -> None:
            asked = [requests.begin("write", content, path=str(path), mode=mode) for path, content, mode in wanted]
            errors = [error for error in map(_error_in, asked) if error is not None]
            if errors:
                raise errors[0]

        wanted = list(files)
        self._twice(ask)

    def make_folder(self, path: PurePosixPath) -> None:
        self._again("make_folder", path=str(path))

    def exists(self, path: PurePosixPath) -> bool:
        return bool(self._again("exists", path=str(path))[0].get("exists"))

    def names(self, folder: PurePosixPath) -> list[str]:
        """As `Host.names`; they have at most `LARGEST_RESULT` bytes."""
        body = self._again("names", most=most_for(LARGEST_RESULT), path=str(folder))[1]
        with understood(self.name):
            return msgspec.convert(json.loads(body), list[str])

    def rename(self, source: PurePosixPath, destination: PurePosixPath) -> None:
        """As `Host.rename`.

        Raises:
            FileNotFoundError: there is no ``source``.
            FileExistsError: a folder would replace what is there.
            TargetError: the machine does not answer; when the connection went away it may have been renamed.
        """
        self._once("rename", source=str(source), destination=str(destination))

    def remove(self, path: PurePosixPath) -> None:
        self._again("remove", path=str(path))

    def walk(self, folder: PurePosixPath, below: str = "") -> Iterator[FileOnHost]:
        """As `Host.walk`, asked for at once; the entries come in blocks while they are looked at.

        Raises:
            TargetError: the machine does not answer, or gives a name that leads out of the folder; there are more than
                `MOST_FILES`, or `LARGEST_WALK` bytes do not tell of them all.
        """
        return self._walked(folder, below, self._begin_walk(folder, below))

    def _begin_walk(self, folder: PurePosixPath, below: str) -> Pending:
        return self._begin("walk", most=LARGEST_WALK, path=str(folder), below=below, limit=MOST_FILES)

    def _walked(self, folder: PurePosixPath, below: str, begun: Pending) -> Iterator[FileOnHost]:
        try:
            parts = begun.parts()
            first = next(parts)
        except LostError:
            begun = self._begin_walk(folder, below)
            parts = begun.parts()
            first = next(parts)
        left = MOST_FILES
        try:
            for _, body in itertools.chain([first], parts):
                found = self._found(body)
                left -= len(found)
                if left < 0:
                    raise TargetError(
                        f"{folder} on {self.name} holds more than {MOST_FILES:,} files and folders.",
                        "Pack them into archives, or remove those that nobody needs.",
                    )
                yield from found
        finally:
            begun.forget()

    def changed(self, folder: PurePosixPath, below: str, since: str, skipped: Sequence[str], limit: int) -> list[str]:
        """As `Host.changed`; they have at most `LARGEST_RESULT` bytes together."""
        asked = {"path": str(folder), "below": below, "since": since, "limit": limit}
        most = most_for(LARGEST_RESULT)
        _, body = self._again("changed", json.dumps(list(skipped)).encode(), most=most, **asked)
        with understood(self.name):
            found = msgspec.convert(json.loads(body), list[str])
            for path in found:
                os.fsencode(path)
        return found[:limit]

    @contextlib.contextmanager
    def open(self, folder: PurePosixPath, path: str) -> Iterator[BinaryIO]:
        def ask(requests: Requests) -> tuple[Requests, dict[str, Any], bytes]:
            pending = requests.begin(
                "open", most=most_for(FIRST_BLOCK), folder=str(folder), path=path, size=FIRST_BLOCK
            )
            return (requests, *pending.whole())

        requests, header, first = self._twice(ask)
        if "handle" not in header:
            yield io.BytesIO(first)
            return
        with RemoteFile(requests, header["handle"], first, self.name) as file:
            yield cast("BinaryIO", io.BufferedReader(file, FIRST_BLOCK))

    def pieces(self, folder: PurePosixPath, wanted: Iterable[Piece]) -> Iterator[bytes | OSError]:
        """As `Host.pieces`; what was on its way when the connection went away is asked for again.

        Raises:
            TargetError: the machine does not answer, or not what it was asked.
        """
        coming = groups(wanted)
        waiting: deque[tuple[list[Piece], Pending]] = deque()
        while True:
            for group in itertools.islice(coming, AHEAD - len(waiting)):
                waiting.append((group, self._twice(partial(ask_for, folder=folder, group=group))))
            if not waiting:
                return
            group, pending = waiting.popleft()
            try:
                found = answered(pending, group, self.name)
            except LostError:
                found = answered(self._twice(partial(ask_for, folder=folder, group=group)), group, self.name)
            yield from found

    def _found(self, body: bytes) -> list[FileOnHost]:
        with understood(self.name):
            entries = msgspec.convert(json.loads(body), list[_Entry])
        for path, _, *numbers in entries:
            if (
                not path or path.startswith("/") or ".." in path.split("/") or "\0" in path
            ):  # not trusted with our folders
                shown = path[:LONGEST_REASON]
                raise TargetError(f"{self.name} names a file outside the folder: {shown!r}.", "Look who else uses it.")
            with understood(self.name):
                os.fsencode(path)
                if numbers[0] < 0 or min(numbers) < -(1 << 63) or max(numbers) >= 1 << 63:
                    raise ValueError("a file with a size, a time or a number that no file has")
        return [FileOnHost(*entry) for entry in entries]

    def _begin(self, operation: str, **values: Any) -> Pending:
        """Ask for what may be done twice, and do not wait for the answer."""
        return self._twice(lambda requests: requests.begin(operation, **values))

    def _once(self, operation: str, body: bytes = b"", **values: Any) -> tuple[dict[str, Any], bytes]:
        """Ask for what must not be done twice."""
        self.round_trips += 1
        return self._reached().begin(operation, body, **values).whole()

    def _again(self, operation: str, body: bytes = b"", **values: Any) -> tuple[dict[str, Any], bytes]:
        """Ask for what may be done twice: when the connection went away, over a new one."""
        return self._twice(lambda requests: requests.begin(operation, body, **values).whole())

    def _twice(self, ask: Callable[[Requests], Got]) -> Got:
        self.round_trips += 1
        try:
            return ask(self._reached())
        except LostError:
            return ask(self._reached())

    def _reached(self) -> Requests:
        requests = self._requests
        if requests is not None and requests.is_alive and self._process == os.getpid():
            return requests
        asked = time.monotonic()
        with self._lock:
            if self._process != os.getpid():  # a fork: the connection is our parent's
                self._connection, self._requests, self._process = None, None, os.getpid()
                self._waiting = None
            if self._requests is not None and self._requests.is_alive:
                return self._requests
            if self._failed is not None and self._failed[0] >= asked:  # another thread just tried for all of us
                raise self._failed[1]
            was_there = self._requests is not None
            self._drop()
            try:
                return self._connect(was_there=was_there)
            except TargetError as error:
                self._failed = (time.monotonic(), error)
                raise

    def _connect(self, *, was_there: bool) -> Requests:
        """Connect; a machine that was there a moment ago, or that has too many guests, is tried again for a while."""
        until, pause_s = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            try:
                self._connection = connect(self._settings, self._login)
                if self._streams_soon:
                    self._waiting, self._streams_soon = WaitingChannel(self._connection), False
                self._requests = Requests(self._connection.open_channel(), self.name)
                return self._requests
            except TargetError as error:
                self._drop()
                is_worth_it = was_there or isinstance(error, BusyError)
                if not is_worth_it or time.monotonic() + pause_s > until:
                    raise
                time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 (no secret; so that many do not come at once)
                pause_s *= 2
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._connection is not None:
            self._connection.close()
        self._connection = self._waiting = None


class _Soon:
    """As `Soon`, from an answer that is on its way."""

    def __init__(self, pending: Pending, address: str, limit: int) -> None:
        self._pending = pending
        self._address = address
        self._limit = limit

    def wait(self, timeout_s: float) -> tuple[bytes, bool] | None:
        if not self._pending.wait(timeout_s):
            return None
        header, content = self._pending.whole()
        if len(content) > self._limit:
            raise not_asked_for(self._address)
        return content, header.get("is_all") is True


def _error_in(pending: Pending) -> OSError | None:
    try:
        pending.whole()
    except OSError as error:
        return error
    return None
