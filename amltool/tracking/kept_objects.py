"""What a host keeps of the snapshots placed there, so that the next one costs what is new; Python 3.6.

    FOLDER/objects.git   where the host has Git: a bare repository of packs without one ref
    FOLDER/blobs/ab/cd…  where it has none, and for what Git cannot make smaller: one file a blob, under its id
    FOLDER/large/ab/cd…  the content of Git LFS pointers, under its SHA-256
    FOLDER/lists/TREE    what the last few placed trees held: what they name stays, the rest may go

All of it is a cache: nothing in it is believed without its hash, and it can be deleted at any time.
"""

import contextlib
import fcntl
import json
import os
import zlib
from functools import partial
from typing import Any, ContextManager, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set

from .kept_blobs import (
    OLDEST_GIT,
    BlobFiles,
    NotWhatItSaysError,
    Opener,
    PackedBlobs,
    answers_from,
    blob_hash,
    content_hash,
    git_version,
)
from .lock_holder import wait_for
from .placing import LINK_MODE, File, remove_tree, untouched
from .run_folders import FILE_FLAGS, PLACED, WORK, Folders, Mark, Root, open_folder

KEPT_TREES = 5
"""So many of the trees that were placed last stay whole."""
LOOKED_THROUGH = 10
"""The folders of so many runs are looked through for what was placed there."""
LARGEST_LOOKED_INTO = 1 << 26
"""In bytes, of what a run's mark notes of its files."""
MOVED_FROM = 64 << 10
"""A blob from this size on that came by itself is kept in the run's folder only."""
SPARE = 64 << 20
"""Packs may hold so many bytes more than twice what the kept trees weigh before they are packed anew."""


