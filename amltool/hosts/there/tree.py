"""Files there, by exact bytes of names: seen and opened without following a link, removed whatever their modes.

`amltool.hosts.tree` sees with it what lies on our own machine. Names are UTF-8 with surrogateescape on their way,
whatever the locale is.
"""

import errno
import itertools
import os
import stat
from typing import Any, Iterator, List, Optional, Tuple

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DEEPEST = 100
"""Folders below each other that are looked into: each is held open."""
MOST_LOOKED_AT = 100000
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


def named(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def read_up_to(handle: int, offset: int, size: int) -> bytes:
    """So many bytes from an offset on; fewer only at the end of the file."""
    parts = []
    while size > 0:
        block = os.pread(handle, size, offset)
        if not block:
            break
        parts.append(block)
        offset += len(block)
        size -= len(block)
    return b"".join(parts)


def write_new(path: bytes, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(handle, content)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
                raise
    finally:
        os.close(handle)


def check_regular(handle: int) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def open_below(folder: bytes, path: bytes) -> int:
    """Open a file below a folder, following no link on the way."""
    parts = path.split(b"/")
    if not all(parts) or {b".", b".."} & set(parts):
        raise OSError(errno.EINVAL, "not a path below a folder", shown(path))
    within = os.open(folder, FOLDER_FLAGS)
    try:
        for part in parts[:-1]:
            above, within = within, os.open(part, FOLDER_FLAGS, dir_fd=within)
            os.close(above)
        kind = stat.S_IFMT(os.stat(parts[-1], dir_fd=within, follow_symlinks=False).st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFLNK):  # opening a device may already do something
            raise OSError(errno.EINVAL, "not a regular file", shown(path))
        return os.open(parts[-1], FILE_FLAGS, dir_fd=within)
    finally:
        os.close(within)


def walk(top: bytes, below: bytes = b"", skipped: "Tuple[str, ...]" = ()) -> Iterator[List[Any]]:
    """Everything below a folder: path, kind, size, mtime_ns, mode, inode, ctime_ns. See amltool.hosts.tree.walk.
    Folders whose path or name is to be ``skipped`` are not looked into.

    Each folder is opened from the one above it, so that no name that changes meanwhile leads anywhere else.
    """
    first, folder = entered(top, below)
    if folder is None:
        if first is not None:
            yield first
        return
    above = []  # type: List[Tuple[int, Iterator[Tuple[bytes, List[Any]]]]]
    try:
        above.append((folder, entries(folder, "")))
        while above:
            within, waiting = above[-1]
            name, found = next(waiting, (b"", []))
            if not found:
                os.close(above.pop()[0])
                continue
            inner = None  # type: Optional[int]
            if found[1] == "folder" and found[0] not in skipped and shown(name) not in skipped:
                inner = opened_folder(name, within) if len(above) < DEEPEST else None
                found[1] = "other" if inner is None else "folder"
            yield found
            if inner is not None:
                above.append((inner, entries(inner, found[0] + "/")))
    finally:
        for within, _ in above:
            os.close(within)


def changed(top: bytes, below: bytes, since: bytes, skipped: "Tuple[str, ...]", limit: int) -> List[str]:
    """What below a folder is no folder and changed since a file of ``top`` did; no more than ``limit`` paths."""
    try:
        begun = os.stat(os.path.join(top, since), follow_symlinks=False).st_ctime_ns
    except OSError:
        begun = 0
    found = []
    for entry in itertools.islice(walk(top, below, skipped), MOST_LOOKED_AT):
        if entry[1] != "folder" and entry[0] != "." and entry[6] >= begun:
            found.append(str(entry[0]))
            if len(found) == limit:
                break
    return found


def entered(top: bytes, below: bytes) -> "Tuple[Optional[List[Any]], Optional[int]]":
    """A folder below another one, open; else what lies in its place or on the way to it; nothing where nothing is."""
    within = None  # type: Optional[int]
    for part in [top] + [part for part in below.split(b"/") if part]:
        above = within
        try:
            state = os.stat(part, dir_fd=above, follow_symlinks=False)
            found = seen(".", state)
            within = opened_folder(part, above) if found[1] == "folder" else None
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except OSError:
            return [".", "other", 0, 0, stat.S_IFDIR, 0, 0], None
        finally:
            if above is not None:
                os.close(above)
        if within is None:
            found[1] = "other" if found[1] == "folder" else found[1]
            return found, None
    return None, within


def opened_folder(name: bytes, within: Optional[int]) -> Optional[int]:
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=within)
    except OSError:
        return None


def entries(folder: int, prefix: str) -> "Iterator[Tuple[bytes, List[Any]]]":
    """What lies in an open folder, sorted: each name, and what is seen of it."""
    found = []
    try:
        names = listed(folder)
    except OSError:
        names = []
    for name in names:
        inner = prefix + shown(name)
        try:
            found.append((name, seen(inner, os.stat(name, dir_fd=folder, follow_symlinks=False))))
        except FileNotFoundError:
            pass
        except OSError:  # a folder whose names may be read, but nothing more
            found.append((name, [inner, "other", 0, 0, 0, 0, 0]))
    return iter(sorted(found, key=lambda entry: str(entry[1][0])))


def seen(path: str, state: os.stat_result) -> List[Any]:
    kind = KINDS.get(stat.S_IFMT(state.st_mode), "other")
    return [path, kind, state.st_size, state.st_mtime_ns, state.st_mode, state.st_ino, state.st_ctime_ns]


def remove(path: bytes) -> None:
    """As amltool.hosts.tree.remove: no depth is too deep, no mode of a folder in the way, no link followed."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        open_up(path, None)
        top = os.open(path, FOLDER_FLAGS)
    except FileNotFoundError:
        return
    try:
        empty(top)
    finally:
        os.close(top)
    os.rmdir(path)


def empty(top: int) -> None:
    token, moved = os.urandom(8).hex(), 0
    names = listed(top)
    while names:
        for name in names:
            if not is_folder(name, top):
                os.unlink(name, dir_fd=top)
                continue
            open_up(name, top)
            folder = os.open(name, FOLDER_FLAGS, dir_fd=top)
            try:
                for below in listed(folder):
                    if is_folder(below, folder):
                        open_up(below, folder)
                        moved += 1
                        os.rename(below, ".{}.{}".format(token, moved).encode(), src_dir_fd=folder, dst_dir_fd=top)
                    else:
                        os.unlink(below, dir_fd=folder)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
        names = listed(top)


def listed(folder: int) -> List[bytes]:
    return [os.fsencode(name) for name in os.listdir(folder)]


def is_folder(name: bytes, within: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode)


def open_up(name: bytes, within: Optional[int]) -> None:
    if os.stat(name, dir_fd=within, follow_symlinks=False).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, stat.S_IRWXU, dir_fd=within)
