"""The files of a commit with their sizes, also in a clone that has a part of the objects only."""

from __future__ import annotations

import os

from amltool.errors import UserError
from amltool.git.command import Git
from amltool.git.listing import EMPTY_TREES, MISSING, sizes_of
from amltool.limits import shell_word
from amltool.snapshot import SUBMODULE_MODE, SnapshotFile


def list_tree(
    git: Git, commit: str, root: str, *, missing_is_empty: bool = False, git_dir: str | None = None
) -> list[SnapshotFile]:
    """Every file of a commit below a folder; submodules as entries of `SUBMODULE_MODE` and size 0.

    The size is `MISSING` where the content is not here. ``git_dir`` names another repository, such as a submodule's.

    Raises:
        UserError: the commit has no such folder, or its trees are not in this clone.
    """
    # a work tree that is named counts, not that of its configuration, which may be gone
    where = (f"--git-dir={git_dir}", "--work-tree=.") if git_dir else ()
    name = f"{commit}:{root}" if root else f"{commit}^{{tree}}"
    exit_code, content, _ = git.ask(*where, "ls-tree", "-r", "-l", "-z", "--full-tree", name)
    if exit_code == 0:
        return [_entry(line) for line in content.split(b"\0") if line]
    exit_code, content, stderr = git.ask(*where, "ls-tree", "-r", "-z", "--full-tree", name)
    if exit_code == 0:
        return _sized(git, content, where)
    if root and b"valid object name" in stderr and git.ask(*where, "ls-tree", f"{commit}^{{tree}}")[0] == 0:
        if missing_is_empty:
            return []
        raise UserError(f"The commit {commit[:12]} has no folder {root!r}.", "Name one that is in it.")
    raise not_whole(git, commit)


def _entry(line: bytes) -> SnapshotFile:
    header, _, path = line.partition(b"\t")
    mode, _, object_id, size = header.split()
    # Git says `BAD` of a damaged object
    weight = 0 if size == b"-" else int(size) if size.isdigit() else MISSING
    return SnapshotFile(os.fsdecode(path), int(mode, 8), object_id.decode(), weight)


def _sized(git: Git, content: bytes, where: tuple[str, ...]) -> list[SnapshotFile]:
    parts = [os.fsdecode(line).partition("\t") for line in content.split(b"\0") if line]
    entries = [(header.split(" "), path) for header, _, path in parts]
    sizes = sizes_of(git, [object_id for (_, _, object_id), _ in entries], where)
    return [
        SnapshotFile(path, int(mode, 8), object_id, 0 if int(mode, 8) == SUBMODULE_MODE else size)
        for ((mode, _, object_id), path), size in zip(entries, sizes, strict=True)
    ]


def is_partial(git: Git) -> bool:
    """Whether this clone fetches objects from elsewhere when they are asked for (``git clone --filter``)."""
    pattern = r"^(extensions\.partialclone|remote\..*\.promisor)$"
    return git.ask("config", "--get-regexp", pattern)[0] == 0


def not_whole(git: Git, commit: str) -> UserError:
    """The error of a commit whose trees or files are not all in this clone."""
    return UserError(f"The commit {commit[:12]} is not whole in this clone.", _how_to_fetch(git, commit))


def _how_to_fetch(git: Git, commit: str) -> str:
    if is_partial(git):
        fetch = f"git diff --shortstat {EMPTY_TREES[len(commit)]} {commit[:12]}"
        return f"This is a partial clone. Fetch what is missing: {fetch}"
    if _borrows(git):
        return (
            "It borrows objects from the folders that objects/info/alternates in its Git folder names: bring them "
            "back, or clone anew."
        )
    return "Fetch it: git fetch --refetch"


def _borrows(git: Git) -> bool:
    return (git.common_dir / "objects" / "info" / "alternates").is_file()


def borrowed(git: Git) -> list[str]:
    """Return the sentence for a clone (``--shared``, ``--reference``) whose objects lie in another repository."""
    if not _borrows(git):
        return []
    place = shell_word(str(git.common_dir / "objects" / "info" / "alternates"))
    said = (
        "This clone borrows objects from another repository (objects/info/alternates), whose git gc does not know what "
        "runs of this clone need. To have them here:"
    )
    return [f"{said} git repack -a -d && rm {place}"]


def commit_named(git: Git, revision: str) -> str:
    """The full id of the commit that a user names.

    Raises:
        UserError: there is none in this clone.
    """
    found = git.resolve(revision)
    if found is None:
        remedy = "Name one that `git log` shows."
        if (git.common_dir / "shallow").is_file():
            remedy += " This clone is shallow: git fetch --unshallow brings the rest of its history."
        raise UserError(f"There is no commit {revision!r}.", remedy)
    return found
