"""The sign-in of a script to a storage account: by the variables of its run alone."""

from __future__ import annotations

import base64
import sys
from types import ModuleType
from typing import Any

import pytest

from amltool.tracking import storage

KEY = base64.b64encode(b"k" * 64).decode()


class Client:
    def __init__(self, url: str, container: str, credential: Any) -> None:
        self.said = url, container, credential

    def get_blob_client(self, path: str) -> tuple[Any, ...]:
        return (*self.said, path)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMLTOOL_STORAGE", "AMLTOOL_STORAGE_CREDENTIAL", "AMLTOOL_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    packages = {name: ModuleType(name) for name in ("azure", "azure.storage", "azure.storage.blob")}
    packages["azure.storage.blob"].ContainerClient = Client  # type: ignore[attr-defined]
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)


def given(monkeypatch: pytest.MonkeyPatch, credential: str, address: str = "azure://data/raw/team") -> None:
    monkeypatch.setenv("AMLTOOL_STORAGE", address)
    monkeypatch.setenv("AMLTOOL_STORAGE_CREDENTIAL", credential)


USUAL = "https://data.blob.core.windows.net"
BY_KEY = {"account_name": "data", "account_key": KEY}


@pytest.mark.parametrize(
    ("credential", "url", "used"),
    [
        (KEY, USUAL, BY_KEY),
        (f"DefaultEndpointsProtocol=https;AccountName=data;AccountKey={KEY}", USUAL, BY_KEY),
        (f"BlobEndpoint=http://127.0.0.1:1/data;AccountName=data;AccountKey={KEY}", "http://127.0.0.1:1/data", BY_KEY),
        (
            f"AccountName=data;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
            "https://data.blob.core.chinacloudapi.cn",
            BY_KEY,
        ),
        ("sv=1&sig=abc%3D", USUAL, "sv=1&sig=abc%3D"),
        (f"{USUAL}/raw?sv=1&sig=abc", USUAL, "sv=1&sig=abc"),
    ],
)
def test_a_credential_is_known_by_its_form(
    monkeypatch: pytest.MonkeyPatch, credential: str, url: str, used: Any
) -> None:
    given(monkeypatch, credential)
    assert storage.blob_client("x.csv") == (url, "raw", used, "team/x.csv")
    assert storage.container_client("other").said == (url, "other", used)


def test_another_account_has_a_credential_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, KEY)
    monkeypatch.setenv("AMLTOOL_STORAGE_CREDENTIAL_OTHER1", "sv=1&sig=other")
    said = storage.container_client("raw", account="other1").said
    assert said == ("https://other1.blob.core.windows.net", "raw", "sv=1&sig=other")
    with pytest.raises(LookupError, match="Name the container"):
        storage.container_client(account="other1")


def test_spark_gets_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, f"AccountName=data;AccountKey={KEY}")
    assert (storage.account(), storage.account_key()) == ("data", KEY)
    given(monkeypatch, "sv=1&sig=abc")
    with pytest.raises(LookupError, match="no account key"):
        storage.account_key()


@pytest.mark.parametrize(
    ("address", "credential", "said"),
    [
        ("", "", "storage: azure://ACCOUNT/CONTAINER"),
        ("azure://../x", "", "storage: azure://ACCOUNT/CONTAINER"),
        ("azure://data/raw", f"AccountName=another;AccountKey={KEY}", "is for the storage account another"),
        ("azure://data/raw", "AccountName=data;", "neither a key nor a SAS"),
        ("azure://data/raw", "BlobEndpoint=http://far;SharedAccessSignature=sig=abc", "plain text"),
    ],
)
def test_what_is_wrong_is_a_sentence_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, address: str, credential: str, said: str
) -> None:
    given(monkeypatch, credential, address)
    with pytest.raises(LookupError, match=said) as caught:
        storage.container_client()
    assert KEY not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, KEY)
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    with pytest.raises(ImportError, match="azure-storage-blob"):
        storage.container_client()
    given(monkeypatch, "")
    monkeypatch.setitem(sys.modules, "azure.storage.blob", sys.modules["azure.storage"])
    sys.modules["azure.storage"].ContainerClient = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ImportError, match="azure-identity"):
        storage.container_client()
