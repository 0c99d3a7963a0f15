"""A folder that files are brought to: below it no link is followed, for a repository may have brought one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from amltool.errors import UserError

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FILE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Destination:
    """Files below ``folder``, each named by the parts of its path; ``folder`` itself may be a link: its user named it.

    Every method raises OSError as the system does, and UserError where a link, or what is no folder, stands in the way.
    """

    def __init__(self, folder: Path, *, parents: bool = True) -> None:
        self.folder = folder
        self._parents = parents

    def has(self, parts: Sequence[str]) -> bool:
        """Return True if something lies there, a link included."""
        with self._above(parts, make=False) as above:
            return above is not None and _lies(parts[-1], above)

    def put(self, parts: Sequence[str], blocks: Iterable[bytes], *, over_links: bool = True) -> None:
        """Write a file whole: beside its place, then renamed there, so that no other name of an old file sees it. A
        link in its place is replaced, or refused."""
        with self._above(parts, make=True) as above:
            if not over_links and _is_link(parts[-1], above):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            beside = f".{os.urandom(8).hex()}.tmp"
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE_FLAGS, 0o666, dir_fd=above)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.writelines(blocks)
                os.rename(beside, parts[-1], src_dir_fd=above, dst_dir_fd=above)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(beside, dir_fd=above)
                raise

    def write_at(self, parts: Sequence[str], content: bytes, offset: int) -> None:
        """Write into a file that `put` made, from an offset on; another one is refused."""
        with self._above(parts, make=True) as above:
            handle = os.open(parts[-1], os.O_WRONLY | FILE_FLAGS, dir_fd=above)
            with os.fdopen(handle, "wb", buffering=0) as stream:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
                    raise OSError(errno.EINVAL, "what lies there is no file of its own")
                stream.seek(offset)
                view = memoryview(content)
                while view:
                    view = view[stream.write(view) :]

    @contextlib.contextmanager
    def begun(self, parts: Sequence[str]) -> Iterator[BinaryIO]:
        """Open a file that is written bit by bit, at its beginning: one that was begun before, or a new one. What is
        no file of its own there is replaced.

        Raises:
            BlockingIOError: another process writes it.
        """
        with self._above(parts, make=True) as above:
            if above is not None and _is_odd(parts[-1], above):
                os.unlink(parts[-1], dir_fd=above)
            handle = os.open(parts[-1], os.O_RDWR | os.O_CREAT | FILE_FLAGS, 0o666, dir_fd=above)
            with os.fdopen(handle, "r+b") as stream:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
                    raise OSError(errno.EINVAL, "what lies there is no file of its own")
                yield stream

    def move(self, source: Sequence[str], parts: Sequence[str]) -> None:
        """Give a file the name it is to have; what has that name is replaced, if it is no folder."""
        with self._above(source, make=False) as from_folder, self._above(parts, make=True) as above:
            if from_folder is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder.joinpath(*source)))
            os.rename(source[-1], parts[-1], src_dir_fd=from_folder, dst_dir_fd=above)

    def remove(self, parts: Sequence[str]) -> None:
        """Remove a file, or a folder with nothing in it; none is fine."""
        with self._above(parts, make=False) as above, contextlib.suppress(FileNotFoundError):
            if above is None:
                return
            if stat.S_ISDIR(os.stat(parts[-1], dir_fd=above, follow_symlinks=False).st_mode):
                os.rmdir(parts[-1], dir_fd=above)
            else:
                os.unlink(parts[-1], dir_fd=above)

    @contextlib.contextmanager
    def reading(self, parts: Sequence[str]) -> Iterator[BinaryIO]:
        """Open a regular file; FileNotFoundError where there is none."""
        with self._above(parts, make=False) as above:
            if above is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder.joinpath(*parts)))
            with os.fdopen(os.open(parts[-1], os.O_RDONLY | FILE_FLAGS, dir_fd=above), "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                yield stream

    @contextlib.contextmanager
    def _above(self, parts: Sequence[str], *, make: bool) -> Iterator[int | None]:
        """The folder that a file lies in, open; ``None`` where there is none and none is made."""
        if make:
            self.folder.mkdir(parents=self._parents, exist_ok=True)
        with contextlib.ExitStack() as opened:
            within: int | None = None
            try:
                within = os.open(self.folder, FOLDER_FLAGS)
                opened.callback(os.close, within)
                for depth, part in enumerate(parts[:-1], 1):
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(part, dir_fd=within)
                    within = self._entered(part, within, self.folder.joinpath(*parts[:depth]))
                    opened.callback(os.close, within)
            except FileNotFoundError:
                if make:
                    raise
                within = None
            yield within

    @staticmethod
    def _entered(name: str, above: int, place: Path) -> int:
        try:
            return os.open(name, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise UserError(
                f"{place} is a link or a file, and nothing is written through it.",
                "Remove it, or name another folder.",
            ) from error


def _is_link(name: str, above: int | None) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    return False


def _is_odd(name: str, above: int) -> bool:
    """Return True for what has a name and is no regular file with this one name."""
    with contextlib.suppress(FileNotFoundError):
        state = os.stat(name, dir_fd=above, follow_symlinks=False)
        return not stat.S_ISREG(state.st_mode) or state.st_nlink > 1
    return False


def _lies(name: str, above: int) -> bool:
    try:
        os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
