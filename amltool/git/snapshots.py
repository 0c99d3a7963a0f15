"""Take snapshots: make a commit of what was surveyed where there is none yet, and fill in what a run needs of it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from amltool.errors import UserError
from amltool.git.command import DURABLE, Git, GitError
from amltool.git.survey import Survey, list_tree
from amltool.ignore import select
from amltool.snapshot import (
    LINK_MODE,
    SUBMODULE_MODE,
    LargeFileContent,
    Snapshot,
    SnapshotFile,
    check_links,
    check_names,
    tree_id,
)

POINTER_SIZES = range(100, 1024)
"""A Git LFS pointer is at most 1023 bytes (git-lfs spec v1); real ones have about 130."""
POINTER_START = b"version https://git-lfs.github.com/spec/v1\n"


def take(git: Git, found: Survey) -> Snapshot:
    """Make the snapshot of a survey: HEAD (or the commit) itself, or a commit of the uncommitted work on top of it.

    The user's index, branches and files are not touched; the same work gives the same id (DESIGN 4).

    Raises:
        UserError: links that leave the snapshot, submodules or Git LFS content that are not here.
    """
    if not found.changes:
        return complete(git, found.base_commit, found.base_commit, found, found.files)
    commit = _commit_changes(git, found)
    listing = {file.path: file for file in list_tree(git, commit, found.prefix)}
    files = tuple(listing[path] for path in found.sizes if path in listing)
    return complete(git, commit, found.base_commit, found, files)


def _commit_changes(git: Git, found: Survey) -> str:
    git.layout.folder.mkdir(exist_ok=True)
    index = git.layout.folder / f"index.{os.getpid()}.{os.urandom(4).hex()}"
    environment = {"GIT_INDEX_FILE": str(index), "GIT_LITERAL_PATHSPECS": "1"}
    try:
        git.run("read-tree", found.base_commit, environment=environment)
        paths = [posixpath.join(found.prefix, change.path) for change in found.changes]
        git.run(
            *DURABLE,
            "update-index",
            "-z",
            "--add",
            "--remove",
            "--replace",
            "--stdin",
            input=b"".join(os.fsencode(path) + b"\0" for path in paths),
            environment=environment,
        )
        tree = git.text(*DURABLE, "write-tree", environment=environment)
    except GitError as error:
        raise UserError(
            f"Git could not take the uncommitted work: {error.stderr}", "Put that right, or commit it yourself."
        ) from error
    finally:
        index.unlink(missing_ok=True)
        Path(f"{index}.lock").unlink(missing_ok=True)
    if tree == git.text("rev-parse", f"{found.base_commit}^{{tree}}"):
        return found.base_commit
    return write_commit(git, tree, [found.base_commit], found.base_commit, b"amltool: uncommitted work on top of %b\n")


def write_commit(git: Git, tree: str, parents: Iterable[str], like: str, message: bytes) -> str:
    """Write a commit with the identity and dates of the commit ``like``, so that equal work has an equal id.

    ``%b`` in the message becomes the first twelve digits of ``like``.
    """
    header, _, _ = git.run("cat-file", "commit", like).partition(b"\n\n")
    identity = [line for line in header.split(b"\n") if line.startswith((b"author ", b"committer "))]
    lines = [b"tree " + tree.encode(), *(b"parent " + parent.encode() for parent in parents), *identity]
    content = b"\n".join(lines) + b"\n\n" + message.replace(b"%b", like[:12].encode())
    return git.run(*DURABLE, "hash-object", "-t", "commit", "-w", "--stdin", input=content).decode().strip()


def complete(git: Git, commit: str, base: str, found: Survey, files: Sequence[SnapshotFile]) -> Snapshot:
    """Fill in what a run needs beyond the list: submodule files, link targets, Git LFS content, the tree's id."""
    folders: tuple[str, ...] = ()
    if any(file.mode == SUBMODULE_MODE for file in files):
        files, folders = _with_submodules(git, found, files)
    check_names(files)
    large_files: dict[str, LargeFileContent] = {}
    curious = [file for file in files if file.mode == LINK_MODE or file.size in POINTER_SIZES]
    if curious:
        targets, pointers = _read_small(git, curious, folders)
        check_links(files, targets)
        large_files = _large_file_contents(git, pointers)
    return Snapshot(
        commit=commit,
        tree=tree_id(files, "sha1" if len(commit) == 40 else "sha256"),
        base_commit=base,
        dirty=commit != base,
        source_directory=found.source_directory,
        files=tuple(files),
        ignore_file=found.ignore_file.name if found.ignore_file else None,
        large_files=large_files,
        object_folders=folders,
    )


