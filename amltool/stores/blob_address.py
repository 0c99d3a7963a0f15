"""Addresses of artifact stores in Azure Blob Storage: ``azure://ACCOUNT/CONTAINER[/PREFIX]``."""

from __future__ import annotations

import re

import msgspec

from amltool.errors import UserError

SCHEME = "azure"
LONGEST_PREFIX = 300
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$root")
_PREFIX_PART = re.compile(r"[A-Za-z0-9_.=+@~,()!-]*[A-Za-z0-9_=+@~,()!-]")


class BlobAddress(msgspec.Struct, frozen=True):
    """A folder in a container of a storage account; ``prefix`` is empty for the container itself."""

    account: str
    container: str
    prefix: str = ""

    def __str__(self) -> str:
        """The address that a record has."""
        return "/".join([f"{SCHEME}://{self.account}", self.container, *([self.prefix] if self.prefix else [])])


def parse_blob_address(address: str) -> BlobAddress:
    """Read ``azure://ACCOUNT/CONTAINER[/PREFIX]``.

    Raises:
        UserError: it has another form.
    """
    account, _, rest = address.partition("://")[2].partition("/")
    container, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    parts = prefix.split("/") if prefix else []
    if (
        not _ACCOUNT.fullmatch(account)
        or not _CONTAINER.fullmatch(container)
        or len(prefix) > LONGEST_PREFIX
        or not all(_PREFIX_PART.fullmatch(part) for part in parts)
    ):
        raise UserError(
            f"The artifact store {address!r} names no container of a storage account.",
            "Write it as azure://ACCOUNT/CONTAINER or azure://ACCOUNT/CONTAINER/PREFIX: the account's name alone, in "
            "lower case; where it is not at the usual place, its URL goes into artifact_store_url.",
        )
    return BlobAddress(account, container, prefix)
