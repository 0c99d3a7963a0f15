"""Send content to a blob: small content in one request, more in blocks that a later process need not send again."""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from typing import TYPE_CHECKING

from amltool.stores.blob_content import Block, Content
from amltool.stores.blob_requests import SpoiledError, is_absent, retried

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

SHA256 = "sha256"
"""The metadata of a blob that holds the SHA-256 of its content in hex."""


def upload(blob: BlobClient, content: Content, metadata: Mapping[str, str], blocks: Executor) -> None:
    """Send content whole; the blob is there with all of it, or as it was. Blocks are sent side by side by ``blocks``.

    A block that an earlier process sent is not sent again: its name tells its place and its SHA-256.
    """
    if content.file is None:
        _send_whole(blob, content.memory, metadata)
        return
    arrived = _arrived(blob)
    missing = [block for block in content.blocks if block.id not in arrived]
    _all_sent([blocks.submit(_send, blob, content, block) for block in missing])
    _commit(blob, content, metadata)
    if not holds(blob, content.kept.sha256, content.kept.size):
        raise SpoiledError("the blob is not as large as what was sent")


def holds(blob: BlobClient, sha256: str, size: int) -> bool:
    """Return True if a blob is there, as large as that, and says that it has this SHA-256."""
    from azure.core.exceptions import HttpResponseError

    try:
        found = retried(blob.get_blob_properties)
    except HttpResponseError as error:
        if is_absent(error):
            return False
        raise
    return bool(found.size == size and (found.metadata or {}).get(SHA256) == sha256)


def _send_whole(blob: BlobClient, content: bytes, metadata: Mapping[str, str]) -> None:
    retried(
        lambda: blob.upload_blob(
            io.BytesIO(content), length=len(content), overwrite=True, metadata=dict(metadata), validate_content=True
        )
    )


def _arrived(blob: BlobClient) -> set[str]:
    from azure.core.exceptions import HttpResponseError

    try:
        return {str(block.id) for block in retried(lambda: blob.get_block_list("uncommitted"))[1]}
    except HttpResponseError as error:
        if is_absent(error):
            return set()
        raise


def _send(blob: BlobClient, content: Content, block: Block) -> None:
    part = content.read(block)
    retried(lambda: blob.stage_block(block.id, io.BytesIO(part), length=len(part), validate_content=True))


def _all_sent(sending: list[Future[None]]) -> None:
    try:
        wait(sending, return_when=FIRST_EXCEPTION)
        for each in sending:
            if each.done() and not each.cancelled():
                each.result()
        wait(sending)
    finally:
        for each in sending:
            each.cancel()
    for each in sending:
        each.result()


def _commit(blob: BlobClient, content: Content, metadata: Mapping[str, str]) -> None:
    from azure.storage.blob import BlobBlock

    listed = [BlobBlock(block.id) for block in content.blocks]
    retried(lambda: blob.commit_block_list(listed, metadata=dict(metadata), validate_content=True))
