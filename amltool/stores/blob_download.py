"""Read a blob in ranges that are asked for ahead, and check it by its SHA-256 on the way."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from amltool.errors import DamagedError
from amltool.stores.base import Kept
from amltool.stores.blob_requests import SpoiledError, is_absent, retried

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

RANGE = 4 << 20
AHEAD = 4
"""Ranges of one blob that are asked for before they are read."""


class BlobReader(io.RawIOBase):
    """The content of a blob after ``begun``; the range that ends it is given only when the whole is right.

    A connection that is cut costs the range that was under way. ``saying`` turns an error of the client into a
    sentence.

    Raises:
        KeyError: there is no such blob.
        DamagedError: its bytes are not those of ``kept``.
    """

    def __init__(
        self,
        blob: BlobClient,
        kept: Kept,
        pool: Executor,
        saying: Callable[[Exception], Exception],
        begun: Iterable[bytes] = (),
    ) -> None:
        self._blob = blob
        self._kept = kept
        self._pool = pool
        self._saying = saying
        self._hashed = hashlib.sha256()
        self._got = 0
        for block in begun:
            self._hashed.update(block)
            self._got += len(block)
        self._asked = self._got
        self._now = memoryview(b"")
        self._coming: deque[Future[bytes]] = deque()
        self._etag: str | None = None
        self._next(self._first() if self._got < kept.size or not kept.size else b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while not self._now and self._got < self._kept.size:
            self._ask()
            try:
                content = self._coming.popleft().result()
            except Exception as error:
                raise self._error(error) from None
            self._next(content)
        count = min(len(buffer), len(self._now))
        buffer[:count] = self._now[:count]
        self._now = self._now[count:]
        return count

    def close(self) -> None:
        for each in self._coming:
            each.cancel()
        super().close()

    def _first(self) -> bytes:
        """The first range, with the state of the blob that all others have to be of."""
        try:
            return retried(self._first_range)
        except Exception as error:
            raise self._error(error) from None

    def _first_range(self) -> bytes:
        size, length = self._kept.size, min(RANGE, self._kept.size - self._got)
        options: dict[str, Any] = {"offset": self._got, "length": length} if size else {}
        found = self._blob.download_blob(max_concurrency=1, **options)
        whole = int((found.properties.content_range or f"/{found.properties.size}").rpartition("/")[2])
        if whole != size:
            raise self._damaged(f"it has {whole:,} bytes in place of {size:,}")
        self._etag = found.properties.etag
        content = _whole(found.readall(), length)
        self._asked = self._got + length
        return content

    def _ask(self) -> None:
        while len(self._coming) < AHEAD and self._asked < self._kept.size:
            length = min(RANGE, self._kept.size - self._asked)
            self._coming.append(self._pool.submit(self._range, self._asked, length))
            self._asked += length

    def _range(self, offset: int, length: int) -> bytes:
        from azure.core import MatchConditions

        def get() -> bytes:
            same: dict[str, Any] = {"etag": self._etag, "match_condition": MatchConditions.IfNotModified}
            return _whole(self._blob.download_blob(offset, length, max_concurrency=1, **same).readall(), length)

        return retried(get)

    def _next(self, content: bytes) -> None:
        self._hashed.update(content)
        self._got += len(content)
        self._now = memoryview(content)
        if self._got >= self._kept.size and self._hashed.hexdigest() != self._kept.sha256:
            self._now = memoryview(b"")
            raise self._damaged("its bytes are not those that were put")

    def _error(self, error: Exception) -> Exception:
        from azure.core.exceptions import AzureError

        if not isinstance(error, (AzureError, SpoiledError)):
            return error
        if is_absent(error):
            return KeyError(self._kept.sha256)
        if getattr(error, "status_code", None) in (412, 416):
            return self._damaged("it was replaced")
        return self._saying(error)

    def _damaged(self, how: str) -> DamagedError:
        return DamagedError(
            f"The artifact {self._kept.sha256[:12]} in the artifact store is damaged: {how}.",
            "Run its run again: amltool rerun RUN",
        )


def _whole(content: bytes, length: int) -> bytes:
    if len(content) != length:
        raise SpoiledError(f"{len(content):,} bytes came in place of {length:,}")
    return content
