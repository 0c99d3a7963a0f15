"""How a storage account is signed in to: what a credential is by its form, and which identity is tried first."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.configuration.secrets import SecretKind, SecretReference
from amltool.errors import TargetError, UserError
from amltool.stores.base import SignIn
from amltool.stores.blob_address import BlobAddress
from amltool.stores.blob_sign_in import Identity, login_of

ADDRESS = BlobAddress("account", "runs")
KEY = base64.b64encode(b"k" * 64).decode()
USUAL = "https://account.blob.core.windows.net"
SAS = "sv=2025-01-05&sp=rwdl&sig=c2lnbmF0dXJl"
SIGN_IN = SignIn(SecretReference(SecretKind.ENVIRONMENT, "SECRET_OF_THE_TEST"))


@pytest.mark.parametrize(
    ("secret", "url", "key", "sas"),
    [
        (KEY, USUAL, KEY, None),
        (f"{KEY}\n", USUAL, KEY, None),
        (SAS, USUAL, None, SAS),
        (f"?{SAS}", USUAL, None, SAS),
        (f"https://account.blob.core.usgovcloudapi.net/runs?{SAS}",
         "https://account.blob.core.usgovcloudapi.net", None, SAS),
        (f"DefaultEndpointsProtocol=https;AccountName=account;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
         "https://account.blob.core.chinacloudapi.cn", KEY, None),
        (f"AccountName=account;AccountKey={KEY}", USUAL, KEY, None),
        (f"BlobEndpoint=https://private.example.org/account/;SharedAccessSignature={SAS}",
         "https://private.example.org/account", None, SAS),
    ],
)  # fmt: skip
def test_a_credential_is_known_by_its_form(
    monkeypatch: pytest.MonkeyPatch, secret: str, url: str, key: str | None, sas: str | None
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", secret)

    login = login_of(ADDRESS, SIGN_IN)

    assert (login.url, login.key, login.sas) == (url, key, sas)
    assert (key or sas or "") not in repr(login)


def test_a_url_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", f"AccountName=account;AccountKey={KEY}")
    assert login_of(ADDRESS, SignIn(SIGN_IN.credential, "https://10.0.0.4")).url == "https://10.0.0.4"
    assert login_of(ADDRESS, SignIn()).url == USUAL


@given(
    host=st.one_of(
        st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){1,3}", fullmatch=True),
        st.sampled_from(["account.blob.core.windows.net.evil.example", "evilcore.windows.net", "10.0.0.4", "[::2]"]),
    ),
    around=st.sampled_from(["https://{}", "https://{}:8443/account", "https://account.blob.core.windows.net@{}"]),
    secret=st.sampled_from([None, SAS, f"https://account.blob.core.windows.net/runs?{SAS}"]),
)
def test_what_signs_in_goes_to_no_host_that_only_a_repository_names(host: str, around: str, secret: str | None) -> None:
    sign_in = SignIn(None if secret is None else SIGN_IN.credential, around.format(host))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_OF_THE_TEST", secret or "")
        patch.setenv("AMLTOOL_STORE_HOSTS", "")
        with pytest.raises(UserError, match="no host of Azure Storage") as raised:
            login_of(ADDRESS, sign_in)
        assert "c2lnbmF0dXJl" not in str(raised.value)
        patch.setenv("AMLTOOL_STORE_HOSTS", f"other.example, {host.strip('[]')}")
        assert login_of(ADDRESS, sign_in).url == around.format(host)


@pytest.mark.parametrize(
    "url",
    ["https://account.blob.core.usgovcloudapi.net", "https://account.privatelink.blob.core.windows.net",
     "https://account.z1.blob.storage.azure.net", "https://127.0.0.1:10000/account"],
)  # fmt: skip
@pytest.mark.parametrize("secret", [None, SAS])
def test_a_host_of_azure_needs_no_word_of_the_user(
    monkeypatch: pytest.MonkeyPatch, url: str, secret: str | None
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", secret or "")
    assert login_of(ADDRESS, SignIn(None if secret is None else SIGN_IN.credential, url)).url == url


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("hunter2", "neither a connection string"),
        ("AccountName=account;AccountKey=hunter2", "neither a connection string"),
        (f"AccountName=another;AccountKey={KEY}", "storage account another"),
        (f"BlobEndpoint=http://10.0.0.4/account;SharedAccessSignature={SAS}", "plain text"),
    ],
)
def test_what_is_no_credential_for_the_account_is_a_sentence_that_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, secret: str, said: str
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TEST", secret)
    with pytest.raises(UserError, match=said) as raised:
        login_of(ADDRESS, SIGN_IN)
    assert not any(word in str(raised.value) for word in ("hunter2", KEY, "c2lnbmF0dXJl"))


class _Kind:
    """An identity that has a token, or none."""

    def __init__(self, name: str, tried: list[str], token: str | None) -> None:
        self._name, self._tried, self._token = name, tried, token

    def get_token(self, *scopes: str, **options: object) -> str:
        self._tried.append(self._name)
        if self._token is None:
            raise RuntimeError(f"no {self._name} here")
        return self._token


def test_the_kind_of_identity_that_worked_is_tried_first_the_next_time(tmp_path: Path) -> None:
    tried: list[str] = []
    kinds = {name: lambda name=name: _Kind(name, tried, "token" if name == "slow" else None) for name in ("az", "slow")}
    remembered = tmp_path / "cache/identity"

    first = Identity(remembered, lambda: kinds)
    assert (first.get_token("scope"), first.get_token("scope")) == ("token", "token")
    assert tried == ["az", "slow", "slow"]
    tried.clear()
    assert Identity(remembered, lambda: kinds).get_token("scope") == "token"

    assert tried == ["slow"]
    assert remembered.read_text() == "slow\n"


@pytest.mark.parametrize("content", ["unheard of", "", "\u00e9"])
def test_what_is_remembered_is_a_hint_only(tmp_path: Path, content: str) -> None:
    (tmp_path / "identity").write_text(content)
    kinds = {"az": lambda: _Kind("az", [], "token")}
    assert Identity(tmp_path / "identity", lambda: kinds).get_token("scope") == "token"


def test_no_identity_at_all_is_a_sentence_that_says_why_of_each() -> None:
    kinds = {name: lambda name=name: _Kind(name, [], None) for name in ("az", "managed")}
    with pytest.raises(TargetError, match="az: RuntimeError: no az here; managed: RuntimeError: no managed here"):
        Identity(None, lambda: kinds).get_token("scope")
