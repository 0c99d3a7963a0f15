"""Requests to Azure Blob Storage: asked again where that helps, and errors said as sentences without a secret."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from amltool.errors import TargetError, UserError
from amltool.stores.blob_address import BlobAddress
from amltool.stores.blob_sign_in import CREDENTIAL_KEY

T = TypeVar("T")
BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of a service that may answer later (Azure: "Storage error codes", retryable ones)."""
_REASON = re.compile(
    r"\[Errno -?\d+\] ([A-Za-z][A-Za-z ,'-]{2,80})|(timed out|reset by peer|certificate verify failed)"
)


class Patience(msgspec.Struct, frozen=True):
    """The number of tries of a request, and the seconds before the next: doubled each time, up to the longest."""

    tries: int
    first_s: float = 0.25
    longest_s: float = 15.0

    def seconds(self, tried: int, asked_for: float | None) -> float:
        """Seconds before the next try; the service may ask for more."""
        own = min(self.longest_s, self.first_s * 2.0**tried) * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        return max(own, min(asked_for or 0.0, 2 * self.longest_s))


PATIENT = Patience(tries=7)
"""About 16 s, for what was computed."""
BRIEF = Patience(tries=3)
"""Less than a second, for a question before anything runs."""


def pause(seconds: float) -> None:
    """Wait before the next try."""
    time.sleep(seconds)


def retried(ask: Callable[[], T], patience: Patience = PATIENT) -> T:
    """Give the result of a request; it is made again when the service was busy or the connection broke."""
    tried = 0
    while True:
        try:
            return ask()
        except Exception as error:
            tried += 1
            if tried >= patience.tries or not is_passing(error):
                raise
            pause(patience.seconds(tried - 1, _asked_for(error)))


def is_passing(error: BaseException) -> bool:
    """Return True if the same request may succeed later: 408, 429, 5xx, a connection that broke or could not be made,
    bytes that were spoiled on the way."""
    from azure.core import exceptions

    if isinstance(error, exceptions.ClientAuthenticationError):
        return False
    if isinstance(error, exceptions.HttpResponseError):
        if code_of(error) in ("Md5Mismatch", "InvalidMd5"):
            return True
        return error.status_code is None or error.status_code in BUSY
    if isinstance(error, (exceptions.ServiceRequestError, exceptions.ServiceResponseError)):
        return "certificate verify failed" not in str(error)
    return isinstance(error, (exceptions.IncompleteReadError, SpoiledError))


class SpoiledError(Exception):
    """The service got, or gave, other bytes than were sent."""


def _asked_for(error: BaseException) -> float | None:
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    try:
        return float(headers.get("Retry-After", ""))
    except ValueError:
        return None


def code_of(error: BaseException) -> str:
    """The error code of the service (``BlobNotFound``), empty where it gave none."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def is_absent(error: BaseException) -> bool:
    """Return True if a blob is not there; a container that is not there is another matter."""
    return getattr(error, "status_code", None) == 404 and code_of(error) != "ContainerNotFound"


@contextlib.contextmanager
def sentences(address: BlobAddress) -> Iterator[None]:
    """Say the errors of a client as sentences.

    Raises:
        TargetError: in place of an error of the service or the way to it.
    """
    from azure.core.exceptions import AzureError

    try:
        yield
    except (AzureError, SpoiledError) as error:
        raise sentence(error, address) from None  # what a client says may hold the signature of a SAS


def sentence(error: Any, address: BlobAddress) -> UserError:
    """The sentence for an error of a client; nothing that is secret stands in what is taken from it."""
    status, code = getattr(error, "status_code", None), code_of(error)
    where = f"The storage account {address.account}"
    if code in ("ContainerNotFound", "ContainerBeingDeleted"):
        return TargetError(
            f"The container {address.container} is not in the storage account {address.account}.",
            f"Make it: az storage container create --account-name {address.account} --name {address.container}",
        )
    if status in (401, 403):
        return TargetError(
            f"{where} refuses the sign-in to the container {address.container} ({code or status}).",
            f"See {CREDENTIAL_KEY}; an identity needs the role Storage Blob Data Contributor there.",
        )
    if isinstance(error, SpoiledError):
        return TargetError(
            f"What is sent to or got from the storage account {address.account} is changed on the way: {error}.",
            "See what lies between (a proxy, a faulty network card), then run the same command again.",
        )
    if status is None:
        return TargetError(
            f"{where} does not answer: {_reason(error)}.",
            "See that this machine reaches it (artifact_store_url names another place), then run the same command "
            "again.",
        )
    return TargetError(
        f"{where} answers with {status}{f' ({code})' if code else ''}.", "Run the same command again later."
    )


def _reason(error: Exception) -> str:
    """Why there was no answer, in words that hold no part of a URL."""
    from azure.core.exceptions import ServiceRequestError

    if found := _REASON.search(str(error)):
        return str(found[1] or found[2]).strip().lower()
    return "no connection can be made" if isinstance(error, ServiceRequestError) else "the connection broke"
