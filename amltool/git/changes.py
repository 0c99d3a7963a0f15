"""What differs from the commit below, as Git says it: changed, new and gone files, and what it is told not to see."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git, GitError
from amltool.git.notices import named, notice
from amltool.limits import Problem, shell_word
from amltool.snapshot import SUBMODULE_MODE

GONE = "000000"
_READ_BY_GIT = (".gitignore", ".gitattributes", ".gitmodules")
_MOST_READ_BY_GIT = 100 << 20
"""Bytes; a file of 2 GB ends Git by SIGSEGV, and newer ones pass over more than this."""
_UNREADABLE_FOLDER = re.compile(rb"^warning: could not open directory '(.*)/?': ", re.MULTILINE)
_HIDDEN = re.compile(rb"(?:\A|\0)[a-zS] ")


class Change(msgspec.Struct, frozen=True):
    """A path that differs from the commit below it; ``size`` in bytes is ``None`` where the file is gone.

    ``staged`` is Git's mode and blob id in the index where there is an entry that differs from the commit. Only with
    ``on_disk`` the working folder has another content than the index, and that is what counts.
    """

    path: str
    size: int | None
    tracked: bool
    mode: int = 0
    staged: tuple[str, str] | None = None
    on_disk: bool = True
    readable: bool = True


class Status(msgspec.Struct, frozen=True):
    """What ``git status`` says below a folder; paths are relative to it."""

    changes: tuple[Change, ...]
    conflicts: tuple[str, ...] = ()
    nested_repositories: tuple[str, ...] = ()
    changed_submodules: tuple[str, ...] = ()
    unreadable_folders: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True):
    """The questions that Git is at work on."""

    status: subprocess.Popen[bytes]
    hidden: subprocess.Popen[bytes]


def ask(git: Git, root: str) -> Asked:
    """Ask Git what changed below a folder of the repository, and do not wait for the answer.

    Raises:
        UserError: where Git reads a file of its own stands a pipe or a device, for which it would wait, or a file
            that is too large for it.
    """
    _refuse_odd(git, root)
    literal = {"GIT_LITERAL_PATHSPECS": "1"}
    # Each option says what a setting of the user's (status.*, submodule.*.ignore, diff.renames) could say otherwise
    options = ["--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none"]
    return Asked(
        git.start("status", *options, "--", root or ".", environment=literal),
        git.start("ls-files", "-z", "-v", "--stage", "--", root or ".", environment=literal),
    )


def _refuse_odd(git: Git, root: str) -> None:
    """Look at the files of the project's folder and of those above it; Git follows no link there."""
    folder = git.top
    for part in ("", *root.split("/")):
        folder /= part
        for name in _READ_BY_GIT:
            try:
                found = os.lstat(folder / name)
            except (OSError, ValueError):
                continue
            mode = found.st_mode
            if stat.S_ISREG(mode) and found.st_size > _MOST_READ_BY_GIT:
                size = f"{found.st_size // 1_048_576:,} MB"
                raise UserError(f"{folder / name} has {size}.", "Make it smaller: Git reads no more than 100 MB of it.")
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
                raise UserError(f"{folder / name} is no regular file.", "Make it a file: Git would wait for its end.")


def read_status(git: Git, asked: Asked, root: str) -> Status:
    """Wait for ``git status`` and read its answer.

    Raises:
        GitError: Git failed.
    """
    stdout, stderr = _answer("status", asked.status)
    start = len(root) + 1 if root else 0
    changes: dict[str, Change] = {}
    conflicts: list[str] = []
    nested: list[str] = []
    submodules: list[str] = []
    for line in stdout.split(b"\0"):
        kind = line[:1]
        if kind == b"u":
            conflicts.append(os.fsdecode(line.split(b" ", 10)[10])[start:])
        elif kind == b"?":
            path = os.fsdecode(line[2:])
            if path.endswith("/"):
                nested.append(path[start:])
            else:
                changes[path[start:]] = _on_disk(git, path, start, tracked=False)
        elif kind == b"1":
            change, is_submodule_changed = _tracked(git, line, start)
            if change is not None:
                changes[change.path] = change
            if is_submodule_changed:
                submodules.append(os.fsdecode(line.split(b" ", 8)[8])[start:])
    folders = [os.fsdecode(found)[start:] for found in _UNREADABLE_FOLDER.findall(stderr)]
    return Status(tuple(changes.values()), tuple(conflicts), tuple(nested), tuple(submodules), tuple(folders))


