"""The files of submodules: those of the commit that the snapshot names, in their place."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.trees import list_tree
from amltool.snapshot import SUBMODULE_MODE, SnapshotFile


class Submodule(msgspec.Struct, frozen=True):
    """A submodule at one commit: the repository's own Git folder, that of its objects, and its files.

    Paths begin with that of the submodule.
    """

    git_dir: str
    objects: str
    files: tuple[SnapshotFile, ...]

    @property
    def has_submodules(self) -> bool:
        return any(file.mode == SUBMODULE_MODE for file in self.files)


def find_submodule(git: Git, root: str, path: str, commit: str) -> Submodule | None:
    """The files of a submodule's commit; ``None`` where the submodule, or that commit of it, is not in this clone."""
    for git_dir in _places(git, root, path):
        try:
            files = list_tree(git, commit, "", git_dir=str(git_dir))
        except UserError:
            continue
        objects = git.text(f"--git-dir={git_dir}", "rev-parse", "--git-path", "objects")
        return Submodule(
            str(git_dir),
            os.path.abspath(git.top / objects),  # noqa: PTH100 - links stay as Git names them
            tuple(SnapshotFile(f"{path}/{each.path}", each.mode, each.object_id, each.size) for each in files),
        )
    return None


def checked_out(git: Git, root: str, path: str) -> str | None:
    """The commit that is checked out in a submodule."""
    exit_code, stdout, _ = git.ask(f"--git-dir={git.top / root / path / '.git'}", "rev-parse", "--verify", "HEAD")
    return stdout.decode().strip() if exit_code == 0 else None


def _places(git: Git, root: str, path: str) -> list[Path]:
    """Where a submodule's repository may lie: in its folder, or where Git keeps it while it is not checked out."""
    places = (git.top / root / path / ".git", git.common_dir / "modules" / root / path)
    return [place for place in places if place.exists()]