def object_environment(object_folders: Sequence[str]) -> dict[str, str]:
    """The variables that let Git read the objects of submodules beside the repository's own."""
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(object_folders)} if object_folders else {}


def _read_small(
    git: Git, files: Sequence[SnapshotFile], folders: Sequence[str]
) -> tuple[dict[str, str], dict[str, bytes]]:
    targets: dict[str, str] = {}
    pointers: dict[str, bytes] = {}
    with git.objects(object_environment(folders)) as objects:
        for file in files:
            found = objects.read(file.object_id)
            if found is None:
                raise UserError(
                    f"The content of {file.path} is missing from this clone.", "Fetch it: git fetch --refetch"
                )
            if file.mode == LINK_MODE:
                targets[file.path] = os.fsdecode(found[1])
            elif found[1].startswith(POINTER_START):
                pointers[file.path] = found[1]
    return targets, pointers


def _large_file_contents(git: Git, pointers: Mapping[str, bytes]) -> dict[str, LargeFileContent]:
    contents: dict[str, LargeFileContent] = {}
    missing: list[str] = []
    for path, pointer in pointers.items():
        fields = dict(line.split(b" ", 1) for line in pointer.splitlines() if b" " in line)
        sha256 = fields.get(b"oid", b"").removeprefix(b"sha256:").decode("ascii", "replace")
        size = fields.get(b"size", b"")
        place = git.common_dir / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256
        if len(sha256) == 64 and sha256.isalnum() and size.isdigit() and place.is_file():
            contents[path] = LargeFileContent(str(place), sha256, int(size))
        else:
            missing.append(path)
    if missing:
        raise UserError(
            "These files are Git LFS pointers whose content is not in this clone: " + ", ".join(sorted(missing)[:10]),
            "Get it with `git lfs pull`, or name the files in .amlignore.",
        )
    return contents


def _with_submodules(
    git: Git, found: Survey, files: Sequence[SnapshotFile]
) -> tuple[list[SnapshotFile], tuple[str, ...]]:
    """Put the files of each submodule's commit in its place; what rules for the rest rules for them."""
    whole: list[SnapshotFile] = []
    folders: list[str] = []
    for file in files:
        if file.mode != SUBMODULE_MODE:
            whole.append(file)
            continue
        folder = git.top / found.prefix / file.path
        try:
            inner = Git.at(folder) if (folder / ".git").exists() else None
            entries = list_tree(inner, file.object_id, "") if inner else None
        except UserError:
            entries = None
        if inner is None or entries is None:
            raise UserError(
                f"The submodule {file.path} is not here at the commit that the snapshot names.",
                "Get it with: git submodule update --init --recursive",
            )
        if any(entry.mode == SUBMODULE_MODE for entry in entries):
            raise UserError(
                f"The submodule {file.path} has submodules of its own, which amltool does not place.",
                "Name them in .amlignore, or make them part of the project.",
            )
        folders.append(str(inner.common_dir / "objects"))
        whole.extend(
            SnapshotFile(f"{file.path}/{entry.path}", entry.mode, entry.object_id, entry.size) for entry in entries
        )
    selection = select([file.path for file in whole], found.ignore_file, found.profile, git.layout.cache)
    included = set(selection.included)
    return [file for file in whole if file.path in included], tuple(folders)