class KeptObjects:
    """The cache of one project on this machine; ``digits`` is the length of an object id there."""

    def __init__(self, folder: str, digits: int) -> None:
        self.folder = folder
        self._in_runs: Dict[str, Opener] = {}
        self._incoming: Optional[BlobFiles] = None
        self._received: Dict[str, str] = {}
        self.large = BlobFiles(os.path.join(folder, "large"), content_hash)
        self._lists = os.path.join(folder, "lists")
        self.files = BlobFiles(os.path.join(folder, "blobs"), blob_hash)
        for name in (self._lists, self.large.folder, self.files.folder):
            os.makedirs(name, exist_ok=True)
        version = git_version()
        self.has_git = version is not None and version >= OLDEST_GIT
        self.packs = PackedBlobs(os.path.join(folder, "objects.git"), digits)
        if self.has_git:
            try:
                self.packs.make()
            except NotWhatItSaysError:  # a Git that does not know SHA-256
                self.has_git = False

    def answers(self, ids: Sequence[str]) -> ContextManager[Any]:
        """What `placing.place` reads blobs from."""
        found = dict(self._in_runs)
        for files in self._files():
            found.update((object_id, files.opener(object_id)) for object_id in files.present(ids))
        return answers_from(found, ids, self.packs.command)

    def take_large_in(self, folder: str) -> None:
        """Name the folder, on the file system of the run's, for large blobs that come by themselves.

        No other client looks for them there: they will be moved from it.
        """
        os.makedirs(folder, exist_ok=True)
        self._incoming = BlobFiles(folder, blob_hash)

    def _files(self) -> List[BlobFiles]:
        return [self.files] if self._incoming is None else [self.files, self._incoming]

    def look_in_runs(self, root: Root, ids: Set[str]) -> Set[str]:
        """Which blobs lie untouched in the folders of other runs; there they are read from when they are placed.

        Nothing there is believed: a blob whose content is another is found out when it is placed.
        """
        for run in sorted(os.listdir(root.runs), reverse=True)[:LOOKED_THROUGH]:
            if not ids - set(self._in_runs):
                break
            try:
                work = root.keep(open_folder(WORK, root.keep(open_folder(run, root.runs))))
                mark = Mark(root.keep(open_folder(run, root.marks)), PLACED)
            except OSError:
                continue
            found = untouched(work, mark, LARGEST_LOOKED_INTO)
            for object_id in ids & set(found):
                self._in_runs.setdefault(object_id, partial(_open_below, work, found[object_id]))
        return ids & set(self._in_runs)

    def receive(self, object_id: str, size: int, blocks: Iterable[bytes]) -> None:
        """Take in a blob by itself."""
        if self._incoming is None or size < MOVED_FROM:
            self.files.receive(object_id, size, blocks)
            return
        self._incoming.receive(object_id, size, blocks)
        self._received[object_id] = self._incoming.path(object_id)

    def ready(self, files: Sequence[File]) -> Dict[str, str]:
        """What was received now, whose hash we have seen, and is large: its place is the run's folder, where the next
        one finds it, for writing it twice would take as long again as bringing it here."""
        uses: Dict[str, int] = {}
        for _, mode, object_id, _ in files:
            uses[object_id] = uses.get(object_id, 0) + (2 if mode == LINK_MODE else 1)
        return {object_id: path for object_id, path in self._received.items() if uses.get(object_id) == 1}

    def present(self, ids: Iterable[str]) -> Set[str]:
        """Which blobs are here."""
        found: Set[str] = set()
        for files in self._files():
            found |= files.present(ids)
        return found | self.packs.present(set(ids) - found) if self.has_git else found

    @contextlib.contextmanager
    def in_use(self) -> Iterator[int]:
        """While the block runs, nobody takes anything away; gives the lock."""
        lock_file = os.path.join(self.folder, "lock")
        lock = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if _lock(lock, fcntl.LOCK_EX):
                for kept in (self.packs, self.files, self.large):
                    kept.remove_partial()
            wait_for(lock, fcntl.LOCK_SH, lock_file, "the cache of objects")
            yield lock
        finally:
            os.close(lock)

    def earlier(self, paths: Iterable[str]) -> Dict[str, str]:
        """The blobs that these paths had in the trees placed last, where they are in packs; the newest each."""
        wanted = set(paths)
        found: Dict[str, str] = {}
        for tree in self._recent():
            if not wanted:
                break
            for path, _, object_id, _ in self._read(tree):
                if path in wanted:
                    wanted.discard(path)
                    found[path] = object_id
        present = self.packs.present(set(found.values())) if self.has_git else set()
        return {path: object_id for path, object_id in found.items() if object_id in present}

    def note(self, tree: str, files: Sequence[File], large: Mapping[str, Any]) -> None:
        """Remember what a tree holds that was placed now."""
        place = os.path.join(self._lists, tree)
        if os.path.exists(place):
            os.utime(place)
            return
        beside = os.path.join(self.folder, "tmp_" + os.urandom(8).hex())
        with open(beside, "wb") as stream:
            stream.write(zlib.compress(json.dumps({"files": files, "large": large}).encode("ascii"), 1))
        os.rename(beside, place)

    def tidy(self, lock: int) -> None:
        """Take away what only trees of long ago need, unless somebody else is using what is here."""
        recent = self._recent()
        for tree in recent[KEPT_TREES:]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._lists, tree))
        sizes: Dict[str, int] = {}
        large: Set[str] = set()
        for tree in recent[:KEPT_TREES]:
            sizes.update((object_id, size) for _, _, object_id, size in self._read(tree))
            large.update(self._read(tree, "large"))
        is_long = self.packs.is_long(2 * sum(sizes.values()) + SPARE)
        if (is_long or len(recent) > KEPT_TREES) and _lock(lock, fcntl.LOCK_EX):
            if is_long:
                self.packs.keep_only(set(sizes))
            self.files.keep_only(set(sizes))
            self.large.keep_only(large)

    def discard(self) -> None:
        """Throw all of it away: something in it is damaged. Whoever uses it now notices, and starts anew."""
        aside = "%s.damaged.%s" % (self.folder, os.urandom(4).hex())
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.folder, aside)
            remove_tree(aside)

    def _recent(self) -> List[str]:
        def age(tree: str) -> int:
            try:
                return -os.stat(os.path.join(self._lists, tree)).st_mtime_ns
            except FileNotFoundError:
                return 0

        return sorted(os.listdir(self._lists), key=age)

    def _read(self, tree: str, what: str = "files") -> Any:
        try:
            with open(os.path.join(self._lists, tree), "rb") as stream:
                found = json.loads(zlib.decompress(stream.read()).decode("ascii"))
            return found[what] if what == "files" else [sha256 for sha256, _ in found[what].values()]
        except (OSError, ValueError, KeyError, zlib.error):
            return []


def _open_below(work: int, path: str) -> int:
    head, _, name = path.rpartition("/")
    folders = Folders(work)
    try:
        return os.open(name, FILE_FLAGS, dir_fd=folders.at(head))
    finally:
        folders.close()


def _lock(lock: int, kind: int) -> bool:
    """Whether the lock was had; where the file system knows none it never is, and nothing is ever taken away."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
