"""Tells what of amltool's lies on a host beside environments: runs, libraries, objects, and what was set aside.

Evaluated there behind `amltool.hosts.there.looking`: standard library, Python 3.6. The marks of a run, which lie where
no run writes, say whose it is, and whether it is over; those in its own folder, where they lay before, count only where
it has no others. Nothing is read that is no file, or is long.
"""
# ruff: noqa: PTH118, PTH119
# mypy: allow-untyped-defs, allow-untyped-calls

import json
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amltool.hosts.there.looking import is_held, names_in, raw, shown


LONGEST = 1 << 16
SET_ASIDE = b".set-aside-"


def marked(folder, name):
    """What a mark says; ``None`` where it is not there or is none."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            return None
        with os.fdopen(os.open(os.path.join(folder, name), flags), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return None
            content = json.loads(stream.read(LONGEST).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def said(mark, name):
    """A text of a mark; ``None`` where it has none."""
    found = (mark or {}).get(name)
    return found if isinstance(found, str) and len(found) < LONGEST else None


def age_of(path):
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def is_folder(path):
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def own_names(folder):
    """The names in a folder of ours, which is no link."""
    try:
        return names_in(folder) if is_folder(folder) else []
    except OSError:
        return []


def run(runs, marks, name):
    folder, ours = os.path.join(runs, name), os.path.join(marks, name)
    place = ours if is_folder(ours) else folder
    uses = marked(place, b"uses.json")
    return {
        "name": shown(name),
        "released": said(marked(place, b"released.json"), "project"),
        "untracked": said(marked(place, b"untracked.json"), "project"),
        "started": is_folder(folder) and os.path.lexists(os.path.join(folder, b"start.json")),
        "ended": is_folder(folder) and os.path.lexists(os.path.join(folder, b"exit.json")),
        "environment": said(uses, "environment"),
        "library": said(uses, "library"),
        "age_s": age_of(os.path.join(place, b"uses.json") if uses else folder),
    }


def set_aside(root, runs, marks):
    """What was set aside, by its path below the root."""
    found = [name for name in own_names(root) if SET_ASIDE in name]
    for top in (runs, marks):
        found += [os.path.join(os.path.basename(top), name) for name in own_names(top) if SET_ASIDE in name]
    return [shown(path) for path in found]


def main(root, *folders):
    runs, marks, libraries, objects = map(raw, folders)
    names = sorted(set(own_names(runs)) | set(own_names(marks)))
    return {
        "runs": [run(runs, marks, name) for name in names if SET_ASIDE not in name],
        "set_aside": set_aside(raw(root), runs, marks),
        "libraries": [
            {"name": shown(name), "age_s": age_of(os.path.join(libraries, name))} for name in names_in(libraries)
        ],
        "objects": [
            {"name": shown(name), "busy": is_held(os.path.join(objects, name, b"lock"))} for name in names_in(objects)
        ],
    }
