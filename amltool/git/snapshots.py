"""Take snapshots: look at what a submit would take, and make a commit of it where there is none yet."""

from __future__ import annotations

import os
import posixpath
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from amltool.errors import UserError
from amltool.git.command import DURABLE, Git, GitError
from amltool.git.listing import file_sizes, list_index
from amltool.ignore import IGNORE_FILES, IgnoreFile, Selection, select
from amltool.limits import Profile
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
