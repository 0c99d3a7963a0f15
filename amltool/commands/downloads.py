"""Files brought to a folder: all of them or none, several at once, gone on with where an earlier try ended.

They come into a folder of their own below that one, under their SHA-256, and get their names when all are there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import BinaryIO

import msgspec

from amltool.destination import Destination
from amltool.errors import DamagedError, TargetError, UserError
from amltool.files import no_space

FILES_AT_ONCE = 8
BLOCK = 1 << 20
EXISTING = "There is a file name {0} existing in {1}"
OVERWRITE = "please add '--overwrite' to overwrite"
"""The ancestor's words (WORKBENCH 2.4)."""
LOCK = "lock"
Progress = Callable[[int], None]
"""Called with the bytes that came since the last call."""


class Wanted(msgspec.Struct, frozen=True):
    """A file to bring: the parts of each path that it is to have, its size in bytes, its SHA-256 where that is known.

    ``rest`` gives the content that follows the blocks that are here already; without a SHA-256 there are none.
    ``key`` is its name until all are there.
    """

    key: str
    size: int
    paths: tuple[tuple[str, ...], ...]
    rest: Callable[[Iterator[bytes]], Iterator[bytes]]
    sha256: str | None = None


class _StoppedError(Exception):
    """Another file could not be brought, or the user gave up."""


def bring(
    folder: Path, staging: str, wanted: Sequence[Wanted], *, overwrite: bool = False, progress: Progress | None = None
) -> None:
    """Bring files to a folder: all or, where one is in the way and is not to be replaced, none (WORKBENCH 6).

    With ``overwrite`` what is there and has the right bytes is not asked for. What came stays below ``staging`` when
    it cannot go on, and the next call goes on with it.

    Raises:
        UserError: a file is in the way, a content is not there or damaged, the disk is full.
        TargetError: the place they come from does not answer.
    """
    destination = Destination(folder)
    try:
        existing = [path for each in wanted for path in each.paths if destination.has(path)]
        if existing and not overwrite:
            named = [folder.joinpath(*path) for path in existing]
            listed = "\n".join(EXISTING.format(path.name, path.parent) for path in named)
            raise UserError(f"{listed}\nNothing was downloaded.", OVERWRITE)
        lacking = [_lacking(destination, each, set(existing)) for each in wanted]
        _Bringing(destination, staging, progress).bring([each for each in lacking if each.paths])
    except OSError as error:
        raise no_space(error, folder) from error


def safe_parts(path: str) -> tuple[str, ...]:
    """The parts of an artifact's path. Raises UserError where it would leave the folder."""
    parts = tuple(path.split("/"))
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise UserError(f"The record names an artifact {path!r}, which is no safe file name.", "Do not download it.")
    return parts


def _lacking(destination: Destination, wanted: Wanted, existing: set[tuple[str, ...]]) -> Wanted:
    paths = [path for path in wanted.paths if path not in existing or not _is_there(destination, path, wanted)]
    return msgspec.structs.replace(wanted, paths=tuple(paths))


def _is_there(destination: Destination, path: Sequence[str], wanted: Wanted) -> bool:
    if wanted.sha256 is None:
        return False
    with contextlib.suppress(OSError), destination.reading(path) as stream:
        if os.fstat(stream.fileno()).st_size == wanted.size:
            return _digest(stream) == wanted.sha256
    return False


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    for block in _blocks(stream):
        digest.update(block)
    return digest.hexdigest()


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(BLOCK), b"")


class _Bringing:
    """A download under way: what comes lies in ``staging`` until all is there."""

    def __init__(self, destination: Destination, staging: str, progress: Progress | None) -> None:
        self._destination, self._staging = destination, staging
        self._progress = progress
        self._telling = threading.Lock()
        self._stopping = threading.Event()

    def bring(self, wanted: Sequence[Wanted]) -> None:
        if not wanted:
            return
        for each in wanted:
            if len(safe_parts(each.key)) > 1:  # a list of artifacts comes from elsewhere
                raise UserError(f"The record names a content {each.key!r}, which is none.", "Do not download it.")
        try:
            with self._destination.begun([self._staging, LOCK]):
                self._get_all(wanted)
                for each in wanted:
                    self._name(each)
                self._destination.remove([self._staging, LOCK])
        except BlockingIOError:
            raise UserError(
                f"Another process brings the same files to {self._destination.folder}.", "Wait for it, or end it."
            ) from None
        with contextlib.suppress(OSError):  # what an earlier call left of other files is gone on with some day
            self._destination.remove([self._staging])

    def _get_all(self, wanted: Sequence[Wanted]) -> None:
        """Get several at once, the largest first; the first error ends it."""
        with ThreadPoolExecutor(min(FILES_AT_ONCE, len(wanted))) as pool:
            getting = [pool.submit(self._get, each) for each in sorted(wanted, key=lambda one: -one.size)]
            try:
                for each in as_completed(getting):
                    each.result()
            except BaseException:
                self._stopping.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _get(self, wanted: Wanted) -> None:
        place = [self._staging, wanted.key]
        with self._destination.begun(place) as stream:
            there = os.fstat(stream.fileno()).st_size
            if there > wanted.size or wanted.sha256 is None:
                stream.truncate(0)
                there = 0
            try:
                self._append(wanted, stream, there)
            except DamagedError:
                stream.truncate(0)
                if not there:
                    raise
                stream.seek(0)
                self._append(wanted, stream, 0)  # what was here may have been at fault
            except TargetError as error:
                kept = "What came is kept: the same command goes on with it."
                raise TargetError(error.what, f"{error.remedy} {kept}".strip()) from error

    def _append(self, wanted: Wanted, stream: BinaryIO, there: int) -> None:
        self._tell(there)
        for block in wanted.rest(_blocks(stream)):
            if self._stopping.is_set():
                raise _StoppedError
            stream.seek(0, os.SEEK_END)
            stream.write(block)
            self._tell(len(block))

    def _tell(self, size: int) -> None:
        if self._progress is not None:
            with self._telling:
                self._progress(size)

    def _name(self, wanted: Wanted) -> None:
        staged = [self._staging, wanted.key]
        for path in wanted.paths[1:]:
            with self._destination.reading(staged) as stream:
                self._destination.put(path, _blocks(stream))
        self._destination.move(staged, wanted.paths[0])
