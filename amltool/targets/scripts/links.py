"""Where links lead, followed by hand: names are bytes, and nothing is opened; standard library, Python 3.6."""

# ruff: noqa: PTH115, PTH118
# mypy: ignore-errors

import os
import stat

MOST_LINKS = 40
"""As many as Linux follows on one path."""


def main(top, seen, share, paths):
    """For each path below ``top``: what it leads to (``file``, ``folder``, ``other``, ``nothing``, ``out``, ``share``),
    its text, and the path below ``top`` that it ends at. The run saw ``top`` as ``seen``."""
    folder = raw(top)
    seen_as = [raw(seen)] if seen != top else [folder, os.path.realpath(folder)]
    return [one(folder, seen_as, raw(share), raw(path)) for path in paths]


def one(top, seen_as, share, path):
    try:
        text = os.readlink(os.path.join(top, path))
    except OSError:
        return "unread", "", ""
    kind, end = followed(top, seen_as, share, path.split(b"/"))
    return kind, shown(text), shown(b"/".join(end))


def followed(top, seen_as, share, todo):
    done, links = [], 0
    kind = "folder"
    while todo:
        part, todo = todo[0], todo[1:]
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not done:
                return "out", []
            done.pop()
            kind = "folder"
            continue
        place = os.path.join(top, *(done + [part]))  # noqa: RUF005
        try:
            mode = os.lstat(place).st_mode
            text = os.readlink(place) if stat.S_ISLNK(mode) else b""
        except OSError:
            return "nothing", []
        if not stat.S_ISLNK(mode):
            if kind != "folder":
                return "nothing", []
            kind = "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"
            done.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            return "nothing", []
        if text.startswith(b"/"):
            inside = next((found for found in (below(text, prefix) for prefix in seen_as) if found is not None), None)
            if inside is None:
                return "share" if share and below(text, share) is not None else "out", []
            done, todo, kind = [], inside.split(b"/") + todo, "folder"
        else:
            todo = text.split(b"/") + todo
    return kind, done


def below(path, folder):
    """What is left of a path below a folder; None where it does not lie there."""
    folder = folder.rstrip(b"/") + b"/"
    return path[len(folder) :] if path.startswith(folder) else None


def raw(text):
    return text.encode("utf-8", "surrogateescape")


def shown(name):
    return name.decode("utf-8", "surrogateescape")
