"""Survey a project as a submit would: what changed, what is in the coming snapshot, and what it weighs."""

from __future__ import annotations

import os
import posixpath
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git, GitError
from amltool.git.listing import file_sizes, list_index
from amltool.ignore import IGNORE_FILES, IgnoreFile, Selection, select
from amltool.limits import Profile
from amltool.snapshot import LINK_MODE, SUBMODULE_MODE, SnapshotFile


class Change(msgspec.Struct, frozen=True):
    """A path whose working state differs from the commit below it; ``size`` is ``None`` where the file is gone."""

    path: str
    size: int | None
    tracked: bool


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What a submit would take now; nothing has been written.

    ``files`` is of the commit below; ``sizes`` gives every path of the coming snapshot with its bytes on disk.
    ``notices`` are sentences for the user about what is not taken.
    """

    base_commit: str
    source_directory: str
    prefix: str
    files: tuple[SnapshotFile, ...]
    changes: tuple[Change, ...]
    sizes: dict[str, int]
    ignore_file: IgnoreFile | None
    profile: Profile
    notices: tuple[str, ...] = ()

    @property
    def dirty(self) -> bool:
        return bool(self.changes)


def survey(
    git: Git,
    prefix: str,
    source_directory: str,
    profile: Profile,
    commit: str | None = None,
    *,
    needs_commit: bool = True,
) -> Survey:
    """Look at the working folder (or at ``commit``, a full id) as a submit would.

    ``prefix`` is the project's folder in the repository (``""`` at its top); ``source_directory`` a folder in it.

    Raises:
        UserError: there is no commit yet, a merge is unfinished, or the folder is not in the commit.
    """
    base = commit or git.head
    if base is None and needs_commit:
        raise UserError(
            "This repository has no commit yet, and a run belongs to a commit.",
            'Make one: git add -A && git commit -m "first"',
        )
    root = posixpath.normpath(posixpath.join(prefix, source_directory))
    root = "" if root == "." else root
    if root.startswith(("..", "/")):
        raise UserError(
            f"source_directory {source_directory!r} lies outside the project.", "Name a folder in the project."
        )
    status = None if commit else _start_status(git, root)
    git.get_reader()
    listing = list_tree(git, base, root, missing_is_empty=commit is None) if base else []
    changes, notices = ([], []) if status is None else _read_status(git, status, root)
    return _select(git, base or "", root, source_directory, listing, changes, notices, profile)


def list_tree(git: Git, commit: str, root: str, *, missing_is_empty: bool = False) -> list[SnapshotFile]:
    """Every file of a commit below a folder; submodules as entries of `SUBMODULE_MODE` and size 0."""
    name = f"{commit}:{root}" if root else f"{commit}^{{tree}}"
    try:
        content = git.run("ls-tree", "-r", "-l", "-z", "--full-tree", name)
    except GitError as error:
        if missing_is_empty:
            return []
        raise UserError(f"The commit {commit[:12]} has no folder {root!r}.", "Name one that is in it.") from error
    return [_tree_entry(line) for line in content.split(b"\0") if line]


def _tree_entry(line: bytes) -> SnapshotFile:
    header, _, path = line.partition(b"\t")
    mode, _, object_id, size = header.split()
    return SnapshotFile(os.fsdecode(path), int(mode, 8), object_id.decode(), 0 if size == b"-" else int(size))


def survey_index(git: Git, prefix: str, profile: Profile) -> Survey:
    """Look at the index: what the next commit would hold; works before the first commit and during a merge.

    Sizes are those of the blobs, as they would be in a snapshot (a path with conflicts counts with our side).
    """
    listed = list_index(git, prefix)
    files = zip(listed.paths, listed.entries, listed.object_ids, file_sizes(git, listed), strict=True)
    listing = [SnapshotFile(path, int(entry[:6], 8), object_id, size) for path, entry, object_id, size in files]
    return _select(git, git.head or "", prefix, ".", listing, [], [], profile)


def _start_status(git: Git, root: str) -> subprocess.Popen[bytes]:
    arguments = ["status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"]
    return git.start(*arguments, "--", root or ".", environment={"GIT_LITERAL_PATHSPECS": "1"})


def _read_status(git: Git, process: subprocess.Popen[bytes], root: str) -> tuple[list[Change], list[str]]:
    stdout, stderr = process.communicate()
    if process.returncode != 0:
        raise GitError(("status",), process.returncode, stderr)
    changes: dict[str, Change] = {}
    notices: list[str] = []
    for line in stdout.split(b"\0"):
        kind = line[:1]
        if kind == b"u":
            raise UserError(
                "A merge is unfinished: some files have conflicts.", "Resolve them and commit, then submit again."
            )
        if kind not in (b"1", b"?"):
            continue
        path = os.fsdecode(line.split(b" ", 8)[8] if kind == b"1" else line[2:])
        if path.endswith("/"):
            notices.append(f"{path} is a Git repository of its own and is not in the snapshot.")
            continue
        change = _change(
            git.top, path, root, tracked=kind == b"1", submodule=line[5:6] == b"S" if kind == b"1" else False
        )
        if change.path not in changes or change.size is not None:
            changes[change.path] = change
    return list(changes.values()), notices


def _change(top: Path, path: str, root: str, *, tracked: bool, submodule: bool) -> Change:
    inside = path[len(root) + 1 :] if root else path
    try:
        state = os.lstat(top / path)
    except (FileNotFoundError, NotADirectoryError):
        return Change(inside, None, tracked)
    if submodule:
        return Change(inside, 0, tracked)
    if not (stat.S_ISREG(state.st_mode) or stat.S_ISLNK(state.st_mode)):
        return Change(inside, None, tracked)
    if stat.S_ISREG(state.st_mode) and not os.access(top / path, os.R_OK):
        raise UserError(
            f"{inside} cannot be read.", "Change its permissions, or name it in .amlignore, then submit again."
        )
    return Change(inside, state.st_size, tracked)


def _select(
    git: Git,
    base: str,
    root: str,
    source_directory: str,
    listing: Sequence[SnapshotFile],
    changes: Sequence[Change],
    notices: Sequence[str],
    profile: Profile,
) -> Survey:
    by_path = {file.path: file for file in listing}
    sizes = {file.path: file.size for file in listing}
    for change in changes:
        if change.size is None:
            sizes.pop(change.path, None)
        else:
            sizes[change.path] = change.size
    ignore_file = _ruling_ignore_file(git, root, by_path, {change.path: change for change in changes})
    selection: Selection = select(sizes, ignore_file, profile, git.layout.cache)
    taken = {path: sizes[path] for path in selection.included}
    affected = [
        change for change in changes if change.path in taken or _gone(change, by_path, ignore_file, profile, git)
    ]
    return Survey(
        base_commit=base,
        source_directory=source_directory,
        prefix=root,
        files=tuple(file for file in listing if file.path in taken),
        changes=tuple(affected),
        sizes=taken,
        ignore_file=ignore_file,
        profile=profile,
        notices=tuple(notices),
    )


def _gone(
    change: Change,
    by_path: Mapping[str, SnapshotFile],
    ignore_file: IgnoreFile | None,
    profile: Profile,
    git: Git,
) -> bool:
    """Whether a file that is gone would have been in the snapshot: only then does it matter that it is gone."""
    if change.size is not None or change.path not in by_path:
        return False
    return bool(list(select([change.path], ignore_file, profile, git.layout.cache).included))


def _ruling_ignore_file(
    git: Git, root: str, committed: Mapping[str, SnapshotFile], changes: Mapping[str, Change]
) -> IgnoreFile | None:
    """The ignore file that rules: of the snapshot itself, so that a commit alone says what was run."""
    for name in IGNORE_FILES:
        change = changes.get(name)
        if any(path.startswith(f"{name}/") for path in committed) or (git.top / root / name).is_dir():
            raise UserError(f"{name} is a folder.", f"Rename it: {name} has to be a file, or not to be there.")
        if change is not None:
            if change.size is not None:
                return IgnoreFile(name, (git.top / root / name).read_bytes())
        elif name in committed:
            if committed[name].mode == LINK_MODE or committed[name].mode == SUBMODULE_MODE:
                raise UserError(f"{name} is a link.", "Make it a file: a link would rule differently elsewhere.")
            with git.objects() as objects:
                found = objects.read(committed[name].object_id)
            if found is None:
                raise UserError(f"The content of {name} is missing from this clone.", "Fetch it: git fetch --refetch")
            return IgnoreFile(name, found[1])
    return None
