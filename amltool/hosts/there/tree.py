"""Files there, by exact bytes of names: seen and opened without following a link, removed whatever their modes.

`amltool.hosts.tree` sees with it what lies on our own machine. Names are UTF-8 with surrogateescape on their way,
whatever the locale is.
"""

import errno
import os
import stat
from typing import Any, Iterator, List, Optional

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
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
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=within, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", shown(path))  # opening a device may already do something
        return os.open(parts[-1], FILE_FLAGS, dir_fd=within)
    finally:
        os.close(within)


def walk(top: bytes) -> Iterator[List[Any]]:
    """Everything below a folder: path, kind, size, mtime_ns, mode, inode, ctime_ns. See amltool.hosts.tree.walk."""
    try:
        waiting = [seen(".", os.lstat(top))]
    except (FileNotFoundError, NotADirectoryError):
        return
    while waiting:
        found = waiting.pop()
        if found[1] == "folder":
            below = entries(top, found[0])
            if below is None:
                found[1] = "other"
            else:
                waiting += reversed(below)
        if found[0] != "." or found[1] != "folder":
            yield found


def entries(top: bytes, path: str) -> Optional[List[List[Any]]]:
    prefix = "" if path == "." else path + "/"
    found = []
    try:
        for name in os.listdir(top + b"/" + named(path)):
            inner = prefix + shown(name)
            try:
                found.append(seen(inner, os.lstat(top + b"/" + named(inner))))
            except FileNotFoundError:
                pass
            except OSError:  # a folder whose names may be read, but nothing more
                found.append([inner, "other", 0, 0, 0, 0, 0])
    except FileNotFoundError:
        return []
    except OSError:
        return None
    return sorted(found, key=lambda entry: str(entry[0]))


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
