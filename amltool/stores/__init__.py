"""Artifact stores: where artifacts are kept. A new one is a file beside this and a line in `STORES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amltool.artifact import STORED_HERE
from amltool.errors import UserError
from amltool.stores.base import Access, ArtifactStore
from amltool.stores.live import LiveStore


def _directory(address: str, _: Access) -> ArtifactStore:
    from amltool.stores.directory import DirectoryStore

    return DirectoryStore(_folder(address), address)


def _live_folder(address: str, access: Access) -> LiveStore:
    from amltool.stores.live_folder import LiveFolder

    return LiveFolder(_folder(address), access)


def _folder(address: str) -> Path:
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(address)
    except ValueError:
        raise _no_folder(address) from None
    folder = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not folder.is_absolute() or "\0" in str(folder):
        raise _no_folder(address)
    return folder


def _no_folder(address: str) -> UserError:
    return UserError(f"The artifact store {address!r} names no folder.", "Write it as file:///absolute/folder.")


def _azure(address: str, access: Access) -> ArtifactStore:
    from amltool.stores.azure_blob import open_blob_store

    return open_blob_store(address, access)


def _live_blobs(address: str, access: Access) -> LiveStore:
    from amltool.stores.live_blobs import open_live_blobs

    return open_live_blobs(address, access)


STORES: dict[str, Callable[[str, Access], ArtifactStore]] = {
    "file": _directory,
    "azure": _azure,
}
"""Scheme of an address -> what opens the store there."""
LIVE: dict[str, Callable[[str, Access], LiveStore]] = {
    "file": _live_folder,
    "azure": _live_blobs,
}
"""The same for what it shows of runs that go on."""


def open_store(address: str | None, here: Path, access: Access | None = None) -> ArtifactStore:
    """The artifact store of an address; ``None`` and ``file`` mean this clone's own, in the folder ``here``.

    An address is what the setting ``artifact_store`` or an artifact's ``store`` says: a folder (absolute, or from
    ``~``), or a URL of a scheme in `STORES`. A folder elsewhere has the address ``file:///...`` in records. A store in
    a storage account is opened for a project, with what signs in there (``access``).

    Raises:
        UserError: no store can be at this address.
    """
    if address is None or address == STORED_HERE:
        from amltool.stores.directory import DirectoryStore

        return DirectoryStore(here)
    scheme, address = _scheme_of(address)
    if scheme not in STORES:
        raise UserError(
            f"The artifact store {address!r} cannot be opened: there is no such kind.",
            "Name a folder in its place, such as /absolute/folder, or azure://ACCOUNT/CONTAINER: artifact_store in "
            "aml_config/project.yml, or artifactStore in the .compute.",
        )
    return STORES[scheme](address, access or Access())


def open_live(address: str | None, access: Access) -> LiveStore | None:
    """The runs that a store of a project shows while they go on; ``None`` for this clone's own, and one that cannot.

    Raises:
        UserError: no store can be at this address.
    """
    if address is None or address == STORED_HERE:
        return None
    scheme, address = _scheme_of(address)
    return LIVE[scheme](address, access) if scheme in LIVE else None


def _scheme_of(address: str) -> tuple[str, str]:
    if "://" not in address:
        address = _folder_address(address)
    return address.partition("://")[0].lower(), address


def _folder_address(folder: str) -> str:
    try:
        path = Path(folder).expanduser()
    except RuntimeError:
        path = Path(folder)
    if not path.is_absolute():
        raise UserError(
            f"The artifact store {folder!r} is neither an absolute folder nor an address.",
            "Write an absolute folder, or one from the home folder: artifact_store: ~/artifacts",
        )
    return path.as_uri()
