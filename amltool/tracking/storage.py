"""For scripts: durable storage in an Azure storage account, signed in to by what the run was given; Python 3.6.

    from amltool.tracking import storage

    storage.blob_client("data/big.parquet").upload_blob(stream, overwrite=True)
    storage.container_client("raw", account="other").download_blob("x.csv").readinto(stream)

The project's account and container are those of the setting ``storage``; what signs in comes in variables of the run
(``storage_credential``), for another account in ``AMLTOOL_STORAGE_CREDENTIAL_ACCOUNT``. The run needs the package
``azure-storage-blob`` (12 or newer), and ``azure-identity`` where no credential is given.
"""

import os
import re
from typing import Any, NamedTuple, Optional

__all__ = ["account", "account_key", "blob_client", "container_client"]

PLACE, CREDENTIAL, URL = "AMLTOOL_STORAGE", "AMLTOOL_STORAGE_CREDENTIAL", "AMLTOOL_STORAGE_URL"
_ADDRESS = re.compile(r"azure://([a-z0-9]{3,24})/([a-z0-9$][a-z0-9-]{0,62})(?:/(.*))?")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_USUAL = "https://%s.blob.core.windows.net"
_LOCAL = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?:[:/]|$)")

Place = NamedTuple("Place", [("account", str), ("container", str), ("prefix", str)])
Login = NamedTuple("Login", [("url", str), ("credential", Any)])
"""The URL of an account, and what the package takes as ``credential`` (``None``: nothing was given)."""


def account() -> str:
    """The name of the project's storage account. Raises LookupError where the settings name none."""
    return _place().account


def account_key(account: Optional[str] = None) -> str:
    """The key of an account, as ``attach_storage_container`` of Spark takes it.

    Raises:
        LookupError: the run was given none, or a SAS, which Spark cannot use.
    """
    name = account or _place().account
    credential = _login(name).credential
    if not isinstance(credential, dict):
        raise LookupError(
            "The run has no account key for the storage account %s. Give it as a connection string or as the key: "
            "storage_credential in aml_config/project.yml." % name
        )
    return str(credential["account_key"])


def container_client(container: Optional[str] = None, account: Optional[str] = None) -> Any:
    """A ``ContainerClient`` of ``azure-storage-blob``: of the project's container, or of another one by its name.

    Raises:
        LookupError: nothing says which account or container, or what signs in there.
        ImportError: the package is not installed; says how to add it.
    """
    name = account or _place().account
    if container is None:
        if account is not None and account != _place().account:
            raise LookupError("Name the container of the storage account %s." % account)
        container = _place().container
    login = _login(name)
    try:
        from azure.storage.blob import ContainerClient
    except ImportError:
        raise _missing("azure-storage-blob") from None
    return ContainerClient(login.url, container, credential=login.credential or _identity())


def blob_client(path: str, container: Optional[str] = None, account: Optional[str] = None) -> Any:
    """A ``BlobClient`` of one blob. In the project's own container ``path`` goes below the prefix of its address.

    Raises:
        LookupError, ImportError: as `container_client`.
    """
    prefix = "" if container or account else _place().prefix
    return container_client(container, account).get_blob_client((prefix + "/" + path) if prefix else path)


def _place() -> Place:
    said = os.environ.get(PLACE, "")
    found = _ADDRESS.fullmatch(said)
    if found is None:
        what = "%s is %r" % (PLACE, said) if said else "The run was given no storage"
        raise LookupError(
            what + ". Name it in aml_config/project.yml: storage: azure://ACCOUNT/CONTAINER, and "
            "storage_credential: ${env:NAME}; by hand, set %s and %s." % (PLACE, CREDENTIAL)
        )
    return Place(found.group(1), found.group(2), (found.group(3) or "").strip("/"))


def _login(account: str) -> Login:
    """The credential that the run was given for an account, known by its form: connection string, SAS or key."""
    if not _ACCOUNT.fullmatch(account):
        raise LookupError("%r is no name of a storage account: 3 to 24 small letters and digits." % account)
    suffix = "_" + account.upper()
    is_own = _ADDRESS.fullmatch(os.environ.get(PLACE, "")) is not None and _place().account == account
    secret = os.environ.get(CREDENTIAL + suffix) or (os.environ.get(CREDENTIAL, "") if is_own else "")
    url = os.environ.get(URL + suffix) or (os.environ.get(URL, "") if is_own else "")
    secret = secret.strip()
    if not secret:
        return Login(url or _USUAL % account, None)
    if ";" in secret or secret.lower().startswith(("accountname=", "blobendpoint=")):
        return _by_connection_string(secret, account, url)
    if "sig=" in secret:
        return _with_sas(secret.rpartition("?")[2], url or _USUAL % account)
    return Login(url or _USUAL % account, {"account_name": account, "account_key": secret})


def _by_connection_string(secret: str, account: str, url: str) -> Login:
    said = {part.partition("=")[0].lower(): part.partition("=")[2] for part in secret.split(";")}
    named = said.get("accountname", account)
    if named != account:
        raise LookupError("The connection string is for the storage account %s, not for %s." % (named, account))
    scheme, ending = said.get("defaultendpointsprotocol") or "https", said.get("endpointsuffix") or "core.windows.net"
    url = url or said.get("blobendpoint") or "%s://%s.blob.%s" % (scheme, account, ending)
    if said.get("sharedaccesssignature"):
        return _with_sas(said["sharedaccesssignature"].lstrip("?"), url)
    if not said.get("accountkey"):
        raise LookupError("The connection string for the storage account %s has neither a key nor a SAS." % account)
    return Login(url, {"account_name": account, "account_key": said["accountkey"]})


def _with_sas(sas: str, url: str) -> Login:
    if not url.startswith("https://") and not _LOCAL.match(url):
        raise LookupError("The SAS would go to %s in plain text. Use https:// for that URL." % url)
    return Login(url, sas)


def _identity() -> Any:
    """The identity of whoever runs: on a target often a managed one."""
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise _missing("azure-identity (or a credential: storage_credential in aml_config/project.yml)") from None
    return DefaultAzureCredential()


def _missing(package: str) -> ImportError:
    return ImportError(
        "amltool.tracking.storage needs %s. Add the package to pip: in aml_config/conda_dependencies.yml, or install "
        "it for the interpreter that runs." % package
    )
