"""Collect what a run left: everything under ``outputs/`` and ``logs/``, its console and its metrics.

What cannot be an artifact is named with the reason, never followed, and never waited for (RELIABILITY, odd outputs).
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar, cast

import msgspec
from msgspec import field

from amltool.artifact import Artifact, Omission, Tracked, fold_lines
from amltool.files import safe_text
from amltool.hosts.base import LARGEST_PIECE, FileKind, FileOnHost, Host, Piece
from amltool.hosts.there.tree import DEEPEST
from amltool.layout import CONSOLE_FILE, LONG_LIST, METRICS_FILE, RunFolder
from amltool.run import LongList
from amltool.stores.base import ArtifactStore, Kept
from amltool.targets.links import inspect_links
from amltool.targets.meanwhile import Meanwhile
from amltool.text import harmless

BLOCK = 1 << 20
LONGEST_REASON = 300
MEGABYTE = 1 << 20
MAX_ARTIFACT_SIZE = 512 * MEGABYTE
"""The ancestor's limit (WORKBENCH 3.4), which the setting ``max_artifact_size`` changes."""
OWN_FILES = frozenset({CONSOLE_FILE, METRICS_FILE})
MAX_OWN_SIZE = 4096 * MEGABYTE
"""For the console and the metrics, which that setting is not about."""
GUESS = 1 << 18
"""So many bytes of a file are asked for with others when nobody knows how large it is."""
ROUNDS = 3
"""How often a file that changes while it is read is read before what was read last is taken."""

TOO_DEEP = f"it lies more than {DEEPEST} folders deep"
NO_FOLDER = "it is no folder any more, and links to folders are not followed"
Progress = Callable[[int], None]
"""Called with the bytes read since the last call."""
T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """Where the run saw its own folder and the shared one, which may be elsewhere than on the host."""

    folder: PurePosixPath | None = None
    share: PurePosixPath | None = None


