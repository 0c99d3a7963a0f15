"""The one answer to what is in a snapshot, what it weighs and what is wrong with it: of a commit, of the index, or of
the working folder. ``submit``, ``check``, Git's hooks and the checks for pre-commit show what this says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from amltool.git.command import Git
from amltool.git.large_files import POINTER_SIZES, Pointer, find_contents, parse_pointer, pointer_sizes
from amltool.git.listing import MISSING
from amltool.git.notices import missing_content, named, notice
from amltool.git.submodules import Submodule, find_submodule
from amltool.git.trees import is_partial
from amltool.ignore import IGNORE_FILES, IgnoreFile, select, translation_for
from amltool.limits import Problem, Profile
from amltool.snapshot import LINK_MODE, SUBMODULE_MODE, leaving_links, links_out


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The files of what is looked at, before anything is left out.

    ``sizes``: bytes, or `MISSING`. ``links`` and ``submodules``: those among them. ``object_id`` gives the blob of a
    path, or ``None`` for one whose content lies on disk only. ``included``: what the ignore file does not leave out,
    where that is known and there is no submodule.
    """

    sizes: dict[str, int]
    links: Sequence[str]
    submodules: Mapping[str, str]
    object_id: Callable[[str], str | None]
    included: Sequence[str] | None = None


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a snapshot: ``sizes`` gives every file with its bytes, those of submodules and Git LFS among them.

    ``all_sizes`` has what the ignore file leaves out too, except files of ``submodules_out``. ``pointers`` has those of
    Git LFS by path; ``plain`` are blobs of one of the ``pointer_sizes`` that were looked into and are none.
    """

    sizes: dict[str, int]
    all_sizes: dict[str, int]
    ignore_file: IgnoreFile | None
    notices: tuple[Problem, ...]
    submodules: dict[str, Submodule]
    submodules_out: tuple[str, ...]
    pointers: dict[str, Pointer]
    plain: frozenset[str]
    pointer_sizes: range


class Selector(msgspec.Struct, frozen=True):
    """What rules what is left out of a snapshot."""

    ignore_file: IgnoreFile | None
    profile: Profile
    cache: Path

    def included(self, paths: Iterable[str]) -> tuple[str, ...]:
        return select(paths, self.ignore_file, self.profile, self.cache).included

    def wants(self, path: str) -> bool:
        """Whether a file would be in the snapshot."""
        return bool(self.included([path]))

    def may_want_in(self, folder: str) -> bool:
        """Whether a file in a folder could be in the snapshot."""
        if self.wants(f"{folder}/."):
            return True
        if self.ignore_file is None or not self.wants(folder):
            return False
        return not all(rule.excludes for rule in translation_for(self.ignore_file, self.cache).rules)


def contents_of(git: Git, root: str, selector: Selector, listed: Listed, commit: str) -> Contents:
    """Leave out what the ignore file does, then put in submodules and Git LFS, and say what cannot be run.

    ``root`` is the snapshot's folder in the repository; ``commit`` the one below (for advice).
    """
    sizes, notices = listed.sizes, list[Problem]()
    submodules = _submodules(git, root, selector, listed, notices)
    if listed.submodules:
        sizes = {path: size for path, size in sizes.items() if path not in listed.submodules}
        for each in submodules.values():
            sizes.update((file.path, file.size) for file in each.files if file.mode != SUBMODULE_MODE)
    all_sizes = sizes
    included = selector.included(sizes) if listed.included is None else listed.included
    if len(included) != len(sizes):
        sizes = {path: sizes[path] for path in included}
    missing = [path for path, size in sizes.items() if size == MISSING] if MISSING in sizes.values() else []
    if missing:
        notices.append(missing_content(missing, commit, is_partial=is_partial(git), prefix=root))
        sizes = {**sizes, **dict.fromkeys(missing, 0)}
    reader = _Reader(git, root, listed, submodules)
    targets = {path: target for path in _links(listed, submodules, sizes) if (target := reader.link(path)) is not None}
    if leaving := leaving_links(targets):
        notices.append(notice("link-out", *links_out(leaving, targets)))
    if "logs" in sizes:
        message = "The snapshot holds a file named logs, where the run needs a folder."
        notices.append(notice("logs-file", message, "Rename it, or name it in the ignore file."))
    looked_into = pointer_sizes(git, sizes)
    pointers, plain = _pointers(sizes, targets, reader, looked_into)
    if pointers:
        sizes = {**sizes, **{path: pointer.size for path, pointer in pointers.items()}}
        _say_missing_large_files(git, pointers, submodules, notices)
    return Contents(
        sizes=sizes,
        all_sizes=all_sizes,
        ignore_file=selector.ignore_file,
        notices=tuple(notices),
        submodules=submodules,
        submodules_out=tuple(path for path in listed.submodules if path not in submodules),
        pointers=pointers,
        plain=plain,
        pointer_sizes=looked_into,
    )


def _submodules(
    git: Git, root: str, selector: Selector, listed: Listed, notices: list[Problem]
) -> dict[str, Submodule]:
    """The submodules that may have files in the snapshot; those that are not here, or have their own, are said."""
    found: dict[str, Submodule] = {}
    missing: list[str] = []
    nested: list[str] = []
    for path, commit in listed.submodules.items():
        if not selector.wants(path) or not selector.may_want_in(path):
            continue
        submodule = find_submodule(git, root, path, commit)
        if submodule is None:
            missing.append(path)
            continue
        found[path] = submodule
        inner = [file.path for file in submodule.files if file.mode == SUBMODULE_MODE]
        if any(selector.may_want_in(each) for each in selector.included(inner)):
            nested.append(path)
    if missing:
        one = len(missing) == 1
        message = (
            f"The submodule{'' if one else 's'} {named(missing)} {'is' if one else 'are'} not here at the commit that "
            "the snapshot names."
        )
        remedy = "Get it with: git submodule update --init --recursive"
        notices.append(notice("submodule-missing", message, remedy))
    notices.extend(
        notice(
            "submodule-nested",
            f"The submodule {path} has submodules of its own, which amltool does not place.",
            "Name them in the ignore file, or make them part of the project.",
        )
        for path in nested
    )
    return found


def _links(listed: Listed, submodules: Mapping[str, Submodule], sizes: Mapping[str, int]) -> list[str]:
    inner = [file.path for each in submodules.values() for file in each.files if file.mode == LINK_MODE]
    return [path for path in (*listed.links, *inner) if path in sizes]


class _Reader:
    """Reads small files of what is looked at, wherever they lie: blobs here or in a submodule, or files on disk."""

    def __init__(self, git: Git, root: str, listed: Listed, submodules: Mapping[str, Submodule]) -> None:
        self._git, self._listed, self._folder = git, listed, git.top / root
        self.inner = {file.path: file.object_id for each in submodules.values() for file in each.files}
        self._environment = object_environment([each.objects for each in submodules.values()])

    def object_id(self, path: str) -> str | None:
        return self.inner.get(path) or self._listed.object_id(path)

    def blobs(self, object_ids: Sequence[str]) -> list[bytes | None]:
        with self._git.objects(self._environment) as objects:
            return [found[1] if (found := objects.read(each)) else None for each in object_ids]

    def link(self, path: str) -> str | None:
        object_id = self.object_id(path)
        if object_id is not None:
            content = self.blobs([object_id])[0] if self._listed.sizes.get(path) != MISSING else None
            return None if content is None else os.fsdecode(content)
        try:
            return os.readlink(self._folder / path)  # noqa: PTH115 - a Path would tidy it
        except OSError:  # another file by now
            return None

    def on_disk(self, path: str) -> bytes:
        try:
            handle = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with os.fdopen(handle, "rb") as file:
            return file.read(POINTER_SIZES.stop)


def object_environment(object_folders: Sequence[str]) -> dict[str, str]:
    """The variables that let Git read the objects of submodules beside the repository's own."""
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(object_folders)} if object_folders else {}


