"""A snapshot: a commit that holds all that a run needs, and the files of it that are placed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from amltool.errors import UserError

FILE_MODE = 0o100644
EXECUTABLE_MODE = 0o100755
LINK_MODE = 0o120000
SUBMODULE_MODE = 0o160000

MOST_LINKS = 40
"""How many links one path may pass before it counts as a loop (as the kernel does)."""


class SnapshotFile(msgspec.Struct, frozen=True):
    """One file: ``path`` from the snapshot's root (``os.fsdecode`` form), Git's mode, blob id, size in bytes."""

    path: str
    mode: int
    object_id: str
    size: int


class LargeFileContent(msgspec.Struct, frozen=True):
    """Where the content of a Git LFS pointer lies in this clone, with its SHA-256 and size in bytes."""

    place: str
    sha256: str
    size: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is run. ``tree`` is the id of the placed tree: of exactly these files, which may be fewer than the commit's.

    ``dirty``: the commit was made from uncommitted work on top of ``base_commit``.
    """

    commit: str
    tree: str
    base_commit: str
    dirty: bool
    source_directory: str
    files: tuple[SnapshotFile, ...]
    ignore_file: str | None = None
    large_files: dict[str, LargeFileContent] = {}
    object_folders: tuple[str, ...] = ()
    submodules: tuple[tuple[str, str], ...] = ()
    """The Git folder of each submodule and its commit: what has to be kept there."""

    @property
    def size(self) -> int:
        """Bytes on disk once placed."""
        return sum(
            self.large_files[file.path].size if file.path in self.large_files else file.size for file in self.files
        )


def tree_id(files: Iterable[SnapshotFile], algorithm: str = "sha1") -> str:
    """The id Git gives to a tree of these files, computed without writing one object.

    Source: gitformat-pack and ``git mktree``: entries sorted by name, folders as if they ended in ``/``.
    """
    import hashlib

    root: dict[bytes, Any] = {}
    for file in files:
        *folders, name = file.path.encode("utf-8", "surrogateescape").split(b"/")
        level = root
        for folder in folders:
            level = level.setdefault(folder, {})
        level[name] = file
    return _folder_id(root, lambda content: hashlib.new(algorithm, content, usedforsecurity=False).digest()).hex()


def _folder_id(level: dict[bytes, Any], digest: Callable[[bytes], bytes]) -> bytes:
    entries: list[tuple[bytes, bytes]] = []
    for name, item in level.items():
        if isinstance(item, dict):
            entries.append((name + b"/", b"40000 " + name + b"\0" + _folder_id(item, digest)))
        else:
            entries.append((name, b"%o %s\0" % (item.mode, name) + bytes.fromhex(item.object_id)))
    body = b"".join(entry for _, entry in sorted(entries))
    return digest(b"tree %d\0" % len(body) + body)


_UNSAFE = re.compile(r"(?:^|[/\0])(?:\.{0,2}|\.git)(?=[/\0]|$)", re.IGNORECASE)
"""A part of a path that is empty, ``.``, ``..`` or ``.git``; ``\\0`` stands between paths, no name has it."""


def check_names(files: Sequence[SnapshotFile]) -> None:
    """Refuse names that would be written outside the snapshot or into a ``.git`` folder.

    Raises:
        UserError: such a name is in the tree (Git itself never makes one; a crafted repository may).
    """
    if not files or not _UNSAFE.search("\0".join(file.path for file in files)):
        return
    unsafe = next(file.path for file in files if _UNSAFE.search(file.path))
    raise UserError(
        f"The commit holds a file with the unsafe name {unsafe!r}.", "Do not run it: no ordinary Git made it."
    )


def leaving_links(targets: Mapping[str, str]) -> list[str]:
    """The links that lead out of the snapshot; ``targets`` gives the text of every link by its path.

    A link to something that is not in the snapshot but would lie inside it is fine, as it is for Git.
    """
    return [path for path in targets if _leaves(path, targets)]


def check_links(targets: Mapping[str, str]) -> None:
    """Refuse links that lead out of the snapshot, as `leaving_links` finds them.

    Raises:
        UserError: names the links that leave the snapshot.
    """
    leaving = leaving_links(targets)
    if leaving:
        raise UserError(*links_out(leaving, targets))


def links_out(leaving: Sequence[str], targets: Mapping[str, str]) -> tuple[str, str]:
    """The sentence about links that lead out of a snapshot, and what to do."""
    shown = "\n".join(f"  {path} -> {targets[path]}" for path in leaving[:10])
    more = f"\n  and {len(leaving) - 10} more" if len(leaving) > 10 else ""
    what = f"These links lead out of the snapshot, where a run on another machine finds nothing:\n{shown}{more}"
    remedy = (
        "Replace them by files, name them in .amlignore, or read the data from the shared folder "
        "(AZUREML_NATIVE_SHARE_DIRECTORY)."
    )
    return what, remedy


def _leaves(path: str, targets: Mapping[str, str]) -> bool:
    pending = path.split("/")[::-1]
    place: list[str] = []
    followed = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                return True
            place.pop()
            continue
        target = targets.get("/".join([*place, part]))
        if target is None:
            place.append(part)
            continue
        followed += 1
        if target.startswith("/"):
            return True
        if followed > MOST_LINKS:
            return False
        pending.extend(target.split("/")[::-1])
    return False
