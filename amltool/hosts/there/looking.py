"""What a small program that looks into the folders of a host has at hand (`amltool.hosts.looking`).

Its text stands before that of the program: it works alone. Names are bytes, whatever the host's locale is.
"""

import fcntl
import os
import stat
from typing import List, Set, Tuple


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def names_in(folder: bytes) -> List[bytes]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_held(lock: bytes) -> bool:
    """Whether somebody holds a lock, or it cannot be known; to ask takes it for a moment."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def size_of(top: bytes) -> int:
    """The bytes of the regular files below a folder, each counted once however many names it has."""
    total = 0
    seen: Set[Tuple[int, int]] = set()
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                state = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode) and (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                total += state.st_size
    return total
