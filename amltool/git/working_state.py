"""The working folder as Git knows it at one moment: a snapshot is of one such moment, or is taken again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git, GitError
from amltool.git.refs import head_now

ATTEMPTS = 5
PAUSE_S = 0.05
"""How often a snapshot is taken anew, and how long is waited before, in multiples of the attempt's number."""

Taken = TypeVar("Taken")
Mark = tuple[int, ...] | None
"""What changes whenever somebody writes a file; ``None`` where it is not there."""


class WorkingState(msgspec.Struct, frozen=True):
    """HEAD, the index, and whether a Git is at work on them: a checkout holds the index's lock from begin to end."""

    head: str | None
    index: Mark
    is_locked: bool


def working_state(git: Git) -> WorkingState:
    """The state now; costs a few reads of small files, and no process."""
    index = git.git_dir / "index"
    return WorkingState(head_now(git), mark_of(index), index.with_name("index.lock").exists())


def marks_of(folder: Path, paths: Iterable[str]) -> dict[str, Mark]:
    """The mark of each of these paths below a folder."""
    return {path: mark_of(folder / path) for path in paths}


def mark_of(path: Path) -> Mark:
    """The mark of a file."""
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_mode)


class Moment:
    """The moment a snapshot is of: it begins before anything is looked at, with the HEAD that was looked up."""

    def __init__(self, git: Git, *, patient: bool) -> None:
        self._git, self._patient = git, patient
        self._began = msgspec.structs.replace(working_state(git), head=git.head)
        self._files: dict[str, Mark] = {}

    def watch(self, paths: Iterable[str]) -> None:
        """Look at files whose content will be taken, by their paths from the top of the work tree."""
        self._files = marks_of(self._git.top, paths)

    @property
    def written(self) -> list[str]:
        """The watched files that were written since."""
        return [path for path, mark in self._files.items() if mark != mark_of(self._git.top / path)]

    @property
    def is_over(self) -> bool:
        """Whether what was taken may be a mixture. A commit that was found clean is none, whoever is at work."""
        now = working_state(self._git)
        if now.head != self._began.head:
            return True
        if not self._files:
            return False
        if now.index != self._began.index:
            return True
        return self._patient and (now.is_locked or bool(self.written))


def in_one_moment(git: Git, take: Callable[[Moment], Taken]) -> Taken:
    """Take a snapshot that is of one moment; HEAD is looked up anew where it moved.

    A file that is written all the time (a log) is taken as it was read last, and `Moment.written` names it; a lock of
    the index that stays (an editor is open for a commit message) is waited for as long as that takes.

    Raises:
        UserError: HEAD or the index changed each time.
    """
    for attempt in range(1, ATTEMPTS + 1):
        moment = Moment(git, patient=attempt < ATTEMPTS)
        try:
            taken = take(moment)
        except (UserError, GitError) as error:
            if attempt < ATTEMPTS and head_now(git) != git.head:
                continue
            if isinstance(error, UserError):
                raise
            raise UserError(f"Git cannot read the snapshot: {error.stderr}.", "See `git fsck`.") from error
        else:
            if not moment.is_over:
                return taken
            time.sleep(PAUSE_S * attempt)
        finally:
            git.head = head_now(git)
    raise UserError(
        "HEAD or the index changed each time the snapshot was taken.",
        "See what works on this repository (an editor, a rebase), and submit again when that is done.",
    )
