"""Tells, as JSON, what lies in the folder of environments of a host: name, whether it is whole, bytes, whether it is
being built just now. Run on that host, so it keeps to the standard library and to Python 3.6.

    python3 -I -S -c "<this file>" FOLDER MARKER LOCKS SETTINGS
"""
# ruff: noqa: PTH118, PTH208
# mypy: allow-untyped-defs, allow-untyped-calls

import contextlib
import fcntl
import json
import os
import stat
import sys


def names_in(folder):
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_held(lock):
    """Whether somebody holds a lock; to ask takes it for a moment."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def size_of(top):
    total, seen = 0, set()
    for folder, _, names in os.walk(top):
        for name in names:
            with contextlib.suppress(OSError):
                state = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(state.st_mode) and (state.st_dev, state.st_ino) not in seen:
                    seen.add((state.st_dev, state.st_ino))
                    total += state.st_size
    return total


def main():
    top, marker, locks, settings = sys.argv[1:]
    held = {name for name in names_in(os.path.join(top, locks)) if is_held(os.path.join(top, locks, name))}
    found = []
    for name in names_in(top):
        if name == locks:
            continue
        place = os.path.join(top, name)
        # the settings of a build are named for none: while anything is built they may be its
        busy = bool(held) if name.startswith(settings) else name in held
        size = 0 if busy else size_of(place)
        found.append([name, os.path.lexists(os.path.join(place, marker)), size, busy])
    sys.stdout.write(json.dumps(found))


main()
