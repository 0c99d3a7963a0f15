"""Survey a commit, the index or the working folder as a submit would: one question, asked by every door."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from amltool.configuration.folder import LARGEST, read_if_there, too_large
from amltool.errors import UserError
from amltool.git import changes as git_changes
from amltool.git.changes import Change, Hidden, Status, hidden_change
from amltool.git.command import Git, GitError, OversizedError
from amltool.git.contents import Contents, Listed, Selector, contents_of, ignored_ignore_file
from amltool.git.large_files import Pointer
from amltool.git.listing import LINK, MISSING, SUBMODULE, Beside, Listing, file_sizes, list_index, read_file, sizes_of
from amltool.git.notices import named, notice, refusals, unclean
from amltool.git.submodules import Submodule, checked_out
from amltool.git.trees import borrowed, list_tree
from amltool.ignore import IGNORE_FILES, IgnoreFile
from amltool.limits import Problem, Profile
from amltool.snapshot import LINK_MODE, SUBMODULE_MODE, SnapshotFile

_SPECIAL = (LINK[:2], SUBMODULE[:2])


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What a submit would take; nothing has been written.

    ``prefix`` is the snapshot's root in the repository. ``files`` is of the commit below (submodules as one entry),
    ``changes`` what differs from it; ``contents`` is what is in the snapshot. ``notices`` are problems that Git's way
    of keeping things makes, ``notes`` plain facts.
    """

    base_commit: str
    source_directory: str
    prefix: str
    files: tuple[SnapshotFile, ...]
    changes: tuple[Change, ...]
    contents: Contents
    profile: Profile
    notices: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """The files of the snapshot by path, with their bytes as they will be placed."""
        return self.contents.sizes

    @property
    def all_sizes(self) -> dict[str, int]:
        """The same of every file, those that the ignore file leaves out among them."""
        return self.contents.all_sizes

    @property
    def ignore_file(self) -> IgnoreFile | None:
        return self.contents.ignore_file

    @property
    def ignore_file_name(self) -> str | None:
        return None if self.ignore_file is None else self.ignore_file.name

    @property
    def submodules(self) -> dict[str, Submodule]:
        return self.contents.submodules

    @property
    def pointers(self) -> dict[str, Pointer]:
        return self.contents.pointers

    @property
    def dirty(self) -> bool:
        return bool(self.changes)

    @property
    def unclean(self) -> list[Problem]:
        """Work that is in no commit and is not taken either: a clean tree has none."""
        return unclean(self.notices)

    def refuse(self) -> None:
        """Refuse what cannot be run.

        Raises:
            UserError: names everything that stands in the way.
        """
        found = refusals(self.notices)
        if found:
            raise UserError("\n".join(each.message for each in found), "\n".join(each.remedy for each in found))


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
        UserError: there is no commit yet, the folder is not in the commit, or the ignore file is none.
    """
    base = commit or git.head
    if base is None and needs_commit:
        raise UserError(
            "This repository has no commit yet, and a run belongs to a commit.",
            'Make one: git add -A && git commit -m "first"',
        )
    source_directory = posixpath.normpath(source_directory)  # in one form: it is recorded
    root = posixpath.normpath(posixpath.join(prefix, source_directory))
    root = "" if root == "." else root
    if root.startswith(("..", "/")):
        raise UserError(
            f"source_directory {source_directory!r} lies outside the project.", "Name a folder in the project."
        )
    asked = None if commit else git_changes.ask(git, root)
    git.get_reader()
    files = list_tree(git, base, root, missing_is_empty=commit is None) if base else []
    status = Status(()) if asked is None else git_changes.read_status(git, asked, root)
    hidden = Hidden() if asked is None else git_changes.read_hidden(git, asked, root)
    below = _Below(git, root, base or "", files, {change.path: change for change in status.changes})
    return _survey(below, source_directory, profile, status, hidden, on_disk=commit is None)


def _slashes(path: str) -> Iterator[int]:
    """The places of the slashes in a path, from the innermost."""
    end = path.rfind("/")
    while end > 0:
        yield end
        end = path.rfind("/", 0, end)


class _Below:
    """The files of a commit, and what differs from them."""

    def __init__(
        self, git: Git, root: str, commit: str, files: Sequence[SnapshotFile], changes: Mapping[str, Change]
    ) -> None:
        self.git, self.root, self.commit, self.files, self.changes = git, root, commit, files, changes
        self.by_path = {file.path: file for file in files}

    def mode(self, path: str) -> int | None:
        """Git's mode of a path as it will be, ``None`` where there is none."""
        change = self.changes.get(path)
        if change is not None:
            return None if change.size is None else change.mode
        file = self.by_path.get(path)
        return None if file is None else file.mode

    def object_id(self, path: str) -> str | None:
        change = self.changes.get(path)
        if change is None:
            return self.by_path[path].object_id
        return change.staged[1] if change.staged is not None and not change.on_disk else None

    def sizes(self) -> dict[str, int]:
        sizes = {file.path: file.size for file in self.files}
        staged = [each for each in self.changes.values() if not each.on_disk and each.staged is not None]
        if staged:
            found = sizes_of(self.git, [each.staged[1] for each in staged if each.staged is not None])
            in_index = {
                each.path: 0 if each.mode == SUBMODULE_MODE else size for each, size in zip(staged, found, strict=True)
            }
        else:
            in_index = {}
        for path, change in self.changes.items():
            if change.size is None:
                sizes.pop(path, None)
            else:
                sizes[path] = in_index.get(path, change.size)
        self._make_room(sizes)
        return sizes

    def _make_room(self, sizes: dict[str, int]) -> None:
        """Take out what a new file stands in the place of: Git says nothing of a hidden file below it."""
        new = [path for path in self.changes if path in sizes and path not in self.by_path]
        if not new:
            return
        folders = {path[:end] for path in sizes for end in _slashes(path)}
        for path in new:
            if path in folders:
                for inner in [each for each in sizes if each.startswith(f"{path}/")]:
                    del sizes[inner]
            for end in _slashes(path):
                sizes.pop(path[:end], None)

    def submodules(self) -> dict[str, str]:
        """The commits that submodules are at; what is checked out counts where it is not that of the index."""
        found = {file.path: file.object_id for file in self.files if file.mode == SUBMODULE_MODE}
        for path, change in self.changes.items():
            if change.size is None or change.mode != SUBMODULE_MODE:
                found.pop(path, None)
            elif change.on_disk:
                found[path] = checked_out(self.git, self.root, path) or ""
            elif change.staged is not None:
                found[path] = change.staged[1]
        return found

    def read(self, path: str) -> bytes | None:
        """A file as it will be in the snapshot; ``None`` where its content is not in this clone."""
        object_id = self.object_id(path)
        if object_id is None:
            return read_if_there(self.git.top / self.root / path)
        if path not in self.changes and self.by_path[path].size == MISSING:
            return None
        try:
            with self.git.objects() as objects:
                found = objects.read(object_id, LARGEST)
        except OversizedError:
            raise too_large(path, LARGEST) from None
        return None if found is None else found[1]