def _pointers(
    sizes: Mapping[str, int], links: Mapping[str, str], reader: _Reader, looked_into: range
) -> tuple[dict[str, Pointer], frozenset[str]]:
    """The Git LFS pointers among these files, and the blobs that were looked into and are none."""
    small = [path for path, size in sizes.items() if size in looked_into and path not in links]
    ids = {path: object_id for path in small if (object_id := reader.object_id(path)) is not None}
    contents = dict(zip(ids, reader.blobs(list(ids.values())), strict=True)) if ids else {}
    pointers: dict[str, Pointer] = {}
    plain: set[str] = set()
    for path in small:
        content = contents[path] if path in ids else reader.on_disk(path)
        pointer = parse_pointer(content or b"")
        if pointer is not None:
            pointers[path] = pointer
        elif path in ids and content is not None:
            plain.add(ids[path])
    return pointers, frozenset(plain)


def _say_missing_large_files(
    git: Git, pointers: Mapping[str, Pointer], submodules: Mapping[str, Submodule], notices: list[Problem]
) -> None:
    _, missing = find_contents(git, pointers, [each.git_dir for each in submodules.values()])
    if missing:
        notices.append(notice("lfs-missing", *lfs_missing(missing)))


def lfs_missing(paths: Sequence[str]) -> tuple[str, str]:
    """The sentence about Git LFS pointers whose content is not here, and what to do."""
    return (
        f"These files are Git LFS pointers whose content is not in this clone: {named(paths)}",
        "Get it with `git lfs pull`, or name the files in .amlignore.",
    )


def ignored_ignore_file(git: Git, root: str, sizes: Mapping[str, int]) -> list[Problem]:
    """An ``.amlignore`` on disk that Git ignores, so that it is in no commit and rules no snapshot."""
    name = IGNORE_FILES[0]
    if name in sizes or not os.path.lexists(git.top / root / name):
        return []
    place = f"{root}/{name}" if root else name
    if git.ask("check-ignore", "-q", "--", place)[0] != 0:
        return []
    message = f"Git ignores {name}, so it is in no commit and leaves nothing out of a snapshot."
    remedy = f"Add it all the same: git add --force {name}"
    return [notice("ignore-file-ignored", message, remedy)]
