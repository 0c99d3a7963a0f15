"""Files that appear whole or not at all, and names that are safe to write down."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from amltool.errors import UserError
from amltool.locks import LOCKED_S, LockedError, Patience, note_holder

LARGEST = 64 << 20
"""Bytes of a file of ours that is read at once: a journal entry, a note of where something is."""


def write_whole(path: Path, content: bytes, *, durable: bool = False, mode: int = 0o644) -> None:
    """Write a file beside its place and rename it there, so that no reader ever sees half of it.

    With ``durable`` the content and the name survive a power cut (RELIABILITY fact 3).
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def read_regular(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a file of ours; no pipe or device that somebody put in its place is waited for.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is no regular file, has more than ``largest`` bytes, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if state.st_size > largest:
            raise OSError(errno.EFBIG, "it is too large", str(path))
        with os.fdopen(os.dup(handle), "rb") as stream:
            return stream.read(largest)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(
    path: Path,
    what: str = "",
    *,
    wait: bool = True,
    within_s: float | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold an advisory lock on a file while the block runs; the kernel lets go of it when we die.

    A lock that is not free is said after two seconds, as ``what``, with its holder, and given up when one holder has
    kept it for ``within_s`` (`locks.LOCKED_S`). ``meanwhile`` is called while it is waited for, and may raise.

    Raises:
        BlockingIOError: another process holds it and ``wait`` is false.
        LockedError: it was not free in time (names the holder), or something else has the name of the file.
    """
    handle = _lock_file(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            _wait_for(handle, path, what or str(path), within_s, meanwhile)
        note_holder(handle)
        yield
    finally:
        os.close(handle)


def _lock_file(path: Path) -> int:
    """The file of a lock, opened; its holder writes into it, so no link is followed."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise _no_lock_file(path) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _no_lock_file(path)
    return handle


def _no_lock_file(path: Path) -> LockedError:
    return LockedError(
        f"{path} is not a regular file, so it cannot be locked.", "Remove it, then run the same command again."
    )


def _wait_for(handle: int, path: Path, what: str, within_s: float | None, meanwhile: Callable[[], None] | None) -> None:
    patience = Patience.of(path, what, LOCKED_S if within_s is None else within_s)
    while True:
        patience.goes_on(meanwhile)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return


def probe_folder(folder: Path, missing: int) -> None:
    """Make a folder in a folder and remove it again; nothing else shows whether files can be made there.

    ``missing``: so many folders, the last one of the path first, may be still to be made.

    Raises:
        OSError: no file can be made there, or more of the path is missing.
    """
    probe = f".amltool-{os.getpid()}-{os.urandom(4).hex()}"
    for place in (folder, *folder.parents)[: missing + 1]:
        if place.is_symlink() and not place.exists():
            raise FileNotFoundError(errno.ENOENT, "it is a link that leads nowhere", str(place))
        try:
            (place / probe).mkdir()
        except FileNotFoundError as error:
            absent = error
        else:
            (place / probe).rmdir()
            return
    raise absent


def in_home(path: str) -> Path:
    """A path of this machine, with the home folder it begins with (``~/x``, ``~ada/x``) written out.

    Raises:
        UserError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(
            f"There is no home folder for {path}.", "Write the whole path, or one that begins with ~/."
        ) from None


def safe_text(name: str) -> str:
    r"""A name as text that JSON, SQLite and a terminal can hold: bytes that are not UTF-8 become ``\xNN``."""
    try:
        name.encode()
    except UnicodeEncodeError:
        try:
            return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:  # half of a pair that stands for no byte
            return name.encode("utf-8", "backslashreplace").decode()
    return name


def no_space(error: OSError, place: Path | str) -> UserError:
    """The sentence for a disk that is full, or a folder that cannot be written or is gone."""
    if error.errno == errno.ENOENT:
        return UserError(
            f"{place} was removed or moved meanwhile: {error.strerror}.",
            "Put it back where it was, then run the same command again.",
        )
    return UserError(
        f"Cannot write {place}: {error.strerror or error}.",
        "Free some space or change the permissions, then run the same command again: nothing was lost.",
    )
