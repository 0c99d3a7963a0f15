"""The artifact store in a container of Azure Blob Storage: a run's files under their names, each kept once a project.

The content of an artifact is the blob ``<account>/<workspace>/<project>/<run id>/outputs/…`` with its SHA-256 as
metadata. An empty blob per SHA-256 tells under which name the content lies; it is written when the content is whole.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, unquote

import msgspec

from amltool.errors import DamagedError, UserError
from amltool.layout import BlobLayout
from amltool.stores.base import Access, Kept
from amltool.stores.blob_address import BlobAddress
from amltool.stores.blob_content import Content, take
from amltool.stores.blob_copy import copy
from amltool.stores.blob_download import BlobReader
from amltool.stores.blob_requests import BRIEF, PATIENT, Patience, is_absent, retried, sentence, sentences
from amltool.stores.blob_sign_in import open_container
from amltool.stores.blob_upload import SHA256, holds, upload

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

FILES_AT_ONCE, BLOCKS_AT_ONCE = 8, 8
WAITING_BYTES = 32 << 20
"""Of content in memory that waits to be sent, beside the blocks that are being sent."""
WAITING_FILES = 64
_SHA256 = re.compile(r"[0-9a-f]{64}")


def open_blob_store(address: str, access: Access) -> AzureBlobStore:
    """The store of an address for a project; asks nothing yet.

    Raises:
        UserError: the address has another form, or its credential cannot be found.
        MissingExtraError: the packages of Azure are not installed.
    """
    place, container = open_container(address, access.sign_in, FILES_AT_ONCE + BLOCKS_AT_ONCE)
    return AzureBlobStore(place, access, container)


class Place(msgspec.Struct, frozen=True):
    """Under which name some content lies, and its size in bytes."""

    name: str
    size: int


class AzureBlobStore:
    """Content in blobs. What is put is sent in the background; `flush`, and whatever reads, wait for it."""

    def __init__(self, address: BlobAddress, access: Access, container: ContainerClient) -> None:
        self._address = address
        self._access = access
        self._container = container
        self.layout = BlobLayout(address.prefix, access.account, access.workspace, access.project)
        self._files = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="artifacts")
        self._blocks = ThreadPoolExecutor(BLOCKS_AT_ONCE, thread_name_prefix="blocks")
        self._room = _Room(WAITING_BYTES, WAITING_FILES)
        self._sending: list[Future[None]] = []
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    @property
    def address(self) -> str:
        return str(self._address)

    def ready(self) -> None:
        """Make sure that content can be kept here: a block is sent that never becomes a blob, and a name is asked for.

        Raises:
            UserError: it cannot; says why and what to do.
        """
        blob = self._blob(self.layout.probe)
        with sentences(self._address):
            retried(lambda: blob.stage_block("probe", b"x", length=1), BRIEF)
            self._properties(self.layout.probe, BRIEF)

    def put(self, stream: BinaryIO, limit: int | None = None, name: str | None = None) -> Kept:
        """Read a stream to its end and send it. More than ``limit`` bytes: ValueError, and nothing is kept.

        An error of the stream passes through as it is.

        Raises:
            UserError: something that was put before could not be sent.
        """
        if self._failure is not None:
            raise self._failure
        content = take(stream, limit)
        self._room.enter(len(content.memory))
        with self._lock:
            self._sending = [each for each in self._sending if not each.done()]
            self._sending.append(self._files.submit(self._keep, content, name))
        return content.kept

    def flush(self) -> None:
        """Wait until everything that was put has arrived.

        Raises:
            UserError: something could not be sent.
        """
        with self._lock:
            sending, self._sending = self._sending, []
        wait(sending)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    @contextlib.contextmanager
    def open(self, sha256: str, begun: Iterable[bytes] = ()) -> Iterator[BinaryIO]:
        """The content (what follows ``begun``), verified while it is read: not even the last block is given when the
        whole is wrong.

        Raises:
            KeyError: it is not there.
            DamagedError: the bytes are not those of this SHA-256 (raised at the latest by the last read).
        """
        self.flush()
        with sentences(self._address):
            place = self._place_of(sha256)
        if place is None:
            raise KeyError(sha256)
        kept = Kept(sha256, place.size)
        with BlobReader(
            self._blob(place.name), kept, self._blocks, lambda error: sentence(error, self._address), begun
        ) as raw:
            yield io.BufferedReader(raw)

    def contains(self, sha256: str) -> bool:
        self.flush()
        with sentences(self._address):
            place = self._place_of(sha256)
            return place is not None and self._properties(place.name) is not None

    def remove(self, sha256: str) -> None:
        """Forget it; what is not there is fine."""
        self.flush()
        with sentences(self._address):
            place = self._place_of(sha256)
            if place is None:
                return
            self._delete(self.layout.content(sha256))  # first: a name without content would be a promise
            if holds(self._blob(place.name), sha256, place.size):
                self._delete(place.name)

    def walk(self) -> Iterator[Kept]:
        """Everything that is kept for this project, in order of SHA-256."""
        self.flush()
        with sentences(self._address):
            for found in self._container.list_blobs(name_starts_with=self.layout.contents, include=["metadata"]):
                place, sha256 = _place(found.metadata), found.name.rpartition("/")[2]
                if place is not None and _SHA256.fullmatch(sha256):
                    yield Kept(sha256, place.size)

    def check(self, sha256: str) -> bool:
        """Whether the bytes that are kept are the right ones. KeyError when not there."""
        try:
            with self.open(sha256) as stream:
                while stream.read(1 << 20):
                    pass
        except DamagedError:
            return False
        return True

    def foreign(self) -> Iterator[str]:
        """The names of blobs of this project that were not put there by a store of ours: their SHA-256 is not told, or
        that of an empty one is not told as we do."""
        self.flush()
        top = f"{self.layout.folder}/"
        with sentences(self._address):
            for found in self._container.list_blobs(name_starts_with=top, include=["metadata"]):
                sha256 = found.name.rpartition("/")[2]
                if found.name.startswith(self.layout.contents):
                    is_ours = found.name == self.layout.content(sha256) and _place(found.metadata) is not None
                else:
                    run_id = found.name.removeprefix(top).partition("/")[0]
                    is_live = found.name == self.layout.run_file(run_id) or found.name.startswith(
                        self.layout.live(run_id)
                    )
                    is_ours = is_live or bool(_SHA256.fullmatch((found.metadata or {}).get(SHA256, "")))
                if not is_ours:
                    yield found.name

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(name)

    def _keep(self, content: Content, name: str | None) -> None:
        """Send content, unless the project has it, and write down where it lies."""
        try:
            if self._failure is None:
                with self._only_one(content.kept.sha256), sentences(self._address):
                    self._keep_as(content, self._name_of(content.kept.sha256, name))
        except Exception as error:
            self._failure = self._failure or self._with_next_step(error)
        finally:
            self._room.leave(len(content.memory))
            content.close()

    def _with_next_step(self, error: Exception) -> Exception:
        """The error of a run that ended and is not kept yet says how it is gone on with."""
        if not isinstance(error, UserError) or not self._access.run_id:
            return error
        return type(error)(error.what, f"{error.remedy} Then: amltool wait {self._access.run_id}")

    def _keep_as(self, content: Content, name: str) -> None:
        kept = content.kept
        blob = self._blob(name)
        known = self._place_of(kept.sha256)
        if known is not None and known.size == kept.size:
            if known.name != name and holds(blob, kept.sha256, kept.size):
                return
            source = self._blob(known.name)
            if holds(source, kept.sha256, kept.size) and (
                known.name == name or copy(source, blob, kept, self._metadata(kept))
            ):
                return
        # of a large file an earlier process may have sent all and not said so
        if content.file is None or not holds(blob, kept.sha256, kept.size):
            upload(blob, content, self._metadata(kept), self._blocks)
        self._say_where(kept, name)

    def _metadata(self, kept: Kept) -> dict[str, str]:
        said = {SHA256: kept.sha256, "commit": self._access.commit, "run_id": self._access.run_id}
        return {key: value for key, value in said.items() if value}

    def _say_where(self, kept: Kept, name: str) -> None:
        said = {"place": quote(name, safe="/"), "size": str(kept.size)}
        blob = self._blob(self.layout.content(kept.sha256))
        retried(lambda: blob.upload_blob(b"", length=0, overwrite=True, metadata=said))

    def _name_of(self, sha256: str, name: str | None) -> str:
        if name is None or not self._access.run_id:
            return self.layout.unnamed(sha256)
        return self.layout.artifact(self._access.run_id, name)

    def _place_of(self, sha256: str) -> Place | None:
        if not _SHA256.fullmatch(sha256):
            return None
        return _place(self._properties(self.layout.content(sha256)))

    def _properties(self, name: str, patience: Patience = PATIENT) -> dict[str, str] | None:
        """The metadata of a blob; ``None`` where it is not there."""
        from azure.core.exceptions import HttpResponseError

        try:
            return dict(retried(self._blob(name).get_blob_properties, patience).metadata or {})
        except HttpResponseError as error:
            if is_absent(error):
                return None
            raise

    def _delete(self, name: str) -> None:
        from azure.core.exceptions import HttpResponseError

        try:
            retried(self._blob(name).delete_blob)
        except HttpResponseError as error:
            if not is_absent(error):
                raise

    @contextlib.contextmanager
    def _only_one(self, sha256: str) -> Iterator[None]:
        """Of the same content one is sent at a time: the next finds it there and is copied."""
        with self._lock:
            lock = self._locks.setdefault(sha256, threading.Lock())
        with lock:
            yield


def _place(metadata: dict[str, str] | None) -> Place | None:
    """The metadata of the empty blob of a SHA-256; foreign ones say nothing."""
    said = metadata or {}
    name, size = said.get("place", ""), said.get("size", "")
    return Place(unquote(name), int(size)) if name and re.fullmatch(r"[0-9]{1,18}", size) else None


class _Room:
    """The most that may wait at once, in bytes and in files; one that is larger than all of it waits alone."""

    def __init__(self, size: int, count: int) -> None:
        self._size, self._count = size, count
        self._bytes = self._waiting = 0
        self._changed = threading.Condition()

    def enter(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting == 0 or self._fits(size))
            self._bytes += size
            self._waiting += 1

    def leave(self, size: int) -> None:
        with self._changed:
            self._bytes -= size
            self._waiting -= 1
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self._waiting < self._count and self._bytes + size <= self._size
