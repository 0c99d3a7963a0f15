"""Tells, as JSON, what of amltool's lies on a host beside environments. Run there: standard library, Python 3.6.

    python3 -I -S -c "<this file>" RUNS LIBRARIES OBJECTS

All three are absolute. A run's own marks say whose it is, and whether it is over.
"""
# ruff: noqa: PTH118, PTH123, PTH208
# mypy: allow-untyped-defs, allow-untyped-calls

import fcntl
import json
import os
import sys
import time


def names_in(folder):
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def marked(path):
    """What a mark says; ``None`` where it is not there or is none."""
    try:
        with open(path, "rb") as stream:
            content = json.loads(stream.read(1 << 20).decode("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def age_of(path):
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def is_held(lock):
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


def run(runs, name):
    folder = os.path.join(runs, name)
    uses = marked(os.path.join(folder, "uses.json"))
    return {
        "name": name,
        "released": (marked(os.path.join(folder, "released.json")) or {}).get("project"),
        "untracked": (marked(os.path.join(folder, "untracked.json")) or {}).get("project"),
        "started": os.path.lexists(os.path.join(folder, "start.json")),
        "ended": os.path.lexists(os.path.join(folder, "exit.json")),
        "environment": (uses or {}).get("environment"),
        "library": (uses or {}).get("library"),
        "age_s": age_of(os.path.join(folder, "uses.json") if uses else folder),
    }


def main():
    runs, libraries, objects = sys.argv[1:]
    found = {
        "runs": [run(runs, name) for name in names_in(runs)],
        "libraries": [{"name": name, "age_s": age_of(os.path.join(libraries, name))} for name in names_in(libraries)],
        "objects": [{"name": name, "busy": is_held(os.path.join(objects, name, "lock"))} for name in names_in(objects)],
    }
    sys.stdout.write(json.dumps(found))


main()
