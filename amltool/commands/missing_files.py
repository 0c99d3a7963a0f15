"""A run that failed for want of a file: say so where the file lies in the working folder and not in the snapshot."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from amltool.commands.artifacts import artifact_content
from amltool.commands.driving import looked_at
from amltool.commands.looking import unfinished_named
from amltool.commands.opening import Opened
from amltool.errors import UserError
from amltool.git.command import GitError
from amltool.history.journal import JournalEntry
from amltool.layout import CONSOLE_FILE
from amltool.limits import shell_word, shown
from amltool.run import Run, RunStatus
from amltool.snapshot import Snapshot
from amltool.targets.recording import final_status
from amltool.targets.watcher import Silent, TailWatcher

MOST_NAMES = 60
OLD_STORAGE = (
    "`from azure.storage.blob import BlockBlobService` is of 2018: azure-storage-blob 12 and newer do not have it. "
    "Write today `from amltool.tracking import storage` and `storage.blob_client(PATH).upload_blob(STREAM)`, or "
    "`.download_blob().readinto(STREAM)`; see docs/large-files.md."
)

_WANTING = re.compile(r"no such file|not exist|not found|cannot open|can't open|unable to open|no module named", re.I)
_OLD_STORAGE = re.compile(rb"cannot import name '?(?:BlockBlobService|PageBlobService|AppendBlobService)\b")
_QUOTED = re.compile(r"'([^'\n]{1,1000})'|\"([^\"\n]{1,1000})\"")
_WORD = re.compile(r"[^\s'\"()\[\]{},;:]{1,1000}")
_MODULE = re.compile(r"No module named '?([\w.]{1,200})")


def missing_file_of(opened: Opened, name: str, tail: bytes = b"") -> str:
    """`missing_file` of a run that is over, recorded or just about to be; ``""`` where it did not fail.

    ``tail`` is the end of what it printed, where that is known; else it is read from the artifact store. What is needed
    and not here (its snapshot, its console) is no error.
    """
    with contextlib.suppress(UserError, GitError, OSError):
        entry = unfinished_named(opened, name)
        run = looked_at(opened, entry) if entry is not None else None
        if run is not None and entry is not None:
            failed = final_status(run.state) is RunStatus.FAILED
            with _until_recorded(entry):
                return missing_file(opened, run.snapshot(), tail) if failed else ""
        found = opened.history.find(entry.run_id if entry else name)
        if found.record.status is RunStatus.FAILED:
            from amltool.commands.restore import snapshot_of

            return missing_file(opened, snapshot_of(opened, found), tail or _kept_tail(opened, found))
    return ""


@contextlib.contextmanager
def _until_recorded(entry: JournalEntry) -> Iterator[None]:
    """Pass over what is gone because another process recorded the run just now."""
    try:
        yield
    except FileNotFoundError:
        if entry.is_there:
            raise


def _kept_tail(opened: Opened, run: Run) -> bytes:
    kept = TailWatcher(Silent())
    for block in artifact_content(opened, run, CONSOLE_FILE):
        kept.console(block)
    return kept.tail


def missing_file(opened: Opened, snapshot: Snapshot, tail: bytes) -> str:
    """The sentence about the last file that the console names as not there, and what to do; ``""`` where there is none.

    The file lies in the working folder, and the snapshot has neither it nor anything in it.
    """
    if _OLD_STORAGE.search(tail):
        return OLD_STORAGE
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
