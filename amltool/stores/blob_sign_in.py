"""Sign in to a storage account: by connection string, account key or SAS, else by an identity of `azure-identity`."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from amltool.configuration.secrets import REFERENCE_FORMS, first_line
from amltool.errors import TargetError, UserError
from amltool.extras import AZURE, is_installed, missing
from amltool.files import write_whole
from amltool.stores.base import SignIn
from amltool.stores.blob_address import BlobAddress, parse_blob_address

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

USUAL_ENDING = "core.windows.net"
AZURE_ENDINGS = (".core.windows.net", ".core.chinacloudapi.cn", ".core.usgovcloudapi.net", ".storage.azure.net")
"""The domains of Azure's storage accounts: of all that is public, of the sovereign clouds, of DNS zones."""
TRUSTED_HOSTS = "AMLTOOL_STORE_HOSTS"
"""The variable that names other hosts, with commas: settings come with a repository, which may be anybody's."""
CONNECT_S, READ_S = 20.0, 60.0
SENT_AT_ONCE = 1 << 16
"""Bytes given to the network at once: the time-out is for each, so that a slow line is no dead one."""
CREDENTIAL_KEY = "artifact_store_credential (artifactStoreCredential in a .compute)"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KEY_BYTES = 64


class Login(msgspec.Struct, frozen=True):
    """The URL of an account and what proves who asks: an account key, a SAS, or neither (an identity does)."""

    url: str
    key: str | None = None
    sas: str | None = None

    def __repr__(self) -> str:
        return f"Login(url={self.url!r})"


def open_container(address: str, sign_in: SignIn, connections: int) -> tuple[BlobAddress, ContainerClient]:
    """The place that an address names and a client for it, as `container_client` gives it.

    Raises:
        UserError: the address has another form, or its credential cannot be found.
        MissingExtraError: the packages of Azure are not installed.
    """
    if not is_installed(AZURE):
        raise missing(AZURE)
    place = parse_blob_address(address)
    return place, container_client(place, sign_in, connections)


def container_client(address: BlobAddress, sign_in: SignIn, connections: int) -> ContainerClient:
    """A client of the container of an address, which asks nothing yet; it keeps so many connections.

    Raises:
        UserError: the credential cannot be found, or is none.
    """
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    from azure.storage.blob import ContainerClient

    login = login_of(address, sign_in)
    credential: Any
    if login.key is not None:
        credential = AzureNamedKeyCredential(address.account, login.key)
    elif login.sas is not None:
        credential = AzureSasCredential(login.sas)
    else:
        credential = Identity(sign_in.remembered)
    return ContainerClient(
        login.url,
        address.container,
        credential=credential,
        transport=_transport(connections),
        retry_total=0,  # what may be asked again is decided by `blob_requests`
        connection_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_single_put_size=1 << 30,
        max_single_get_size=1 << 30,
    )


def login_of(address: BlobAddress, sign_in: SignIn) -> Login:
    """Find out what a credential is by its form: a connection string, a SAS (also a URL with one), an account key.

    Raises:
        UserError: it cannot be found, is none of them, or belongs to another account.
    """
    usual = f"https://{address.account}.blob.{USUAL_ENDING}"
    if sign_in.credential is None:
        return Login(_trusted(sign_in.url, usual, address) if sign_in.url else usual)
    secret = sign_in.credential.resolve().strip()
    login = _login(secret, address.account, usual)
    if login is None:
        raise UserError(
            f"{sign_in.credential} holds neither a connection string, nor a SAS, nor an account key.",
            f"Copy one of them from the storage account {address.account}, and name it in {CREDENTIAL_KEY} as "
            f"{REFERENCE_FORMS}.",
        )
    if sign_in.url:
        own = sign_in.url if login.key is not None else _trusted(sign_in.url, login.url, address)
        login = msgspec.structs.replace(login, url=own)
    if login.sas is not None and not _is_private(login.url):
        raise UserError(
            f"The SAS in {sign_in.credential} would go to {login.url} in plain text.", "Use https:// for that URL."
        )
    return login


