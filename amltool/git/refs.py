"""Our own refs: read without a process where that is safe, moved durably, stale locks recovered."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from amltool.errors import UserError
from amltool.files import sync_folder
from amltool.git.command import DURABLE, Git, GitError
from amltool.layout import HISTORY_REF, NOTES_REF

STALE_S = 5.0
"""Git holds a ref's lock for milliseconds; one that is older was left by a killed writer (RELIABILITY fact 4)."""

_ID = re.compile(rb"(?:[0-9a-f]{64}|[0-9a-f]{40})")
_OURS = re.compile(r"refs/(?:amltool/|notes/amltool/|notes/remotes/[^/]+/amltool/)")
_HOPELESS = ("No space left", "Permission denied", "Read-only file system", "Disk quota", "Input/output error")
_CONTENDED = ("File exists", "but expected", "already exists", "unable to resolve", "nonexistent object")
"""What Git says (in the C locale) when somebody else was faster, or ``gc`` took an object no ref named yet."""


class Move(msgspec.Struct, frozen=True):
    """A ref goes from ``old`` (``None``: it must not exist yet) to ``new`` (empty: it is deleted)."""

    ref: str
    new: str
    old: str | None


def tip_of(git: Git, ref: str) -> str | None:
    """The id one of our refs points at, ``None`` where there is no such ref.

    Reads the files of the refs (a process costs 2 ms), and asks Git where they are not plain.
    ``pack-refs`` writes ``packed-refs`` before it removes the loose file, so reading in this order misses nothing.
    """
    if (git.common_dir / "reftable").exists():
        return git.ref(ref)
    for content in (_content(git.common_dir / ref), _packed(git.common_dir, ref)):
        if content is None:
            continue
        oid = content.strip()
        return oid.decode() if _ID.fullmatch(oid) else git.ref(ref)
    return None


def are_notes_as_left(git: Git) -> bool:
    """Whether the notes are where this clone left them, or it never wrote any; else see `merging_notes.settle`."""
    own = tip_of(git, HISTORY_REF)
    return not git.layout.noted_tips.exists() if own is None else own == tip_of(git, NOTES_REF)


def head_now(git: Git) -> str | None:
    """The id of HEAD's commit as it is at this moment; ``None`` where there is none."""
    said = _content(git.git_dir / "HEAD") or b""
    oid = said.strip()
    if _ID.fullmatch(oid):
        return oid.decode()
    ref = os.fsdecode(oid.removeprefix(b"ref: "))
    return tip_of(git, ref) if ref.startswith("refs/heads/") and ".." not in ref else git.ref("HEAD")


def move_refs(git: Git, moves: list[Move], message: str) -> bool:
    """Move our refs, all or none; durable when this returns true.

    ``False``: a ref stands elsewhere by now, or somebody holds its lock; look again and retry. A stale lock
    is removed on the way: the caller holds the history's lock, so no live amltool can own it.

    Raises:
        UserError: the disk is full, or the refs cannot be written.
        GitError: Git refuses for another reason.
    """
    commands = "".join(
        f"update {move.ref} {move.new} {move.old or '0' * len(move.new)}\n"
        if move.new
        else f"delete {move.ref} {move.old}\n"
        for move in moves
    )
    folders = _folders_to_sync(git.common_dir, moves)
    exit_code, _, stderr = git.ask(
        *DURABLE,
        "-c", "core.filesRefLockTimeout=200", "-c", "core.hooksPath=/dev/null",
        "update-ref", "-m", message, "--stdin", input=commands.encode(),
    )  # fmt: skip
    if exit_code == 0:
        for folder in folders:
            if folder.is_dir():
                sync_folder(folder)
        return True
    said = stderr.decode("utf-8", "replace")
    if not any(sign in said for sign in _CONTENDED):
        refuse_if_hopeless(git, said)
        raise GitError(("update-ref", "--stdin"), exit_code, stderr)
    for move in moves:
        remove_stale_lock(git, move.ref)
    return False


def refuse_if_hopeless(git: Git, stderr: str) -> None:
    """Raise a UserError for a failure that trying again does not mend."""
    reason = next((reason for reason in _HOPELESS if reason in stderr), None)
    if reason is not None:
        raise UserError(
            f"Cannot write the run history in {git.common_dir}: {reason}.",
            "Free some space or change the permissions, then run the same command again: nothing was lost.",
        )


def stale_locks(git: Git) -> list[Path]:
    """Lock files of our refs that no living writer can hold."""
    folders = [git.common_dir / "refs" / place for place in ("amltool", "notes/amltool", "notes/remotes")]
    locks = (lock for folder in folders for lock in folder.rglob("*.lock"))
    return sorted(lock for lock in locks if _is_stale(lock) and _is_ours(git, lock))


def remove_stale_lock(git: Git, ref: str) -> bool:
    """Remove the lock file of a ref of ours if it is stale; whether it did."""
    lock = git.common_dir / f"{ref}.lock"
    if not _is_ours(git, lock) or not _is_stale(lock):
        return False
    lock.unlink(missing_ok=True)
    return True


def _is_ours(git: Git, lock: Path) -> bool:
    return _OURS.match(lock.relative_to(git.common_dir).as_posix()) is not None


def _is_stale(lock: Path) -> bool:
    try:
        return abs(time.time() - lock.stat().st_mtime) > STALE_S
    except OSError:
        return False


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _packed(common_dir: Path, ref: str) -> bytes | None:
    content = _content(common_dir / "packed-refs") or b""
    end = content.find(b" " + ref.encode() + b"\n")
    return None if end < 0 else content[content.rfind(b"\n", 0, end) + 1 : end]


def _folders_to_sync(common_dir: Path, moves: list[Move]) -> list[Path]:
    """The folders whose names must survive a power cut with the refs: Git syncs a ref's content only (fact 3).

    A folder that is there already needs no sync of the one above it: its name is old.
    """
    found: dict[Path, None] = {}
    for move in moves:
        folder = (common_dir / move.ref).parent
        found[folder] = None
        while not folder.is_dir() and folder != common_dir:
            folder = folder.parent
            found[folder] = None
    return list(found)


def expect(tips: Mapping[str, str | None], new: Mapping[str, str]) -> list[Move]:
    """The moves that take refs from their ``tips`` to ``new``."""
    return [Move(ref, oid, tips[ref]) for ref, oid in new.items() if oid != tips[ref]]


def is_ancestor(git: Git, older: str, newer: str) -> bool:
    """Return True if a commit comes before another, or is it."""
    return git.ask("merge-base", "--is-ancestor", older, newer)[0] == 0