def _survey(
    below: _Below, source_directory: str, profile: Profile, status: Status, hidden: Hidden, *, on_disk: bool
) -> Survey:
    git, root = below.git, below.root
    sizes = below.sizes()
    listed = Listed(
        sizes=sizes,
        links=[path for path in sizes if below.mode(path) == LINK_MODE],
        submodules=below.submodules(),
        object_id=below.object_id,
    )
    ignore_file = _ruling_ignore_file(sizes, below.mode, below.read)
    selector = Selector(ignore_file, profile, git.layout.cache)
    contents = contents_of(git, root, selector, listed, below.commit)
    affected = tuple(change for change in status.changes if _matters(change, below, contents, selector))
    notices = [
        *contents.notices,
        *_notices(selector, status, hidden, affected),
        *(ignored_ignore_file(git, root, sizes) if on_disk else ()),
    ]
    return Survey(
        base_commit=below.commit,
        source_directory=source_directory,
        prefix=root,
        files=tuple(file for file in below.files if file.path in contents.sizes or file.path in contents.submodules),
        changes=affected,
        contents=contents,
        profile=profile,
        notices=tuple(notices),
        notes=(*_notes(hidden, contents), *(borrowed(git) if on_disk else ())),
    )


def _matters(change: Change, below: _Below, contents: Contents, selector: Selector) -> bool:
    """Whether a change is one of the snapshot; that a file is gone matters only if it would have been in it."""
    if change.size is not None:
        return change.path in contents.sizes or (change.mode == SUBMODULE_MODE and selector.wants(change.path))
    return change.path in below.by_path and selector.wants(change.path)


