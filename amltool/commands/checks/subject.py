"""What a check looks at: the index at a commit, the commits that are sent at a push.

The index, not the files on disk: it is what the next commit holds. With nothing staged it is HEAD, so the same check
serves ``--all-files`` and CI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amltool.git.command import Git
from amltool.git.listing import (
    Beside,
    Blob,
    Listing,
    contents,
    list_commit,
    list_index,
    pushed_blobs,
    read_file,
    staged_blobs,
)

if TYPE_CHECKING:
    from amltool.configuration.settings import Settings
    from amltool.git.survey import Survey
    from amltool.limits import Profile


LARGEST_FILE = 128 << 20
"""Bytes of a file that is looked into, a notebook's among them."""


class Pushed(msgspec.Struct, frozen=True):
    """Commits that are looked at: ``tip`` and, of those before it, what neither ``known`` nor ``remote`` has.

    The ids are full; ``remote`` is the name of a Git remote; ``None`` where there is none.
    """

    tip: str
    known: str | None = None
    remote: str | None = None


class Subject(msgspec.Struct, frozen=True):
    """A project and what is looked at in it: the index, or with ``pushed`` commits."""

    git: Git
    root: Path
    prefix: str
    settings: Settings
    listing: Listing
    pushed: Pushed | None

    def read(self, path: str) -> bytes | None:
        """The content of a file of the project as it is in what is looked at; ``None`` where there is none."""
        try:
            return read_file(self.git, self.listing, path, self.prefix, LARGEST_FILE)
        except IsADirectoryError:
            return None

    def changed(self, largest: int, *, everything: bool = False) -> Iterator[tuple[str, bytes | None]]:
        """Path and content of what is new: staged, or in the commits that are sent; every file where nothing is.

        The content is ``None`` for a file of more than ``largest`` bytes.
        """
        blobs: list[Blob] | None = None
        if self.pushed is not None and not everything:
            blobs = pushed_blobs(self.git, self.pushed.tip, self.pushed.known, self.pushed.remote, self.prefix)
        elif not everything:
            blobs = staged_blobs(self.git, self.prefix)
        if blobs is None:
            blobs = list(map(Blob, self.listing.paths, self.listing.object_ids))
        return ((blob.path, content) for blob, content in contents(self.git, blobs, largest))


def open_subject(commit: str | None = None, known: str | None = None, remote: str | None = None) -> Subject:
    """What there is to look at in the project that the current folder lies in.

    ``commit`` (a revision) is looked at instead of the index, with the commits before it that neither ``known`` nor
    ``remote`` has. Without it pre-commit's variables say what is being pushed, if anything is.

    Raises:
        UserError: there is no repository or no such commit, or the settings have mistakes.
    """
    start = Path.cwd()
    looking = Beside(lambda: Git.at(start))
    # Loaded while Git looks for the repository
    from amltool.project import find_project_root, load_project

    git = looking.result()
    root = find_project_root(start.resolve(), git.top)
    prefix = "" if root == git.top else root.relative_to(git.top).as_posix()
    pushed = _of_arguments(git, commit, known, remote) if commit else _of_pre_commit(git)
    if pushed is None:
        listing = Beside(lambda: list_index(git, prefix))
    else:
        tip = pushed.tip
        listing = Beside(lambda: list_commit(git, tip, prefix))

    import amltool.git.survey  # noqa: F401 - most checks need it, and Git is at work meanwhile

    return Subject(git, root, prefix, load_project(root).settings, listing.result(), pushed)


def _of_arguments(git: Git, commit: str, known: str | None, remote: str | None) -> Pushed:
    from amltool.git.trees import commit_named

    tip = commit_named(git, commit)
    return Pushed(tip, git.resolve(known) if known else None, remote)


def _of_pre_commit(git: Git) -> Pushed | None:
    """What pre-commit says is being pushed (or was asked to look at with ``--from-ref`` and ``--to-ref``).

    When a whole new history is pushed it names no commits, only the branch.
    Source: https://pre-commit.com/#pre-push
    """
    remote = os.environ.get("PRE_COMMIT_REMOTE_NAME")
    tip = os.environ.get("PRE_COMMIT_TO_REF") or (os.environ.get("PRE_COMMIT_LOCAL_BRANCH") if remote else None)
    if not tip:
        return None
    return _of_arguments(git, tip, os.environ.get("PRE_COMMIT_FROM_REF"), remote)


def select_snapshot(subject: Subject, profile: Profile) -> Survey:
    """What is in the snapshot, with the bytes of blobs: as it would be in a run.

    What is wrong in this clone only is no more than a warning here: it says nothing against the commit.

    Raises:
        UserError: the ignore file is a folder or a link.
    """
    from amltool.git.notices import for_commit
    from amltool.git.survey import survey_listing

    found = survey_listing(subject.git, subject.prefix, subject.listing, profile, on_disk=subject.pushed is None)
    return msgspec.structs.replace(found, notices=tuple(for_commit(found.notices)))
