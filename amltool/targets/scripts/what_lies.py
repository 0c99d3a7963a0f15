"""Tells what of amltool's lies on a host beside environments: in three folders, of runs, libraries and objects.

Evaluated there behind `amltool.hosts.there.looking`: standard library, Python 3.6. A run's own marks say whose it is,
and whether it is over.
"""
# ruff: noqa: PTH118, PTH123
# mypy: allow-untyped-defs, allow-untyped-calls

import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amltool.hosts.there.looking import is_held, names_in, raw, shown


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


def run(runs, name):
    folder = os.path.join(runs, name)
    uses = marked(os.path.join(folder, b"uses.json"))
    return {
        "name": shown(name),
        "released": (marked(os.path.join(folder, b"released.json")) or {}).get("project"),
        "untracked": (marked(os.path.join(folder, b"untracked.json")) or {}).get("project"),
        "started": os.path.lexists(os.path.join(folder, b"start.json")),
        "ended": os.path.lexists(os.path.join(folder, b"exit.json")),
        "environment": (uses or {}).get("environment"),
        "library": (uses or {}).get("library"),
        "age_s": age_of(os.path.join(folder, b"uses.json") if uses else folder),
    }


def main(*folders):
    runs, libraries, objects = map(raw, folders)
    return {
        "runs": [run(runs, name) for name in names_in(runs)],
        "libraries": [
            {"name": shown(name), "age_s": age_of(os.path.join(libraries, name))} for name in names_in(libraries)
        ],
        "objects": [
            {"name": shown(name), "busy": is_held(os.path.join(objects, name, b"lock"))} for name in names_in(objects)
        ],
    }