def _tracked(git: Git, line: bytes, start: int) -> tuple[Change | None, bool]:
    """A line ``1 XY sub mH mI mW hH hI path``: the change, and if a submodule holds work of its own."""
    _, states, sub, _, index_mode, disk_mode, _, object_id, name = os.fsdecode(line).split(" ", 8)
    has_work = sub[0] == "S" and (sub[2] == "M" or sub[3] == "U")
    staged = (index_mode, object_id) if states[0] != "." and index_mode != GONE and object_id.strip("0") else None
    if disk_mode == GONE:
        return Change(name[start:], None, tracked=True, on_disk=False), has_work
    if states[1] == "." and staged is not None:
        return Change(name[start:], 0, tracked=True, mode=int(index_mode, 8), staged=staged, on_disk=False), has_work
    if sub[0] == "S" and sub[1] == "." and disk_mode == index_mode:
        # The commit that is checked out is that of the index: only the files in it differ
        return None if states[0] == "." else Change(
            name[start:], 0, tracked=True, mode=SUBMODULE_MODE, staged=staged, on_disk=False
        ), has_work
    change = _on_disk(git, name, start, tracked=True, is_submodule=int(disk_mode, 8) == SUBMODULE_MODE)
    return msgspec.structs.replace(change, staged=staged), has_work


def _on_disk(git: Git, name: str, start: int, *, tracked: bool, is_submodule: bool = False) -> Change:
    path = name[start:]
    if is_submodule:
        return Change(path, 0, tracked, SUBMODULE_MODE)
    try:
        state = os.lstat(git.top / name)
    except (FileNotFoundError, NotADirectoryError):
        return Change(path, None, tracked, on_disk=False)
    if stat.S_ISREG(state.st_mode):
        return Change(path, state.st_size, tracked, 0o100644, readable=os.access(git.top / name, os.R_OK))
    if stat.S_ISLNK(state.st_mode):
        return Change(path, state.st_size, tracked, 0o120000)
    return Change(path, None, tracked, on_disk=False)


class Hidden(msgspec.Struct, frozen=True):
    """Files that differ on disk although Git was told not to look at them, and those a sparse checkout leaves out."""

    changed: tuple[str, ...] = ()
    not_here: tuple[str, ...] = ()


def _answer(command: str, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    stdout, stderr = process.communicate()
    if process.returncode != 0:
        raise GitError((command,), process.returncode, stderr)
    return stdout, stderr


def read_hidden(git: Git, asked: Asked, root: str) -> Hidden:
    """Files marked assume-unchanged or skip-worktree: what ``git status`` does not say of them.

    Raises:
        GitError: Git failed.
    """
    stdout, _ = _answer("ls-files", asked.hidden)
    if not _HIDDEN.search(stdout):
        return Hidden()
    start = len(root) + 1 if root else 0
    not_here: list[str] = []
    here: list[tuple[str, str, str]] = []
    changed: list[str] = []
    for tag, mode, object_id, name in _marked(stdout):
        if os.path.lexists(git.top / name):
            here.append((mode, object_id, name))
        elif tag in "Ss":
            not_here.append(name[start:])
        else:
            changed.append(name[start:])
    changed += [name[start:] for name in _differing(git, here)]
    return Hidden(tuple(sorted(changed)), tuple(not_here))


def _marked(listed: bytes) -> Iterator[tuple[str, str, str, str]]:
    for line in listed.split(b"\0"):
        if line and (line[:1].islower() or line[:1] == b"S"):
            header, _, name = os.fsdecode(line).partition("\t")
            tag, mode, object_id, _ = header.split(" ")
            yield tag, mode, object_id, name


def _differing(git: Git, entries: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """The names of these (mode, blob id, name) whose file on disk Git would store as another blob, or not at all."""
    regular: list[tuple[str, str]] = []
    for mode, object_id, name in entries:
        place = git.top / name
        if mode == "120000" and place.is_symlink():
            if git.text("hash-object", "--stdin", input=os.fsencode(os.readlink(place))) != object_id:  # noqa: PTH115
                yield name
        elif mode in ("100644", "100755") and place.is_file() and not place.is_symlink() and "\n" not in name:
            regular.append((object_id, name))
        elif mode != "160000":
            yield name
    readable = [(object_id, name) for object_id, name in regular if os.access(git.top / name, os.R_OK)]
    yield from sorted({name for _, name in regular} - {name for _, name in readable})
    if readable:
        asked = b"".join(os.fsencode(name) + b"\n" for _, name in readable)
        found = git.run("hash-object", "--stdin-paths", input=asked).decode().split()
        yield from (name for (object_id, name), there in zip(readable, found, strict=True) if object_id != there)


def hidden_change(paths: Sequence[str]) -> Problem:
    """Files that differ on disk although Git was told not to look at them."""
    words = " ".join(shell_word(path) for path in paths)
    return notice(
        "hidden-change",
        f"Git was told not to look at changes of {named(paths)} (assume-unchanged or skip-worktree), so the snapshot "
        "has what was committed.",
        f"To take what is on disk: git update-index --no-assume-unchanged -- {words} && "
        f"git update-index --no-skip-worktree -- {words}",
    )
