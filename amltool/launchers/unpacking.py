"""What a container wrote, written down here: every name is checked, and nothing is written through a link.

Tar's own filters have been got round again and again (RELIABILITY 16), so none is used.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import posixpath
import re
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from amltool.errors import TargetError
from amltool.hosts import tree
from amltool.hosts.tree import FOLDER_FLAGS
from amltool.layout import RUN_IN_CONTAINER

BLOCK = 1 << 20
LONGEST_END = 1 << 16
"""``exit.json`` is a few hundred bytes; a longer one is none."""
NOT_COPIED = "not_copied_back.txt"
"""In ``logs``: what could not be written on the host, and why."""
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})
_FOLDER_MODE = 0o755
_COLLECTED = ("outputs", "logs")


class BrokenArchiveError(TargetError):
    """An archive ended before its end, or is none."""


class Unpacking:
    """Writes members of an archive below a folder of this machine; ``top`` is the folder's name in the archive.

    Links are made last, and what stands in the way of a folder is removed, so that nothing is ever written through a
    link. A FIFO or device becomes a FIFO: the collector names it. ``exit.json`` is only kept in mind.
    """

    def __init__(self, folder: Path, top: str) -> None:
        self._folder, self._top = folder, top
        self._root = os.open(folder, FOLDER_FLAGS)
        self._links: list[tuple[list[str], str]] = []
        self._omitted: list[str] = []
        self._seen: set[str] = set()
        self._end: bytes | None = None

    def close(self) -> None:
        os.close(self._root)

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write one member; what cannot be written is remembered with its reason.

        Raises:
            OSError: nothing at all can be written here.
        """
        parts = member.name.split("/")
        if parts[0] != self._top or not all(parts) or {".", ".."} & set(parts):
            self._omitted.append(f"{member.name!r}: not a path below the run's folder")
            return
        self._seen.add(_as_told("/".join(parts[1:])))
        try:
            self._write(archive, member, parts[1:])
        except OSError as error:
            if error.errno in _FATAL:
                raise
            self._omitted.append(f"{'/'.join(parts[1:])!r}: {error.strerror}")

    def name_missing(self, paths: Iterable[str]) -> None:
        """Of all that the run left (paths in its folder), name what no archive has: sockets.

        A socket that nobody listens to takes its place, so that whoever collects says what it was.
        """
        for path in paths:
            parts = path.split("/")
            is_ours = all(parts) and not {".", ".."} & set(parts) and len(parts) > 2 and parts[1] in _COLLECTED
            if not is_ours or parts[0] != "work" or _as_told(path) in self._seen:
                continue
            try:
                with self._within(parts[:-1]) as above:
                    self._clear(parts, above)
                    os.mknod(parts[-1], stat.S_IFSOCK | 0o600, dir_fd=above)
            except OSError:  # not every system lets a user do that
                self._omitted.append(f"{path!r}: it is nothing that Docker can copy, such as a socket")

    def finish(self) -> bytes | None:
        """Make the links and say what was omitted; gives the content of ``exit.json``."""
        for parts, text in self._links:
            try:
                with self._within(parts[:-1]) as above:
                    self._clear(parts, above)
                    os.symlink(text, parts[-1], dir_fd=above)
            except OSError as error:
                self._omitted.append(f"{'/'.join(parts)!r}: {error.strerror}")
        if self._omitted:
            said = "".join(f"{line}\n" for line in self._omitted).encode("utf-8", "surrogateescape")
            self._file(io.BytesIO(said), tarfile.TarInfo(), ["work", "logs", NOT_COPIED])
        return self._end

    def _write(self, archive: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        if not parts or parts[0] == RUN_IN_CONTAINER.inputs.name:  # what was copied in lies here already
            return
        if member.isdir():
            with self._within(parts) as folder:
                os.fchmod(folder, 0o700 | member.mode & 0o777)
        elif member.issym():
            self._links.append((parts, member.linkname))
        elif member.islnk():
            self._same_file(parts, posixpath.relpath(member.linkname or "/", self._top).split("/"))
        elif member.isreg():
            stream = cast("IO[bytes]", archive.extractfile(member))
            if parts == [RUN_IN_CONTAINER.exit.name]:
                self._end = stream.read(LONGEST_END)
            elif not self._is_untouched(member, parts):
                self._file(stream, member, parts)
        else:
            with self._within(parts[:-1]) as above:
                self._clear(parts, above)
                os.mkfifo(parts[-1], 0o600, dir_fd=above)

    def _is_untouched(self, member: tarfile.TarInfo, parts: list[str]) -> bool:
        """Whether it is a file of the snapshot, as it lies here: the next run may use it as it is."""
        if len(parts) < 2 or parts[0] != "work" or parts[1] in _COLLECTED:
            return False
        with self._within(parts[:-1]) as above, contextlib.suppress(FileNotFoundError):
            seen = os.stat(parts[-1], dir_fd=above, follow_symlinks=False)
            return (stat.S_IFMT(seen.st_mode), seen.st_size, int(seen.st_mtime), stat.S_IMODE(seen.st_mode)) == (
                *(stat.S_IFREG, member.size, int(member.mtime), stat.S_IMODE(member.mode)),
            )
        return False

    def _file(self, stream: IO[bytes], member: tarfile.TarInfo, parts: list[str]) -> None:
        with self._within(parts[:-1]) as above:
            beside = f".{os.urandom(8).hex()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(beside, flags, 0o600, dir_fd=above), "wb") as copy:
                    shutil.copyfileobj(stream, copy, BLOCK)
                    os.fchmod(copy.fileno(), 0o600 | member.mode & 0o777)
                    copy.flush()
                    os.utime(copy.fileno(), (member.mtime, member.mtime))
                self._clear(parts, above, but_files=True)
                os.rename(beside, parts[-1], src_dir_fd=above, dst_dir_fd=above)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(beside, dir_fd=above)
                raise

    def _same_file(self, parts: list[str], source: list[str]) -> None:
        if ".." in source:
            raise OSError(errno.EXDEV, "the same file as one outside of the run's folder")
        with self._within(source[:-1]) as from_folder, self._within(parts[:-1]) as above:
            self._clear(parts, above)
            os.link(source[-1], parts[-1], src_dir_fd=from_folder, dst_dir_fd=above, follow_symlinks=False)

    def _clear(self, parts: list[str], above: int, *, but_files: bool = False) -> None:
        """Remove what lies under a name (a file that is replaced at once may stay)."""
        try:
            is_folder = stat.S_ISDIR(os.stat(parts[-1], dir_fd=above, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return
        if is_folder:
            tree.remove(os.path.join(self._folder, *parts))  # noqa: PTH118
        elif not but_files:
            os.unlink(parts[-1], dir_fd=above)

    @contextlib.contextmanager
    def _within(self, parts: list[str]) -> Iterator[int]:
        """A folder below ours, made where it is not there; a link or file that stands in its place is removed."""
        within = os.dup(self._root)
        try:
            for part in parts:
                above, within = within, self._open_folder(within, part)
                os.close(above)
            yield within
        finally:
            os.close(within)

    @staticmethod
    def _open_folder(above: int, name: str) -> int:
        try:
            return os.open(name, FOLDER_FLAGS, dir_fd=above)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            os.unlink(name, dir_fd=above)
        os.mkdir(name, _FOLDER_MODE, dir_fd=above)
        return os.open(name, FOLDER_FLAGS, dir_fd=above)


def _as_told(path: str) -> str:
    """A path as Docker lists it; how many marks it has for bytes that are no UTF-8 is not the same everywhere."""
    return re.sub("\ufffd+", "\ufffd", os.fsencode(path).decode("utf-8", "replace"))


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


@contextlib.contextmanager
def opened(pieces: Iterator[bytes]) -> Iterator[tarfile.TarFile]:
    stream = io.BufferedReader(_Pieces(pieces), BLOCK)
    try:
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
            yield archive
    except tarfile.TarError as error:
        raise BrokenArchiveError(f"What Docker gave is no whole archive: {error}.", "Try again.") from error
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