class Collection(msgspec.Struct, frozen=True):
    """What was collected of a run, in order of path; ``tracked`` is what its script logged, ``linked`` the files below
    ``work`` that were kept through a link."""

    artifacts: list[Artifact]
    omitted: list[Omission]
    tracked: Tracked
    linked: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Bytes of all artifacts."""
        return sum(artifact.size for artifact in self.artifacts)


def collect(
    host: Host,
    folder: RunFolder,
    store: ArtifactStore,
    *,
    max_artifact_size: int = MAX_ARTIFACT_SIZE,
    unchanged: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    in_run: Seen | None = None,
) -> Collection:
    """Put what a run left into the store; the caller flushes it.

    Names keep their ``outputs/`` or ``logs/`` prefix. A link to a file inside the run folder gives that file's
    content, also where it was made by the path that the run saw (``in_run``). ``unchanged`` names files of ``logs/``
    that came with the snapshot, with their Git object ids: they are artifacts only where their bytes are others now.
    A file that changes while it is read is read again; when it still does after `ROUNDS`, what was read last is kept
    and the file is named among the omissions too.

    Raises:
        UserError: the store cannot be written, or the host does not answer.
    """
    taking = _Taking(host, folder, store, max_artifact_size, unchanged or {}, progress, in_run or Seen())
    last = {name: _Wanted(name) for name in sorted(OWN_FILES)}
    read = Meanwhile(lambda: list(host.pieces(folder.path, _pieces(last.values()))))  # a round trip saved
    seen: dict[str, FileOnHost] = {}
    for _ in range(ROUNDS):
        now = taking.walk()
        changed = [path for path, entry in now.items() if seen.get(path) != entry]
        if not changed:
            break
        taking.take({path: now[path] for path in changed})
        seen = now
    else:
        taking.name_restless(seen)
    taking.take_files(last, read.result())
    return taking.collection()


class _Wanted(msgspec.Struct, frozen=True):
    """A file to be read: where it lies below the run folder, and the bytes it had, where that is known."""

    place: str
    size: int | None = None


def _pieces(wanted: Iterable[_Wanted]) -> list[Piece]:
    return [Piece(one.place, GUESS if one.size is None else one.size + 1) for one in wanted]


class _Taking(msgspec.Struct):
    """One collection under way; keys are exact paths as `Host.walk` gives them, below ``work``."""

    host: Host
    folder: RunFolder
    store: ArtifactStore
    limit: int
    unchanged: Mapping[str, str]
    progress: Progress | None
    in_run: Seen
    kept: dict[str, Kept] = field(default_factory=dict)
    omitted: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)

    def walk(self) -> dict[str, FileOnHost]:
        """Everything but folders under the two folders that are collected."""
        found: dict[str, FileOnHost] = {}
        work, walk = self.folder.work.name, self.host.walk
        tops = (self.folder.logs, self.folder.outputs)
        # both are asked for before one is waited for
        for top, entries in [(top, walk(self.folder.path, f"{work}/{top.name}")) for top in tops]:
            for entry in entries:
                if entry.path == ".":
                    odd = entry.kind is FileKind.OTHER
                    self.omit(top.name, None, _odd(entry.mode) if odd else NO_FOLDER)
                elif entry.kind is not FileKind.FOLDER:
                    found[f"{top.name}/{entry.path}"] = entry
        return found

    def take(self, entries: Mapping[str, FileOnHost]) -> None:
        wanted: dict[str, _Wanted] = {}
        links = [path for path, entry in entries.items() if entry.kind is FileKind.LINK]
        told = inspect_links(self.host, self.folder, links, self.in_run.folder, self.in_run.share)
        for path, link in zip(links, told, strict=True):
            if self.is_unchanged(path, link.text):
                continue
            if link.inside is None:
                self.omit(path, None, link.reason)
            else:
                wanted[path] = _Wanted(link.inside)
                self.linked.add(link.inside.removeprefix(f"{self.folder.work.name}/"))
        for path, entry in entries.items():
            if entry.kind is FileKind.OTHER:
                self.omit(path, None, TOO_DEEP if entry.path.count("/") >= DEEPEST - 1 else _odd(entry.mode))
            elif entry.kind is FileKind.FILE and entry.size > self.limit:
                self.omit(path, entry.size, over(self.limit))
            elif entry.kind is FileKind.FILE:
                wanted[path] = _Wanted(f"{self.folder.work.name}/{path}", entry.size)
        self.take_files(wanted)

    def take_files(self, wanted: Mapping[str, _Wanted], contents: Iterable[bytes | OSError] | None = None) -> None:
        """Read files: what is small comes together with others (``contents``, if it is here), what is not (any more)
        by itself."""
        small = {path: one for path, one in wanted.items() if (one.size or 0) < LARGEST_PIECE}
        large = {path: one for path, one in wanted.items() if path not in small}
        pieces = _pieces(small.values())
        if contents is None:
            contents = self.host.pieces(self.folder.path, pieces)
        for (path, one), piece, content in zip(small.items(), pieces, contents, strict=True):
            if isinstance(content, OSError):
                self.omit_unread(path, one.size, content)
            elif len(content) == piece.limit:
                large[path] = one
            elif one.size is None or not self.is_unchanged(path, content):
                self.keep(path, io.BytesIO(content), one.size)
        for path, one in large.items():
            self.take_large(path, one)

    def take_large(self, path: str, wanted: _Wanted) -> None:
        if path in OWN_FILES:
            seen = next(iter(self.host.walk(self.folder.path, path)), None)
            if seen is not None and seen.size > MAX_OWN_SIZE:  # a sparse file of any length costs nothing to make
                self.omit(path, seen.size, over(MAX_OWN_SIZE))
                return
        try:
            if path in self.unchanged and self.is_unchanged_there(path, wanted):
                return
            with self.host.open(self.folder.path, wanted.place) as stream:
                self.keep(path, stream, wanted.size)
        except OSError as error:
            self.omit_unread(path, wanted.size, error)

    def keep(self, path: str, stream: BinaryIO, size: int | None) -> None:
        limit = MAX_OWN_SIZE if path in OWN_FILES else self.limit
        try:
            self.kept[path] = self.store.put(self.counted(stream), limit=limit, name=path)
            self.omitted.pop(path, None)
        except ValueError:
            self.omit(path, max(size or 0, _size_of(stream) or 0) or None, over(limit))

    def omit_unread(self, path: str, size: int | None, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.omit(path, size, f"it cannot be read: {harmless(error.strerror or error, LONGEST_REASON)}")
        elif path not in OWN_FILES:
            self.omit(path, size, "it vanished while the run was collected")

    def counted(self, stream: BinaryIO) -> BinaryIO:
        return stream if self.progress is None else cast(BinaryIO, _Counted(stream, self.progress))

    def is_unchanged(self, path: str, content: bytes) -> bool:
        """Whether this is what came with the snapshot under that name: the content of a file, the text of a link."""
        object_id = self.unchanged.get(path)
        return object_id is not None and _blob_id(object_id, len(content), [content]) == object_id

    def is_unchanged_there(self, path: str, wanted: _Wanted) -> bool:
        object_id = self.unchanged[path]
        if wanted.size is None:
            return False
        with self.host.open(self.folder.path, wanted.place) as stream:
            return _blob_id(object_id, wanted.size, iter(lambda: stream.read(BLOCK), b"")) == object_id

    def omit(self, path: str, size: int | None, reason: str) -> None:
        self.kept.pop(path, None)
        self.omitted[path] = (size, reason)

    def name_restless(self, seen: Mapping[str, FileOnHost]) -> None:
        """After the last round: say which files changed once more while they were read."""
        for path, entry in self.walk().items():
            if path not in seen:
                self.omit(path, entry.size, "it was written while the run was collected")
            elif seen[path] != entry and path in self.kept:
                self.omitted[path] = (entry.size, "it changed while it was read, and what was read last is kept")

    def collection(self) -> Collection:
        names = readable_names({*self.kept, *self.omitted})
        artifacts = [
            Artifact(names[path], kept.size, kept.sha256, self.store.address) for path, kept in self.kept.items()
        ]
        omitted = [
            Omission(names[path], size, reason, safe_text(str(self.place(path))))
            for path, (size, reason) in self.omitted.items()
        ]
        return Collection(
            sorted(artifacts, key=lambda artifact: artifact.path),
            sorted(omitted, key=lambda omission: omission.path),
            self.tracked(),
            frozenset(self.linked),
        )

    def place(self, path: str) -> PurePosixPath:
        return self.folder.path / path if path in OWN_FILES else self.folder.work / path

    def tracked(self) -> Tracked:
        """What the script logged, read from what was kept, so that the record and its artifact agree."""
        if METRICS_FILE not in self.kept:
            return Tracked({}, {}, {})
        with self.store.open(self.kept[METRICS_FILE].sha256) as stream:
            return fold_lines(iter(lambda: stream.read(BLOCK), b""))


def as_record_list(
    entries: Sequence[T] | LongList, store: ArtifactStore, path: str, *, longest: int = LONG_LIST
) -> list[T] | LongList:
    """A list as a record keeps it: more than ``longest`` entries go into the store as JSON, durable on return."""
    if isinstance(entries, LongList):
        return entries
    if len(entries) <= longest:
        return list(entries)
    kept = store.put(io.BytesIO(msgspec.json.encode(entries)), name=path)
    store.flush()
    return LongList(count=len(entries), bytes=kept.size, sha256=kept.sha256, path=path)


def readable_names(paths: Iterable[str]) -> dict[str, str]:
    """A name that JSON can hold for every path, no two alike: those that need no change keep theirs."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in sorted(paths, key=lambda one: (safe_text(one) != one, os.fsencode(one))):
        name = wanted = safe_text(path)
        number = 2
        while name in taken:
            name = f"{wanted}~{number}"
            number += 1
        names[path] = name
        taken.add(name)
    return names