def _trusted(url: str, own: str, address: BlobAddress) -> str:
    """A URL from the settings, to which a token or a SAS may go as it is; an account key only signs.

    Raises:
        UserError: it leads to nothing of Azure's, nor to a host that this user named outside of the repository.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    named = {each.strip().lower() for each in os.environ.get(TRUSTED_HOSTS, "").split(",")}
    if host.endswith(AZURE_ENDINGS) or host == urlsplit(own).hostname or host in LOOPBACK or host in named:
        return url
    raise UserError(
        f"The settings of the artifact store azure://{address.account}/{address.container} send what signs you in to "
        f"{host or url}, which is no host of Azure Storage.",
        f"If it is yours, say so outside of the repository: export {TRUSTED_HOSTS}={host or 'HOST'}",
    )


def _login(secret: str, account: str, usual: str) -> Login | None:
    if ";" in secret or secret.lower().startswith(("accountname=", "blobendpoint=")):
        return _by_connection_string(secret, account)
    if "sig=" in secret:
        url, mark, sas = secret.rpartition("?")
        parts = urlsplit(url)
        own = f"{parts.scheme}://{parts.netloc}" if mark and parts.netloc else usual
        return Login(own, sas=sas)
    return Login(usual, key=secret) if _is_key(secret) else None


def _by_connection_string(secret: str, account: str) -> Login | None:
    said = {key.lower(): value for key, _, value in (part.partition("=") for part in secret.split(";"))}
    named = said.get("accountname", account)
    if named != account:
        raise UserError(
            f"The connection string is for the storage account {named}, and the artifact store lies in {account}.",
            f"Name another one in {CREDENTIAL_KEY}, or put azure://{named}/... in the place of the artifact store.",
        )
    ending = said.get("endpointsuffix") or USUAL_ENDING
    scheme = said.get("defaultendpointsprotocol") or "https"
    url = (said.get("blobendpoint") or f"{scheme}://{account}.blob.{ending}").rstrip("/")
    if sas := said.get("sharedaccesssignature"):
        return Login(url, sas=sas.lstrip("?"))
    key = said.get("accountkey", "")
    return Login(url, key=key) if _is_key(key) else None


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) >= _KEY_BYTES // 2
    except (binascii.Error, ValueError):
        return False


def _is_private(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in LOOPBACK


def _transport(connections: int) -> Any:
    from azure.core.pipeline.transport import RequestsTransport
    from requests import Session
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **{**options, "blocksize": SENT_AT_ONCE})

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter(pool_connections=2, pool_maxsize=connections))
    return RequestsTransport(session=session)


def _kinds() -> Mapping[str, Callable[[], Any]]:
    """Kinds of identity by name, the quick ones first: asking for a managed one may take 10 s where there is none."""
    import azure.identity as identity

    return {
        "environment": identity.EnvironmentCredential,
        "workload": identity.WorkloadIdentityCredential,
        "az": lambda: identity.AzureCliCredential(process_timeout=30),
        "azd": lambda: identity.AzureDeveloperCliCredential(process_timeout=30),
        "powershell": lambda: identity.AzurePowerShellCredential(process_timeout=30),
        "managed": identity.ManagedIdentityCredential,
    }


class Identity:
    """The first identity of this user or machine that gets a token; ``remembered`` is the file that names its kind."""

    def __init__(self, remembered: Path | None, kinds: Callable[[], Mapping[str, Callable[[], Any]]] = _kinds) -> None:
        self._remembered = remembered
        self._kinds = kinds
        self._found: Any = None
        self._lock = threading.Lock()

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token for scopes, as azure-core asks for it.

        Raises:
            TargetError: no identity has one; says why of each.
        """
        with self._lock:
            if self._found is None:
                return self._first(scopes, options)
        return self._found.get_token(*scopes, **options)

    def _first(self, scopes: tuple[str, ...], options: Mapping[str, Any]) -> Any:
        kinds = self._kinds()
        last = self._read()
        said: list[str] = []
        for name in sorted(kinds, key=lambda one: one != last):
            try:
                credential = kinds[name]()
                token = credential.get_token(*scopes, **options)
            except Exception as error:  # each kind has errors of its own
                said.append(f"{name}: {first_line(error)}")
                continue
            self._found = credential
            if name != last:
                self._write(name)
            return token
        raise TargetError(
            f"No identity can sign in to the storage account ({'; '.join(said)}).",
            f"Sign in with `az login`, or name a connection string, a SAS or an account key in {CREDENTIAL_KEY}, as "
            f"{REFERENCE_FORMS}.",
        )

    def _read(self) -> str | None:
        with contextlib.suppress(OSError, ValueError):
            return self._remembered.read_text("ascii").strip() if self._remembered else None
        return None

    def _write(self, name: str) -> None:
        if self._remembered is not None:
            with contextlib.suppress(OSError):
                self._remembered.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._remembered, f"{name}\n".encode())