def _notices(selector: Selector, status: Status, hidden: Hidden, changes: Iterable[Change]) -> list[Problem]:
    """What Git does not take, or cannot: only of files that would be in the snapshot."""
    notices: list[Problem] = []
    for path in selector.included(status.conflicts):
        message = f"A merge is unfinished: {named([path])} has conflicts."
        notices.append(notice("conflict", message, "Resolve it and commit, then submit again."))
    for change in changes:
        if not change.readable:
            remedy = "Change its permissions, or name it in .amlignore, then submit again."
            notices.append(notice("unreadable", f"{named([change.path])} cannot be read.", remedy))
    for folder in status.unreadable_folders:
        if selector.may_want_in(folder):
            message = f"The folder {named([folder])} cannot be read, so no new file of it is in the snapshot."
            notices.append(notice("unreadable-folder", message, "Change its permissions, or name it in .amlignore."))
    for path in status.nested_repositories:
        if selector.wants(path.rstrip("/")) and selector.may_want_in(path.rstrip("/")):
            message = f"{named([path])} is a Git repository of its own and is not in the snapshot."
            notices.append(notice("nested-repository", message, "Make it a submodule, or name it in the ignore file."))
    changed = [path for path in status.changed_submodules if selector.wants(path) and selector.may_want_in(path)]
    for path in changed:
        message = f"The submodule {named([path])} has uncommitted work, which is not in the snapshot."
        notices.append(
            notice("submodule-changed", message, "Commit it in the submodule: what is checked out is taken.")
        )
    if behind := selector.included(hidden.changed):
        notices.append(hidden_change(behind))
    return notices


def _notes(hidden: Hidden, contents: Contents) -> list[str]:
    absent = sum(path in contents.sizes for path in hidden.not_here)
    if not absent:
        return []
    return [f"A sparse checkout leaves {absent:,} file{'' if absent == 1 else 's'} of the snapshot out of the folder."]


def _ruling_ignore_file(
    paths: Collection[str], mode: Callable[[str], int | None], read: Callable[[str], bytes | None]
) -> IgnoreFile | None:
    """The ignore file that rules: of the snapshot itself, so that a commit alone says what was run.

    Raises:
        UserError: it is a link or a folder, or its content is not here.
    """
    for name in IGNORE_FILES:
        if name not in paths:
            if any(path.startswith(f"{name}/") for path in paths):
                raise UserError(f"{name} is a folder.", f"Rename it: {name} has to be a file, or not to be there.")
            continue
        if mode(name) in (LINK_MODE, SUBMODULE_MODE):
            raise UserError(f"{name} is a link.", "Make it a file: a link would rule differently elsewhere.")
        content = read(name)
        if content is None:
            raise UserError(f"The content of {name} is missing from this clone.", "Fetch it: git fetch --refetch")
        return IgnoreFile(name, content)
    return None


def survey_index(git: Git, prefix: str, profile: Profile) -> Survey:
    """Look at the index: what the next commit would hold; works before the first commit and during a merge.

    Sizes are those of the blobs, as they would be in a snapshot (a path with conflicts counts with our side).
    """
    return survey_listing(git, prefix, list_index(git, prefix), profile, on_disk=True, with_files=True)


def survey_listing(
    git: Git, prefix: str, listing: Listing, profile: Profile, *, on_disk: bool, with_files: bool = False
) -> Survey:
    """The same of a listing of the index or of a commit, made for 50,000 files; ``files`` is left empty unless wanted.

    With ``on_disk`` the working folder belongs to it.
    """
    # Sizes take Git as long as ignore rules take us
    counting = Beside(lambda: file_sizes(git, listing))
    special = {path: entry for path, entry in zip(listing.paths, listing.entries, strict=True) if entry[:2] in _SPECIAL}
    places: dict[str, int] = {}

    def object_id(path: str) -> str:
        if not places:
            places.update(zip(listing.paths, range(len(listing.paths)), strict=True))
        return listing.object_ids[places[path]]

    def mode(path: str) -> int:
        return int(special.get(path, "100644")[:6], 8)

    def read(path: str) -> bytes | None:
        try:
            return read_file(git, listing, path, prefix)
        except GitError:
            return None

    selector = Selector(_ruling_ignore_file(listing.paths, mode, read), profile, git.layout.cache)
    included = (
        None if any(entry.startswith(SUBMODULE) for entry in special.values()) else selector.included(listing.paths)
    )
    sizes = dict(zip(listing.paths, counting.result(), strict=True))
    links = [path for path, entry in special.items() if entry.startswith(LINK)]
    submodules = {path: object_id(path) for path, entry in special.items() if entry.startswith(SUBMODULE)}
    listed = Listed(sizes=sizes, links=links, submodules=submodules, object_id=object_id, included=included)
    contents = contents_of(git, prefix, selector, listed, git.head or "0" * 40)
    notices = (*contents.notices, *(ignored_ignore_file(git, prefix, sizes) if on_disk else ()))
    files = [
        SnapshotFile(path, int(entry[:6], 8), blob, contents.sizes[path])
        for path, entry, blob in zip(listing.paths, listing.entries, listing.object_ids, strict=True)
        if with_files and path in contents.sizes
    ]
    return Survey(
        base_commit=git.head or "",
        source_directory=".",
        prefix=prefix,
        files=tuple(files),
        changes=(),
        contents=contents,
        profile=profile,
        notices=notices,
    )
