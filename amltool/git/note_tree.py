"""The tree of a notes ref: commit -> note, with Git's fanout (folders of two hex digits)."""

from __future__ import annotations

import msgspec
from msgspec import field

from amltool.errors import DamagedError
from amltool.git.command import ObjectReader
from amltool.git.objects import FILE_MODE, TREE_MODE, Kind, NewObjects, parse_tree, parse_tree_id
from amltool.layout import REFETCH_HISTORY

SPLIT = 256
"""A folder with more notes than this is split by the next two digits, as Git's own writer does at about that number."""


class _Folder(msgspec.Struct):
    """A tree, its entries as stored, and those sub-folders that were opened; ``oid`` is ``None`` once changed."""

    oid: str | None
    entries: dict[bytes, tuple[bytes, str]]
    opened: dict[bytes, _Folder] = field(default_factory=dict)


class NoteTree:
    """The notes of one tip; read lazily, changed in memory, written as new objects.

    Raises DamagedError where an object that the notes need is not in the repository.

    A note can lie at any depth (another Git may have chosen another fanout), even at several: they are read as one.
    """

    def __init__(self, reader: ObjectReader, tip: str | None, digits: int) -> None:
        self._reader = reader
        self._digits = digits
        self._root = self._load(parse_tree_id(self._read(tip, "commit"))) if tip else _Folder(None, {})

    def get(self, commit: str) -> bytes | None:
        """The note of a commit, ``None`` where it has none."""
        contents = [content for _, content in self.parts(commit)]
        return b"\n".join(contents) if contents else None

    def parts(self, commit: str) -> list[tuple[str, bytes]]:
        """The blobs a commit's note consists of: one, unless writers with different fanouts were merged."""
        found = []
        for folder, name in self._path(commit):
            mode, oid = folder.entries.get(name, (b"", ""))
            if mode and mode != TREE_MODE:
                found.append((oid, self._read(oid, "blob")))
        return found

    def set(self, commit: str, content: bytes, new: NewObjects) -> None:
        """Replace the note of a commit."""
        steps = self._path(commit)
        for folder, name in steps:
            folder.oid = None
            folder.entries.pop(name, None)
        folder, name = steps[-1]
        while len(name) > 2 and len(folder.entries) >= SPLIT and self._count(folder, len(name)) >= SPLIT:
            self._split(folder, len(name))
            inner = folder.opened.get(name[:2]) or _Folder(None, {})
            folder.opened[name[:2]] = inner
            folder, name = inner, name[2:]
        folder.entries[name] = (FILE_MODE, new.add(Kind.BLOB, content))

    def write(self, new: NewObjects) -> str:
        """The id of the tree as it is now."""
        return self._write(self._root, new)

    def _path(self, commit: str) -> list[tuple[_Folder, bytes]]:
        """Every folder in which the note may lie, from the root down, with its name there."""
        folder, name = self._root, commit.encode()
        steps = [(folder, name)]
        while len(name) > 2:
            inner = self._open(folder, name[:2])
            if inner is None:
                break
            folder, name = inner, name[2:]
            steps.append((folder, name))
        return steps

    def _open(self, folder: _Folder, name: bytes) -> _Folder | None:
        if name not in folder.opened:
            mode, oid = folder.entries.get(name, (b"", ""))
            if mode != TREE_MODE:
                return None
            folder.opened[name] = self._load(oid)
        return folder.opened[name]

    def _load(self, name: str) -> _Folder:
        return _Folder(name, parse_tree(self._read(name, "tree"), self._digits))

    def _read(self, name: str, kind: str) -> bytes:
        found = self._reader.read(name)
        if found is None or found[0] != kind:
            raise DamagedError(
                f"The run history needs the {kind} {name}, which is not in the repository.",
                f"See `git fsck`; another clone may have it: {REFETCH_HISTORY}",
            )
        return found[1]

    def _count(self, folder: _Folder, digits: int) -> int:
        return sum(len(name) == digits and mode != TREE_MODE for name, (mode, _) in folder.entries.items())

    def _split(self, folder: _Folder, digits: int) -> None:
        for name in [name for name, (mode, _) in folder.entries.items() if len(name) == digits and mode != TREE_MODE]:
            inner = self._open(folder, name[:2]) or folder.opened.setdefault(name[:2], _Folder(None, {}))
            inner.oid = None
            inner.entries[name[2:]] = folder.entries.pop(name)

    def _write(self, folder: _Folder, new: NewObjects) -> str:
        if folder.oid is not None:
            return folder.oid
        for name, inner in folder.opened.items():
            folder.entries[name] = (TREE_MODE, self._write(inner, new))
        folder.oid = new.tree(folder.entries)
        return folder.oid
