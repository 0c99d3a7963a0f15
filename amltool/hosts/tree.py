"""What lies below a folder of this machine: seen without following a link, and removed whatever its modes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from amltool.hosts.base import FileKind, FileOnHost

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
KINDS = {stat.S_IFREG: FileKind.FILE, stat.S_IFDIR: FileKind.FOLDER, stat.S_IFLNK: FileKind.LINK}


def walk(top: str) -> Iterator[FileOnHost]:
    """Everything below a folder, depth first, the names of each folder sorted; what vanishes meanwhile is left out.

    A ``top`` that is a link or a file is given as one entry ``.``, so that whoever expected files learns why there
    are none; a folder that cannot be read is of kind OTHER.
    """
    try:
        waiting = [_seen(".", os.lstat(top))]
    except (FileNotFoundError, NotADirectoryError):
        return
    while waiting:
        found = waiting.pop()
        below: list[FileOnHost] | None = []
        if found.kind is FileKind.FOLDER:
            below = _entries(top, found.path)
            waiting += reversed(below or [])
        if below is None:
            yield replace(found, kind=FileKind.OTHER)
        elif found.path != "." or found.kind is not FileKind.FOLDER:
            yield found


def remove(path: str) -> None:
    """Remove a file or a whole tree; none is fine.

    Raises:
        OSError: something in it is not ours to remove.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            Path(path).unlink()
            return
        _open_up(path, None)
        top = os.open(path, FOLDER_FLAGS)
    except FileNotFoundError:
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    Path(path).rmdir()


def _entries(top: str, path: str) -> list[FileOnHost] | None:
    """What lies in a folder of ``top``, sorted; None when it cannot be read."""
    prefix = "" if path == "." else f"{path}/"
    try:
        with os.scandir(f"{top}/{path}") as entries:
            found = [_entry(entry, prefix) for entry in entries]
    except FileNotFoundError:
        return []
    except OSError:
        return None
    return sorted((file for file in found if file is not None), key=lambda file: file.path)


def _entry(entry: os.DirEntry[str], prefix: str) -> FileOnHost | None:
    try:
        return _seen(prefix + entry.name, entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None
    except OSError:  # a folder whose names may be read, but nothing more
        return FileOnHost(prefix + entry.name, FileKind.OTHER, 0, 0)


def _seen(path: str, state: os.stat_result) -> FileOnHost:
    kind = KINDS.get(stat.S_IFMT(state.st_mode), FileKind.OTHER)
    return FileOnHost(path, kind, state.st_size, state.st_mtime_ns, state.st_mode, state.st_ino, state.st_ctime_ns)


def _empty(top: int) -> None:
    """Remove all that is below a folder. Folders move up to it first: no depth is too deep, no path too long."""
    token, moved = os.urandom(8).hex(), 0
    while entries := _listed(top):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=top)
                continue
            _open_up(entry.name, top)
            folder = os.open(entry.name, FOLDER_FLAGS, dir_fd=top)
            try:
                for below in _listed(folder):
                    if below.is_dir(follow_symlinks=False):
                        _open_up(below.name, folder)
                        moved += 1
                        os.rename(below.name, f".{token}.{moved}", src_dir_fd=folder, dst_dir_fd=top)
                    else:
                        os.unlink(below.name, dir_fd=folder)
            finally:
                os.close(folder)
            os.rmdir(entry.name, dir_fd=top)


def _listed(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _open_up(name: str, within: int | None) -> None:
    """Let its owner into a folder: a run may have taken that right away, and so would a read-only snapshot."""
    if os.stat(name, dir_fd=within, follow_symlinks=False).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, stat.S_IRWXU, dir_fd=within)
