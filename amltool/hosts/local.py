"""This machine as a host."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO

from amltool.errors import TargetError
from amltool.files import write_whole
from amltool.hosts import tree
from amltool.hosts.base import CommandResult, FileOnHost, Host, Piece
from amltool.hosts.tree import FOLDER_FLAGS

FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""O_NONBLOCK, so that a FIFO that somebody put there does not hold us."""
ROOT = ".amltool"


class LocalHost:
    """This machine; ``root`` is ``~/.amltool`` unless said otherwise."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = PurePosixPath(Path(root).absolute() if root is not None else Path.home() / ROOT)

    @property
    def name(self) -> str:
        return os.uname().nodename

    @property
    def root(self) -> PurePosixPath:
        return self._root

    def run(self, command: Sequence[str], *, input: bytes = b"", timeout_s: float | None = None) -> CommandResult:
        """As `Host.run`; what a command over its time started is ended with it (its whole session).

        Raises:
            TargetError: it took longer than ``timeout_s``.
            OSError: there is no such program, or it cannot be started.
        """
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(input, timeout_s)
        except subprocess.TimeoutExpired:
            raise TargetError(
                f"{command[0]} did not end within {timeout_s:g} s on {self.name}.", "Try again, or look what holds it."
            ) from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return CommandResult(process.returncode, stdout, stderr)

    def start(self, command: Sequence[str], *, input: bytes = b"") -> None:
        """As `Host.start`; the command starts in ``/``, so that it holds no folder of the user's.

        Raises:
            OSError: there is no such program, or it cannot be started.
        """
        with _readable(input) as stdin:
            _start_detached(command, stdin)

    def begin(self, command: Sequence[str]) -> Callable[[bytes], None]:
        """Like `start`, but what the command reads is given later, to the function this returns.

        When nothing is ever given, the command sees the end of its input as soon as we are gone.
        """
        source, sink = os.pipe()
        try:
            _start_detached(command, source)
        except BaseException:
            os.close(sink)
            raise
        finally:
            os.close(source)
        stream = os.fdopen(sink, "wb", buffering=0)
        return lambda content: threading.Thread(target=_feed, args=(stream, content)).start()

    def read(self, path: PurePosixPath, offset: int = 0, limit: int | None = None) -> bytes:
        """As `Host.read`; only a regular file is read, and not through a link.

        Raises:
            FileNotFoundError: there is none.
            OSError: it is no regular file or cannot be read.
        """
        handle = os.open(path, FILE_FLAGS)
        with os.fdopen(handle, "rb", buffering=0) as stream:
            _check_regular(handle, str(path))
            stream.seek(offset)
            return stream.read() if limit is None else _up_to(stream, limit)

    def write(self, path: PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        place = Path(path)
        beside = place.with_name(f".{os.urandom(8).hex()}")  # a name may be too long to add anything to it
        try:
            write_whole(beside, content, mode=mode)
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(beside, content, mode=mode)
        try:
            beside.replace(place)
        except BaseException:
            beside.unlink()
            raise

    def make_folder(self, path: PurePosixPath) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def exists(self, path: PurePosixPath) -> bool:
        return os.path.lexists(path)

    def names(self, folder: PurePosixPath) -> list[str]:
        return sorted(path.name for path in Path(folder).iterdir())

    def rename(self, source: PurePosixPath, destination: PurePosixPath) -> None:
        """As `Host.rename`.

        Raises:
            FileNotFoundError: there is no ``source``.
            FileExistsError: a folder would replace what is there.
        """
        if stat.S_ISDIR(os.lstat(source).st_mode) and os.path.lexists(destination):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination))
        Path(source).rename(destination)

    def remove(self, path: PurePosixPath) -> None:
        """As `Host.remove`.

        Raises:
            OSError: something in it is not ours to remove.
        """
        tree.remove(os.fspath(path))

    def walk(self, folder: PurePosixPath, below: str = "") -> Iterator[FileOnHost]:
        return tree.walk(os.fspath(folder), below)

    def changed(self, folder: PurePosixPath, below: str, since: str, skipped: Sequence[str], limit: int) -> list[str]:
        return tree.changed(os.fspath(folder), below, since, skipped, limit)

    @contextlib.contextmanager
    def open(self, folder: PurePosixPath, path: str) -> Iterator[BinaryIO]:
        parts = path.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise OSError(errno.EINVAL, "not a path below a folder", path)
        within = os.open(folder, FOLDER_FLAGS)
        try:
            for part in parts[:-1]:
                above, within = within, os.open(part, FOLDER_FLAGS, dir_fd=within)
                os.close(above)
            if not stat.S_ISREG(os.stat(parts[-1], dir_fd=within, follow_symlinks=False).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)  # opening a device may already do something
            handle = os.open(parts[-1], FILE_FLAGS, dir_fd=within)
        finally:
            os.close(within)
        with os.fdopen(handle, "rb") as stream:
            _check_regular(handle, path)
            yield stream

    def pieces(self, folder: PurePosixPath, wanted: Iterable[Piece]) -> Iterator[bytes | OSError]:
        for piece in wanted:
            try:
                with self.open(folder, piece.path) as stream:
                    stream.seek(piece.offset)
                    found: bytes | OSError = stream.read(piece.limit)
            except OSError as error:
                found = error
            yield found


def seen_from_here(host: Host, path: PurePath) -> str:
    """A path of a host for a sentence: with the machine's name, unless it is this one."""
    return str(path) if isinstance(host, LocalHost) else f"{path} on {host.name}"


def _start_detached(command: Sequence[str], stdin: int | BinaryIO) -> None:
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie while we live


def _readable(content: bytes) -> BinaryIO:
    """Something to read ``content`` from that needs nobody to feed it and that no disk sees."""
    if not content:
        return Path(os.devnull).open("rb")
    if hasattr(os, "memfd_create"):
        stream = os.fdopen(os.memfd_create("input"), "wb+", buffering=0)
        stream.write(content)
        stream.seek(0)
        return stream
    source, sink = os.pipe()
    threading.Thread(target=_feed, args=(os.fdopen(sink, "wb", buffering=0), content)).start()
    return os.fdopen(source, "rb")


def _feed(sink: FileIO, content: bytes) -> None:
    with sink as stream, contextlib.suppress(BrokenPipeError):
        while content:
            content = content[stream.write(content) or 0 :]


def _up_to(stream: FileIO, limit: int) -> bytes:
    blocks = []
    while limit > 0 and (block := stream.read(limit)):
        blocks.append(block)
        limit -= len(block)
    return b"".join(blocks)


def _check_regular(handle: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
