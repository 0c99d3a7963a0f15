"""The artifact store in a folder: ``objects/aa/<sha256>``, read-only, there whole or not at all, verified on read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from amltool.artifact import STORED_HERE
from amltool.errors import DamagedError, UserError
from amltool.files import no_space, probe_folder, sync_folder
from amltool.stores.base import Kept

BLOCK = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")
SYNC_AT_ONCE = 32
"""From so many files on, one ``syncfs`` beats an fsync each (measured, 1,000 files of 2 kB: 14 ms against 230 ms)."""
LEFTOVER_AGE_S = 60.0
"""A file nobody holds a lock on is a killed writer's, once it is too old to be one that is just being made."""


class DirectoryStore:
    """Keeps content below one folder, which is made when something is put; safe for many processes at once.

    A writer streams into ``incoming/`` and renames. No hard links to what is put: a run may still write its file.
    """

    def __init__(self, folder: Path, address: str = STORED_HERE) -> None:
        self.folder = folder
        self._address = address
        self._unsynced: set[str] = set()
        self._swept = False

    @property
    def address(self) -> str:
        return self._address

    def ready(self) -> None:
        """Make sure that content can be kept here, without a trace.

        A folder elsewhere may be missing, but not the one it lies in: that is the place of a disk that is not mounted.

        Raises:
            UserError: it cannot; says why and what to do.
        """
        for folder in (self._incoming, self._objects):
            try:
                probe_folder(folder, len(folder.parents) if self._address == STORED_HERE else 2)
            except (OSError, ValueError) as error:
                raise unusable(self.folder, error) from error

    def put(self, stream: BinaryIO, limit: int | None = None, name: str | None = None) -> Kept:  # noqa: ARG002
        """Keep what the stream gives, to its end. More than ``limit`` bytes: ValueError, and nothing is kept.

        An error of the stream passes through as it is.

        Raises:
            UserError: the store cannot be written, or its disk is full.
        """
        incoming = self._incoming_file()
        try:
            with self._writing():
                handle = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                _claim(handle)
                kept = self._copy(stream, handle, limit)
                with self._writing():
                    self._accept(incoming, kept)
            finally:
                os.close(handle)
        finally:
            with contextlib.suppress(OSError):
                incoming.unlink()
        return kept

    def flush(self) -> None:
        """Make everything that was put durable (a power cut loses none of it)."""
        pending, self._unsynced = self._unsynced, set()
        if not pending:
            return
        try:
            with self._writing():
                if len(pending) < SYNC_AT_ONCE or not _sync_file_system(self._objects):
                    self._sync_each(pending)
        except BaseException:
            self._unsynced |= pending
            raise

    def open(self, sha256: str, begun: Iterable[bytes] = ()) -> contextlib.AbstractContextManager[BinaryIO]:
        """The content (what follows ``begun``), verified while it is read: not even the last block is given when the
        whole is wrong.

        Raises:
            KeyError: it is not there.
            DamagedError: the bytes are not those of this SHA-256 (raised at the latest by the last read).
        """
        return io.BufferedReader(_VerifiedFile(self._path(sha256), sha256, begun), BLOCK)

    def contains(self, sha256: str) -> bool:
        with contextlib.suppress(KeyError):
            return self._path(sha256).exists()
        return False

    def remove(self, sha256: str) -> None:
        """Forget it; what is not there is fine."""
        with contextlib.suppress(KeyError), self._writing():
            self._path(sha256).unlink(missing_ok=True)
        self._unsynced.discard(sha256)

    def walk(self) -> Iterator[Kept]:
        """Everything that is kept, in order of SHA-256; files that are not ours are passed over."""
        for folder in _sorted_names(self._objects):
            for name in _sorted_names(self._objects / folder):
                if name[:2] != folder or not SHA256.fullmatch(name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    yield Kept(name, (self._objects / folder / name).lstat().st_size)

    def check(self, sha256: str) -> bool:
        """Whether the bytes that are kept are the right ones. KeyError when not there."""
        try:
            with self.open(sha256) as stream:
                while stream.read(BLOCK):
                    pass
        except DamagedError:
            return False
        return True

    def foreign(self) -> Iterator[str]:
        """The names of what lies among the content and was not put there by a store of ours."""
        for folder in _sorted_names(self._objects):
            names = _sorted_names(self._objects / folder)
            if not names and not (self._objects / folder).is_dir():
                yield f"objects/{folder}"
            for name in names:
                path = self._objects / folder / name
                if name[:2] != folder or not SHA256.fullmatch(name) or not stat.S_ISREG(path.lstat().st_mode):
                    yield f"objects/{folder}/{name}"

    @property
    def _incoming(self) -> Path:
        return self.folder / "incoming"

    @property
    def _objects(self) -> Path:
        return self.folder / "objects"

    def _path(self, sha256: str) -> Path:
        if not SHA256.fullmatch(sha256):
            raise KeyError(sha256)
        return self._objects / sha256[:2] / sha256

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise no_space(error, self.folder) from error

    def _incoming_file(self) -> Path:
        incoming = self._incoming
        if not self._swept:
            with self._writing():
                incoming.mkdir(parents=True, exist_ok=True)
                self._objects.mkdir(exist_ok=True)
            _remove_leftovers(incoming)
            self._swept = True
        return incoming / f"{os.getpid()}-{os.urandom(8).hex()}"

    def _copy(self, stream: BinaryIO, handle: int, limit: int | None) -> Kept:
        hashed = hashlib.sha256()
        size = 0
        while block := stream.read(BLOCK):
            size += len(block)
            if limit is not None and size > limit:
                raise ValueError(f"more than {limit} bytes")
            hashed.update(block)
            view = memoryview(block)
            with self._writing():
                while view:
                    view = view[os.write(handle, view) :]
        return Kept(hashed.hexdigest(), size)

    def _accept(self, incoming: Path, kept: Kept) -> None:
        """Rename to its place, unless it lies there; one of another size is damage and is replaced."""
        path = self._path(kept.sha256)
        with contextlib.suppress(FileNotFoundError):
            there = path.lstat()
            if stat.S_ISREG(there.st_mode) and there.st_size == kept.size:
                self._unsynced.add(kept.sha256)  # whoever put it may not have come to its flush
                return
        try:
            incoming.rename(path)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            incoming.rename(path)
        self._unsynced.add(kept.sha256)

    def _sync_each(self, pending: set[str]) -> None:
        paths = [self._path(sha256) for sha256 in pending]
        _at_once(_sync_file, paths)
        _at_once(
            sync_folder, sorted({path.parent for path in paths} | {self._objects, self.folder, self.folder.parent})
        )


class _VerifiedFile(io.RawIOBase):
    """Reads a file and hashes it on the way; the block that ends it is given only when the hash is right."""

    def __init__(self, path: Path, sha256: str, begun: Iterable[bytes] = ()) -> None:
        self._sha256 = sha256
        self._hashed = hashlib.sha256()
        self._handle = -1
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise KeyError(sha256) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._damaged("a link lies in its place") from None
            raise no_access(error, path) from error
        status = os.fstat(self._handle)
        self._left = status.st_size
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise self._damaged("it is no file")
        for block in begun:
            self._hashed.update(block)
            self._left -= len(block)
        os.lseek(self._handle, status.st_size - self._left, os.SEEK_SET)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        try:
            count = os.readv(self._handle, [buffer])
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error
        self._hashed.update(memoryview(buffer)[:count])
        self._left -= count
        if (count == 0 or self._left <= 0) and self._hashed.hexdigest() != self._sha256:
            raise self._damaged("its bytes are not those that were put")
        return count

    def close(self) -> None:
        if not self.closed and self._handle >= 0:
            os.close(self._handle)
        super().close()

    def _damaged(self, how: str) -> DamagedError:
        return DamagedError(
            f"The artifact {self._sha256[:12]} in the artifact store is damaged: {how}.",
            "Fetch it from another clone or run its run again: amltool rerun RUN",
        )


def unusable(folder: Path, error: OSError | ValueError) -> UserError:
    """The sentence for a folder in which no content can be kept."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UserError(
        f"Nothing can be kept in the artifact store {folder}: {reason}.",
        "Make that folder, with its disk mounted and writable for you, or name another: artifact_store in "
        "aml_config/project.yml, or artifactStore in the .compute.",
    )


def no_access(error: OSError, path: Path) -> DamagedError:
    """The sentence for content that is there but cannot be read."""
    return DamagedError(
        f"The artifact {path.name[:12]} cannot be read: {error.strerror or error}.",
        f"Make {path} readable for you, then run the same command again.",
    )


def _claim(handle: int) -> None:
    """Hold a lock for as long as we write, so that nobody takes the file for a leftover (kept where locks work)."""
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_leftovers(incoming: Path) -> None:
    now = time.time()
    for name in _sorted_names(incoming):
        path = incoming / name
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime < LEFTOVER_AGE_S:
                continue
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _sorted_names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names only, in a store of very many
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _at_once(sync: Callable[[Path], None], paths: Sequence[Path]) -> None:
    """Sync several at the same time: one commit of the file system's own journal then serves them all.

    What is not there any more needs no syncing. The first error of any is raised.
    """
    errors: list[OSError] = []

    def one(path: Path) -> None:
        try:
            sync(path)
        except FileNotFoundError:
            return
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _sync_file_system(folder: Path) -> bool:
    """Everything on the file system of a folder at once; false where the system cannot (no Linux)."""
    import ctypes

    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return False
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if syncfs(handle) == 0:
            return True
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)
