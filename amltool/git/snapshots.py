"""Take snapshots: make a commit of what was surveyed where there is none yet, and fill in what a run needs of it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path

from amltool.errors import UserError
from amltool.git.command import DURABLE, Git, GitError
from amltool.git.contents import lfs_missing, object_environment
from amltool.git.large_files import Pointer, find_contents, parse_pointer
from amltool.git.survey import Survey
from amltool.git.trees import list_tree
from amltool.snapshot import LINK_MODE, SUBMODULE_MODE, Snapshot, SnapshotFile, check_links, check_names, tree_id


def take(git: Git, found: Survey) -> Snapshot:
    """Make the snapshot of a survey: HEAD (or the commit) itself, or a commit of the uncommitted work on top of it.

    The user's index, branches and files are not touched; the same work gives the same id (DESIGN 4).

    Raises:
        UserError: links that leave the snapshot, submodules or Git LFS content that are not here.
    """
    found.refuse()
    if not found.changes:
        return complete(git, found.base_commit, found.base_commit, found, found.files)
    commit = _commit_changes(git, found)
    files = [
        file
        for file in list_tree(git, commit, found.prefix)
        if file.path in found.sizes or file.path in found.submodules
    ]
    return complete(git, commit, found.base_commit, found, files)


def _commit_changes(git: Git, found: Survey) -> str:
    git.layout.folder.mkdir(exist_ok=True)
    index = git.layout.folder / f"index.{os.getpid()}.{os.urandom(4).hex()}"
    environment = {"GIT_INDEX_FILE": str(index), "GIT_LITERAL_PATHSPECS": "1"}
    try:
        git.run("read-tree", found.base_commit, environment=environment)
        if entries := _index_entries(found):
            git.run("update-index", "-z", "--index-info", input=entries, environment=environment)
        paths = [posixpath.join(found.prefix, change.path) for change in found.changes if change.on_disk]
        if paths:
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


def _index_entries(found: Survey) -> bytes:
    """What the user's index says of the changes, for ``update-index --index-info``; first what is gone.

    A file that differs on disk too is there for Git to compare with (line ends of a file depend on those it had).
    """
    gone, staged = [], []
    zero = "0" * len(found.base_commit)
    for change in found.changes:
        path = posixpath.join(found.prefix, change.path)
        if change.size is None:
            gone.append(f"0 {zero}\t{path}\0")
        elif change.staged is not None:
            staged.append(f"{change.staged[0]} {change.staged[1]}\t{path}\0")
    return os.fsencode("".join(gone + staged))


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
    """Fill in what a run needs beyond the list: submodule files, link targets, Git LFS content, the tree's id.

    Raises:
        UserError: something of it is not in this clone, or links leave the snapshot.
    """
    found.refuse()
    modules = [found.submodules[file.path] for file in files if file.path in found.submodules]
    if modules:
        files = _with_submodules(found, files)
    check_names(files)
    folders = tuple(module.objects for module in modules)
    targets, pointers = _read_small(git, found, files, folders)
    check_links(targets)
    contents, missing = find_contents(git, pointers, [module.git_dir for module in modules])
    if missing:
        raise UserError(*lfs_missing(missing))
    return Snapshot(
        commit=commit,
        tree=tree_id(files, "sha1" if len(commit) == 40 else "sha256"),
        base_commit=base,
        dirty=commit != base,
        source_directory=found.source_directory,
        files=tuple(files),
        ignore_file=found.ignore_file.name if found.ignore_file else None,
        large_files=contents,
        object_folders=folders,
        submodules=tuple((str(Path(module.objects).parent), module.commit) for module in modules),
    )


def _with_submodules(found: Survey, files: Sequence[SnapshotFile]) -> list[SnapshotFile]:
    """Put the files of each submodule's commit in its place; what rules for the rest rules for them."""
    whole: list[SnapshotFile] = []
    for file in files:
        if file.mode == SUBMODULE_MODE:
            whole.extend(each for each in found.submodules[file.path].files if each.path in found.sizes)
        else:
            whole.append(file)
    return whole


def _read_small(
    git: Git, found: Survey, files: Sequence[SnapshotFile], folders: Sequence[str]
) -> tuple[dict[str, str], dict[str, Pointer]]:
    """The targets of links, and the Git LFS pointers; what the survey has looked into is not read again."""
    plain, sizes = found.contents.plain, found.contents.pointer_sizes
    curious = [file for file in files if file.mode == LINK_MODE or (file.size in sizes and file.object_id not in plain)]
    targets: dict[str, str] = {}
    pointers: dict[str, Pointer] = {}
    if not curious:
        return targets, pointers
    with git.objects(object_environment(folders)) as objects:
        for file in curious:
            read = objects.read(file.object_id)
            if read is None:
                raise UserError(
                    f"The content of {file.path} is missing from this clone.", "Fetch it: git fetch --refetch"
                )
            if file.mode == LINK_MODE:
                targets[file.path] = os.fsdecode(read[1])
            elif (pointer := parse_pointer(read[1])) is not None:
                pointers[file.path] = pointer
    return targets, pointers
