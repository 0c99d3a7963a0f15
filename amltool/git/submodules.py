"""The files of submodules: those of the commit that the snapshot names, in their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.trees import list_tree
from amltool.snapshot import SUBMODULE_MODE, SnapshotFile


class Submodule(msgspec.Struct, frozen=True):
    """A submodule at one commit: the repository's own Git folder, that of its objects, the commit, and its files.

    Paths begin with that of the submodule.
    """

    git_dir: str
    objects: str
    commit: str
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
        objects = git.text(f"--git-dir={git_dir}", "--work-tree=.", "rev-parse", "--git-path", "objects")
        return Submodule(
            str(git_dir),
            os.path.abspath(git.top / objects),  # noqa: PTH100 - links stay as Git names them
            commit,
            tuple(SnapshotFile(f"{path}/{each.path}", each.mode, each.object_id, each.size) for each in files),
        )
    return None


def checked_out(git: Git, root: str, path: str) -> str | None:
    """The commit that is checked out in a submodule."""
    exit_code, stdout, _ = git.ask(f"--git-dir={git.top / root / path / '.git'}", "rev-parse", "--verify", "HEAD")
    return stdout.decode().strip() if exit_code == 0 else None


def _places(git: Git, root: str, path: str) -> Iterator[Path]:
    """Where a submodule's repository may lie: in its folder, or where Git keeps it while it is not checked out.

    There it lies by the name that it once had, which may be another than its path now.
    """
    places = (git.top / root / path / ".git", git.common_dir / "modules" / root / path)
    yield from (place for place in places if place.exists())
    for folder in dict.fromkeys((git.common_dir, git.git_dir)):
        yield from (place for place in _repositories_below(folder / "modules") if place not in places)


def _repositories_below(folder: Path) -> Iterator[Path]:
    """The repositories that Git keeps below a folder; the name of a submodule may have slashes."""
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (place / "HEAD").is_file() and (place / "objects").is_dir():
            yield place
        elif place.is_dir() and not place.is_symlink():
            yield from _repositories_below(place)
