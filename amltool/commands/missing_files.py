"""A run that failed for want of a file: say so where the file lies in the working folder and not in the snapshot."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from amltool.commands.opening import Opened
from amltool.limits import shell_word, shown
from amltool.snapshot import Snapshot

MOST_NAMES = 60

_WANTING = re.compile(r"no such file|not exist|not found|cannot open|can't open|unable to open|no module named", re.I)
_QUOTED = re.compile(r"'([^'\n]{1,1000})'|\"([^\"\n]{1,1000})\"")
_WORD = re.compile(r"[^\s'\"()\[\]{},;:]{1,1000}")
_MODULE = re.compile(r"No module named '?([\w.]{1,200})")


def missing_file(opened: Opened, snapshot: Snapshot, tail: bytes) -> str:
    """The sentence about the last file that the console names as not there, and what to do; ``""`` where there is none.

    The file lies in the working folder, and the snapshot has neither it nor anything in it.
    """
    root = opened.project.root / snapshot.source_directory
    held = {file.path for file in snapshot.files}
    for name in _names(tail.decode("utf-8", "surrogateescape")):
        path = _inside(name)
        if path and os.path.lexists(root / path) and path not in held:
            inner = f"{path}/"
            if not any(each.startswith(inner) for each in held):
                return _sentence(opened, root, path, snapshot)
    return ""


def _names(text: str) -> Iterator[str]:
    """The names of files on lines that speak of one which is not there, the last line first."""
    count = 0
    for line in reversed(text.split("\n")):
        if not _WANTING.search(line):
            continue
        if module := _MODULE.search(line):
            base = module[1].split(".")[0]
            yield from (f"{base}.py", base)
        quoted = [first or second for first, second in _QUOTED.findall(line)]
        for name in (*quoted, *_WORD.findall(line)):
            count += 1
            if count > MOST_NAMES:
                return
            yield name


def _inside(name: str) -> str:
    """A name as a path from the snapshot's root; an absolute one in a run's own folder counts from there."""
    if name.startswith("/"):
        _, found, name = name.partition("/work/")
        if not found:
            return ""
    path = posixpath.normpath(name)
    return "" if path.startswith("..") or path in (".", "/") or "\0" in path else path


def _sentence(opened: Opened, root: Path, path: str, snapshot: Snapshot) -> str:
    from amltool.ignore import IgnoreFile, explain

    said = f"{shown(path)} is in your folder, but the run's snapshot does not have it"
    share = "keep it in the shared folder (AZUREML_NATIVE_SHARE_DIRECTORY)"
    if path.partition("/")[0] == "outputs":
        return f"{said}: outputs/ is in no snapshot. Move it to another folder, or {share}."
    rules = None
    if snapshot.ignore_file is not None:
        try:
            rules = IgnoreFile(snapshot.ignore_file, (root / snapshot.ignore_file).read_bytes())
        except OSError:
            rules = None
    asked = f"{path}/." if (root / path).is_dir() else path
    why = explain(asked, rules, opened.profile, opened.git.layout.cache)
    if why is not None and why.excluded:
        return f"{said} ({why}). Change that line, or {share}."
    place = os.path.relpath(root / path, opened.git.top)
    if opened.git.ask("check-ignore", "-q", "--", place)[0] == 0:
        return f"{said}: Git ignores it. Add it all the same with `git add --force -- {shell_word(path)}`, or {share}."
    return f"{said}: submit it without --commit, or commit it first."