def over(limit: int) -> str:
    """The reason of a file that is too large: ``over 512 MB``."""
    if limit % MEGABYTE == 0:
        return f"over {limit // MEGABYTE} MB"
    return f"over {limit / MEGABYTE:.2f} MB" if limit >= MEGABYTE else f"over {limit} bytes"


class _Counted(io.RawIOBase):
    """A stream that tells how much of it was read."""

    def __init__(self, stream: BinaryIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Of a file on this machine: a store may read it once more."""
        return self._stream.fileno()

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1, /) -> bytes:
        block = self._stream.read(size)
        self._progress(len(block))
        return block


def _odd(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "it is a FIFO",
        stat.S_IFSOCK: "it is a socket",
        stat.S_IFCHR: "it is a device",
        stat.S_IFBLK: "it is a device",
        stat.S_IFDIR: "it is a folder that cannot be read",
    }
    return kinds.get(stat.S_IFMT(mode), "it is no regular file that can be read")


def _blob_id(like: str, size: int, blocks: Iterable[bytes]) -> str:
    """The id Git gives to these bytes, by the hash that an id of this length has."""
    hashed = hashlib.sha256() if len(like) == 64 else hashlib.sha1(usedforsecurity=False)
    hashed.update(b"blob %d\0" % size)
    for block in blocks:
        hashed.update(block)
    return hashed.hexdigest()


def _size_of(stream: BinaryIO) -> int | None:
    try:
        return stream.seek(0, io.SEEK_END)
    except (OSError, ValueError):
        return None
