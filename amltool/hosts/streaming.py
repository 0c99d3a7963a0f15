"""What more a host can do that keeps a command's streams: be talked to, and hold a lock for as long as we live."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol, cast

from amltool.errors import TargetError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.locks import LOCKED_S, NOTE_BYTES, Holder, Patience, noted, own_note

# Lives as long as its standard input: the lock goes with us, also when we are killed or the connection is cut.
_HOLD = """
import fcntl, os, sys
path, note = sys.argv[1], sys.argv[2].encode("ascii")
os.makedirs(os.path.dirname(path), exist_ok=True)
handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    os.write(1, b"busy" + os.read(handle, 200))
    sys.exit(0)
try:
    os.pwrite(handle, note, 0)
    os.ftruncate(handle, len(note))
except OSError:
    pass  # a full disk: the lock counts, not its note
os.write(1, b"held")
sys.stdin.buffer.read()
"""
LOCK_PAUSE_S = 0.5
"""Between two attempts to get a lock of another machine: each is a command there."""


class Stream(Protocol):
    """Both directions of a command that runs on a host."""

    def read(self, size: int = -1, /) -> bytes:
        """At least one byte and at most ``size``; none at the end."""
        ...

    def write(self, content: bytes, /) -> object:
        """Give all of it to the command."""
        ...

    def close_writing(self) -> None:
        """Let the command see the end of its input."""
        ...

    def stderr(self) -> bytes:
        """What the command complained of since the last call."""
        ...

    def wait(self, timeout_s: float | None = None, /) -> int:
        """The command's exit code."""
        ...

    def close(self) -> None:
        """Let go of the command."""
        ...


class StreamingHost(Host, Protocol):
    """A host that can run a command which is talked to."""

    def open_stream(self, command: Sequence[str]) -> Stream:
        """Start a command and give its streams."""
        ...


class Soon(Protocol):
    """Bytes of a file that come as soon as there are any."""

    def wait(self, timeout_s: float) -> tuple[bytes, bool] | None:
        """The bytes (none when nothing came for a while) and whether they were the last; ``None`` when the time is
        over first. Raises as `Host.read`."""
        ...


class WatchingHost(Host, Protocol):
    """A host that says when there is something new, where asking again and again would cost round trips."""

    def read_soon(self, path: PurePosixPath, offset: int, limit: int, until: PurePosixPath) -> Soon:
        """Ask for up to ``limit`` bytes from an offset on, as soon as there are some: the file may not be there yet.
        They are the last when a file lies at ``until``. Does not wait."""
        ...


def watching(host: Host) -> WatchingHost | None:
    """The host, if it says when there is something new."""
    return cast("WatchingHost", host) if hasattr(host, "read_soon") else None


class EvaluatingHost(Host, Protocol):
    """A host on which an interpreter of ours runs already."""

    def evaluate(self, program: str, arguments: Sequence[Any]) -> Any:
        """What ``main(*arguments)`` of a small program (Python 3.6, standard library) gives; both are JSON. It may be
        done twice. Raises OSError as it was met there."""
        ...


def evaluated(host: Host, program: str, arguments: Sequence[Any]) -> Any:
    """What ``main(*arguments)`` of a small program gives on a host, in a process of its own where that has to be.

    Raises:
        OSError: it was met there.
        TargetError: the host does not answer, or the program failed.
    """
    if hasattr(host, "evaluate"):
        return cast("EvaluatingHost", host).evaluate(program, arguments)
    whole = f"{program}\nimport json, sys\njson.dump(main(*json.load(sys.stdin)), sys.stdout)\n"
    python = sys.executable if isinstance(host, LocalHost) else "python3"
    said = host.run([python, "-I", "-S", "-c", whole], input=json.dumps(list(arguments)).encode())
    if said.exit_code:
        last = said.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
        raise TargetError(f"A program of amltool's failed on {host.name}: {last}.", "Run the same command again.")
    return json.loads(said.stdout)


def streaming(host: Host) -> StreamingHost | None:
    """The host, if it can run a command which is talked to."""
    return cast("StreamingHost", host) if hasattr(host, "open_stream") else None


@contextlib.contextmanager
def held_there(
    host: StreamingHost,
    path: PurePosixPath,
    what: str = "",
    *,
    wait: bool = True,
    within_s: float = LOCKED_S,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold a lock on a file of a host, against whatever clients it has; the folders above it are made. It is waited
    for as `files.locked` does.

    Raises:
        BlockingIOError: another process holds it and ``wait`` is false.
        LockedError: it was not free in time.
        TargetError: the host does not answer, or the file cannot be locked.
    """
    note = [b""]
    where = f"{what or path} on {host.name}"
    patience = Patience(where, lambda: note[0], lambda: _holder_there(note[0], host), within_s, LOCK_PAUSE_S)
    while True:
        with contextlib.closing(host.open_stream(_holding(path))) as stream:
            said = stream.read(4)
            if said == b"held":
                yield
                return
            if said != b"busy":
                why = stream.stderr().decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
                raise TargetError(
                    f"{path} on {host.name} cannot be locked: {why or 'the command ended'}.",
                    "Look whether its disk is full, then try again.",
                )
            note[0] = stream.read(NOTE_BYTES)
        if not wait:
            raise BlockingIOError(11, "it is locked", str(path))
        patience.goes_on(meanwhile)


def _holding(path: PurePosixPath) -> list[str]:
    note = f"{own_note().decode('ascii').strip()} {os.uname().nodename}"
    return ["python3", "-I", "-S", "-c", _HOLD, str(path), note.encode("ascii", "replace").decode("ascii")]


def _holder_there(note: bytes, host: Host) -> Holder | None:
    pid, since, where = noted(note)
    return None if pid is None else Holder(pid, f"amltool on {where or host.name}", since, is_stopped=False)
