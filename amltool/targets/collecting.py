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

from amltool.artifact import Artifact, Entry, Omission, Tracked, fold_entries, read_entries
from amltool.files import safe_text
from amltool.hosts.base import FileKind, FileOnHost, Host
from amltool.layout import CONSOLE_FILE, LONG_LIST, METRICS_FILE, RunFolder
from amltool.run import LongList
from amltool.stores.base import ArtifactStore, Kept
from amltool.targets.links import LinkOnHost, inspect_links

BLOCK = 1 << 20
MEGABYTE = 1 << 20
MAX_ARTIFACT_SIZE = 512 * MEGABYTE
"""The ancestor's limit (WORKBENCH 3.4), which the setting ``max_artifact_size`` changes."""
ROUNDS = 3
"""How often a file that changes while it is read is read before what was read last is taken."""

Progress = Callable[[int], None]
"""Called with the bytes read since the last call."""
T = TypeVar("T")


class Collection(msgspec.Struct, frozen=True):
    """What was collected of a run, in order of path; ``tracked`` is what its script logged."""

    artifacts: list[Artifact]
    omitted: list[Omission]
    tracked: Tracked

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
) -> Collection:
    """Put what a run left into the store; the caller flushes it.

    Names keep their ``outputs/`` or ``logs/`` prefix. A link to a file inside the run folder gives that file's
    content. ``unchanged`` names files of ``logs/`` that came with the snapshot, with their Git object ids: they are
    artifacts only where their bytes are others now. A file that changes while it is read is read again; when it
    still does after `ROUNDS`, what was read last is kept and the file is named among the omissions too.

    Raises:
        UserError: the store cannot be written, or the host does not answer.
    """
    taking = _Taking(host, folder, store, max_artifact_size, unchanged or {}, progress)
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
    taking.take_file(CONSOLE_FILE, CONSOLE_FILE)
    taking.take_file(METRICS_FILE, METRICS_FILE)
    return taking.collection()


class _Taking(msgspec.Struct):
    """One collection under way; keys are exact paths as `Host.walk` gives them, below ``work``."""

    host: Host
    folder: RunFolder
    store: ArtifactStore
    limit: int
    unchanged: Mapping[str, str]
    progress: Progress | None
    kept: dict[str, Kept] = field(default_factory=dict)
    omitted: dict[str, tuple[int | None, str]] = field(default_factory=dict)

    def walk(self) -> dict[str, FileOnHost]:
        """Everything but folders under the two folders that are collected."""
        found: dict[str, FileOnHost] = {}
        for top in (self.folder.logs, self.folder.outputs):
            for entry in self.host.walk(top):
                if entry.path == ".":
                    self.omit(top.name, None, "it is no folder any more, and links to folders are not followed")
                elif entry.kind is not FileKind.FOLDER:
                    found[f"{top.name}/{entry.path}"] = entry
        return found

    def take(self, entries: Mapping[str, FileOnHost]) -> None:
        links = [path for path, entry in entries.items() if entry.kind is FileKind.LINK]
        for path, link in zip(links, inspect_links(self.host, self.folder, links), strict=True):
            self.take_link(path, link)
        for path, entry in entries.items():
            if entry.kind is FileKind.OTHER:
                self.omit(path, None, _odd(entry.mode))
            elif entry.kind is FileKind.FILE and not self.is_unchanged(path, entry.size):
                if entry.size > self.limit:
                    self.omit(path, entry.size, over(self.limit))
                else:
                    self.take_file(path, f"{self.folder.work.name}/{path}", entry.size)

    def take_link(self, path: str, link: LinkOnHost) -> None:
        object_id = self.unchanged.get(path)
        if object_id is not None and _blob_id(object_id, len(link.text), [link.text]) == object_id:
            return
        if link.inside is None:
            self.omit(path, None, link.reason)
        else:
            self.take_file(path, link.inside)

    def take_file(self, path: str, place: str, size: int | None = None) -> None:
        """Read one file: ``place`` is where it lies below the run folder, ``path`` what the artifact is called."""
        try:
            with self.host.open(self.folder.path, place) as stream:
                try:
                    self.kept[path] = self.store.put(self.counted(stream), limit=self.limit)
                    self.omitted.pop(path, None)
                except ValueError:
                    self.omit(path, max(size or 0, _size_of(stream) or 0) or None, over(self.limit))
        except FileNotFoundError:
            if path not in (CONSOLE_FILE, METRICS_FILE):
                self.omit(path, size, "it vanished while the run was collected")
        except OSError as error:
            self.omit(path, size, f"it cannot be read: {error.strerror or error}")

    def counted(self, stream: BinaryIO) -> BinaryIO:
        return stream if self.progress is None else cast(BinaryIO, _Counted(stream, self.progress))

    def is_unchanged(self, path: str, size: int) -> bool:
        object_id = self.unchanged.get(path)
        if object_id is None or size > self.limit:
            return False
        try:
            with self.host.open(self.folder.path, f"{self.folder.work.name}/{path}") as stream:
                return _blob_id(object_id, size, iter(lambda: stream.read(BLOCK), b"")) == object_id
        except OSError:
            return False

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
        )

    def place(self, path: str) -> PurePosixPath:
        return self.folder.path / path if path in (CONSOLE_FILE, METRICS_FILE) else self.folder.work / path

    def tracked(self) -> Tracked:
        """What the script logged, read from what was kept, so that the record and its artifact agree."""
        if METRICS_FILE not in self.kept:
            return Tracked({}, {}, {})
        entries: list[Entry] = []
        damaged = 0
        rest = b""
        with self.store.open(self.kept[METRICS_FILE].sha256) as stream:
            while block := stream.read(BLOCK):
                whole, newline, rest = (rest + block).rpartition(b"\n")
                more, bad = read_entries(whole + newline)
                entries += more
                damaged += bad
        more, bad = read_entries(rest)
        return fold_entries([*entries, *more], damaged + bad)


def as_record_list(entries: Sequence[T] | LongList, store: ArtifactStore, path: str) -> list[T] | LongList:
    """A list as a record keeps it: more than 200 entries go into the store as JSON, durable when this returns."""
    if isinstance(entries, LongList):
        return entries
    if len(entries) <= LONG_LIST:
        return list(entries)
    kept = store.put(io.BytesIO(msgspec.json.encode(entries)))
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
