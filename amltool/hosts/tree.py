"""What lies below a folder of this machine: seen without following a link, and removed whatever its modes.

It is seen as on any host. Removing is told here once more: with what Python has had since 3.7 it takes a fifth less.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from amltool.hosts.base import FileKind, FileOnHost
from amltool.hosts.there import tree as there

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk(top: str, below: str = "") -> Iterator[FileOnHost]:
    """Everything below a folder (or one ``below`` it), depth first, the names of each folder sorted; what vanishes
    meanwhile is left out.

    A link or a file in its place, or on the way from ``top``, is given as one entry ``.``, so that whoever expected
    files learns why there are none; a folder that cannot be read, or lies too deep, is of kind OTHER.
    """
    for path, kind, *seen in there.walk(os.fsencode(top), os.fsencode(below)):
        yield FileOnHost(os.fsdecode(there.named(path)), FileKind(kind), *seen)


def changed(top: str, below: str, since: str, skipped: Sequence[str], limit: int) -> list[str]:
    """As `Host.changed`."""
    found = there.changed(os.fsencode(top), os.fsencode(below), os.fsencode(since), tuple(skipped), limit)
    return [os.fsdecode(there.named(path)) for path in found]


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
