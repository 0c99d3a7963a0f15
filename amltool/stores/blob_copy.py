"""Have the service copy a blob within a storage account, so that the same content is not sent twice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amltool.stores.base import Kept
from amltool.stores.blob_requests import is_passing, retried
from amltool.stores.blob_upload import holds

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

LONGEST_COPY_S = 60.0
LOOK_AGAIN_S = 0.1


def copy(source: BlobClient, blob: BlobClient, kept: Kept, metadata: Mapping[str, str]) -> bool:
    """Copy a blob whose content is known; false where the service does not, or not soon, and it has to be sent."""
    from azure.core.exceptions import HttpResponseError

    try:
        began: dict[str, Any] = retried(lambda: blob.start_copy_from_url(source.url, metadata=dict(metadata)))
        until = time.monotonic() + LONGEST_COPY_S
        status = began["copy_status"]
        while status == "pending" and time.monotonic() < until:
            time.sleep(LOOK_AGAIN_S)
            status = retried(blob.get_blob_properties).copy.status
        if status == "pending":
            blob.abort_copy(began["copy_id"])
    except HttpResponseError as error:
        if is_passing(error):
            raise
        return False
    return status == "success" and holds(blob, kept.sha256, kept.size)
