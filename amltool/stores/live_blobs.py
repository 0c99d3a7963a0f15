"""Runs that go on, shown in Azure Blob Storage: append blobs, each grown at the length that was seen, never over it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from amltool.layout import BlobLayout
from amltool.run import RUN_ID
from amltool.stores.base import Access
from amltool.stores.blob_address import BlobAddress
from amltool.stores.blob_requests import BRIEF, code_of, is_absent, retried, sentences
from amltool.stores.blob_sign_in import open_container
from amltool.stores.live import LARGEST_STATE, MovedError

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

CONNECTIONS = 4
MOST_APPENDS = 49_000
"""Of one blob; the service ends it at 50,000 (Azure: "Scale targets for Blob Storage")."""
LARGEST_APPEND = 4 << 20
"""Bytes of one append that every version of the service takes."""
_MOVED = ("AppendPositionConditionNotMet", "BlobAlreadyExists", "BlockCountExceedsLimit")
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"


def open_live_blobs(address: str, access: Access) -> LiveBlobs:
    """The live store of an address for a project; asks nothing yet.

    Raises:
        UserError: the address has another form, or its credential cannot be found.
        MissingExtraError: the packages of Azure are not installed.
    """
    place, container = open_container(address, access.sign_in, CONNECTIONS)
    return LiveBlobs(place, access, container)


class Part(msgspec.Struct, frozen=True):
    """An append blob: its name, its length in bytes, and of how many appends that is made; a list does not tell.

    Only one whose number is known is appended to: else two clients might disagree whether it has room.
    """

    name: str
    length: int
    appends: int | None = None


class LiveBlobs:
    """A file is one append blob, and further ones when that has no room for more appends.

    For one thread at a time, as whoever drives or follows a run has it.
    """

    def __init__(self, address: BlobAddress, access: Access, container: ContainerClient) -> None:
        self._address = address
        self._container = container
        self._layout = BlobLayout(address.prefix, access.account, access.workspace, access.project)
        self._known: dict[tuple[str, str], list[Part]] = {}

    def publish(self, run_id: str, state: bytes) -> None:
        blob = self._blob(self._layout.run_file(run_id))
        with sentences(self._address):
            retried(
                lambda: blob.upload_blob(
                    state,
                    length=len(state),
                    overwrite=True,
                    metadata={"run_id": run_id},
                    content_settings=_kind(_JSON),
                    validate_content=True,
                ),
                BRIEF,
            )

    def state(self, run_id: str) -> bytes | None:
        with sentences(self._address):
            content = self._range(self._layout.run_file(run_id), 0, LARGEST_STATE + 1)
        return None if content is None or len(content) > LARGEST_STATE else content

    def runs(self) -> list[str]:
        top = f"{self._layout.folder}/"
        with sentences(self._address):
            found = retried(lambda: list(self._container.walk_blobs(name_starts_with=top, delimiter="/")), BRIEF)
        names = [each.name.removeprefix(top).rstrip("/") for each in found if each.name.endswith("/")]
        return sorted(filter(RUN_ID.fullmatch, names), reverse=True)

    def append(self, run_id: str, path: str, position: int, content: bytes) -> int:
        self._layout.live_part(run_id, path)  # ValueError where it is too long
        with sentences(self._address), self._moved(run_id, path):
            parts = self._parts(run_id, path)
            if _length(parts) != position:
                self._known.pop((run_id, path))
                raise MovedError(_length(self._parts(run_id, path)))
            for start in range(0, len(content), LARGEST_APPEND):
                self._append(run_id, path, parts, content[start : start + LARGEST_APPEND])
        return position + len(content)

    def lengths(self, run_id: str) -> dict[str, int]:
        with sentences(self._address):
            self._look(run_id)
        return {path: _length(parts) for (run, path), parts in self._known.items() if run == run_id}

    def read(self, run_id: str, path: str, position: int, most: int) -> bytes:
        with sentences(self._address):
            for part in self._parts(run_id, path):
                if position < part.length:
                    return self._range(part.name, position, min(most, part.length - position)) or b""
                position -= part.length
        return b""

    def restart(self, run_id: str, path: str) -> None:
        with sentences(self._address):
            for part in reversed(self._parts(run_id, path)):
                self._delete(part.name)
        self._known.pop((run_id, path), None)

    def finish(self, run_id: str) -> None:
        with sentences(self._address):
            self._look(run_id)
            for parts in self._of(run_id).values():
                for part in reversed(parts):
                    self._delete(part.name)
        for path in self._of(run_id):
            del self._known[run_id, path]

    def remove(self, run_id: str) -> None:
        self.finish(run_id)
        with sentences(self._address):
            self._delete(self._layout.run_file(run_id))

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(name)

    def _of(self, run_id: str) -> dict[str, list[Part]]:
        return {path: parts for (run, path), parts in self._known.items() if run == run_id}

    def _parts(self, run_id: str, path: str) -> list[Part]:
        if (run_id, path) not in self._known:
            self._look(run_id)
        return self._known.setdefault((run_id, path), [])

    def _look(self, run_id: str) -> None:
        """Find out which files of a run there are, and how long they are."""
        found: dict[str, dict[int, Part]] = {}
        prefix = self._layout.live(run_id)
        for blob in retried(lambda: list(self._container.list_blobs(name_starts_with=prefix)), BRIEF):
            file = self._layout.live_file(run_id, blob.name)
            if file is not None:
                found.setdefault(file[0], {})[file[1]] = Part(blob.name, int(blob.size))
        for path in self._of(run_id):
            del self._known[run_id, path]
        for path, numbered in found.items():
            self._known[run_id, path] = [numbered[number] for number in _without_gap(numbered)]

    def _append(self, run_id: str, path: str, parts: list[Part], content: bytes) -> None:
        if parts and parts[-1].appends is None:
            parts[-1] = self._counted(parts[-1])
        if not parts or (parts[-1].appends or 0) >= MOST_APPENDS:
            parts.append(self._begun(run_id, path, len(parts) + 1))
        last = parts[-1]
        blob = self._blob(last.name)
        answer: dict[str, Any] = retried(
            lambda: blob.append_block(
                content, length=len(content), appendpos_condition=last.length, validate_content=True
            ),
            BRIEF,
        )
        parts[-1] = Part(last.name, last.length + len(content), int(answer["blob_committed_block_count"]))

    def _begun(self, run_id: str, path: str, number: int) -> Part:
        from azure.core import MatchConditions

        name = self._layout.live_part(run_id, path, number)
        blob = self._blob(name)
        retried(
            lambda: blob.create_append_blob(
                content_settings=_kind(_TEXT), metadata={"run_id": run_id}, match_condition=MatchConditions.IfMissing
            ),
            BRIEF,
        )
        return Part(name, 0, 0)

    def _counted(self, part: Part) -> Part:
        found = retried(self._blob(part.name).get_blob_properties, BRIEF)
        return Part(part.name, int(found.size), int(found.append_blob_committed_block_count or 0))

    @contextlib.contextmanager
    def _moved(self, run_id: str, path: str) -> Iterator[None]:
        """Look again where a blob was not as it was known."""
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            yield
        except HttpResponseError as error:
            self._known.pop((run_id, path), None)
            if code_of(error) not in _MOVED and not is_absent(error):
                raise
        except AzureError:
            self._known.pop((run_id, path), None)  # nobody knows whether it arrived
            raise
        else:
            return
        raise MovedError(_length(self._parts(run_id, path))) from None

    def _range(self, name: str, start: int, size: int) -> bytes | None:
        """Some bytes of a blob, fewer at its end; ``None`` where it is not there."""
        from azure.core.exceptions import HttpResponseError

        blob = self._blob(name)
        try:
            return bytes(retried(lambda: blob.download_blob(offset=start, length=size).readall(), BRIEF))
        except HttpResponseError as error:
            if is_absent(error):
                return None
            if error.status_code == 416:  # it became shorter
                return b""
            raise

    def _delete(self, name: str) -> None:
        from azure.core.exceptions import HttpResponseError

        try:
            retried(self._blob(name).delete_blob, BRIEF)
        except HttpResponseError as error:
            if not is_absent(error):
                raise


def _kind(content_type: str) -> Any:
    from azure.storage.blob import ContentSettings

    return ContentSettings(content_type=content_type)


def _length(parts: list[Part]) -> int:
    return sum(part.length for part in parts)


def _without_gap(numbered: dict[int, Part]) -> Iterator[int]:
    """1, 2, … as far as there are parts."""
    number = 1
    while number in numbered:
        yield number
        number += 1
