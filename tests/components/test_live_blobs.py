"""Runs that go on, shown in Azure Blob Storage, against Azurite: the contract, parts, and what goes wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from amltool.configuration.secrets import SecretKind, SecretReference
from amltool.errors import TargetError
from amltool.stores import live_blobs, open_live
from amltool.stores.base import Access, SignIn
from amltool.stores.live import MovedError
from amltool.stores.live_blobs import LiveBlobs
from amltool.testing.live_stores import CONSOLE, RUN, LiveStoreContract, read_all
from tests.components.azurite import ACCOUNT, Azurite, connection_string, make_container, url_of
from tests.components.faulty_proxy import Fault, FaultyProxy, Request

CONTAINER = "live"
VARIABLE = "LIVE_STORE_OF_THE_TEST"
SIGN_IN = SignIn(SecretReference(SecretKind.ENVIRONMENT, VARIABLE))


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[FaultyProxy]:
    make_container(azurite, CONTAINER)
    with FaultyProxy(azurite.port) as started:
        yield started


@pytest.fixture
def opened(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], LiveBlobs]:
    """Open the store of this test, each time as another process does."""
    monkeypatch.setenv(VARIABLE, connection_string(url_of(proxy.port)))
    address = f"azure://{ACCOUNT}/{CONTAINER}/{uuid.uuid4().hex}"

    def opened_live() -> LiveBlobs:
        live = open_live(address, Access("account", "workspace", "iris", sign_in=SIGN_IN))
        assert isinstance(live, LiveBlobs)
        return live

    return opened_live


class TestLiveBlobs(LiveStoreContract):
    @pytest.fixture
    def live(self, opened):
        self.opened = opened
        return opened()

    def again(self, live):
        return self.opened()


class TestLiveBlobsOfSmallParts(TestLiveBlobs):
    """Each blob takes but two appends: what holds of one holds of many."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(live_blobs, "MOST_APPENDS", 2)


def names(live: LiveBlobs) -> list[str]:
    top = live._layout.live(RUN)
    return sorted(each.name.removeprefix(top) for each in live._container.list_blobs(name_starts_with=top))


def test_a_blob_that_has_no_room_is_gone_on_with_in_another(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_blobs, "MOST_APPENDS", 3)
    live, length = opened(), 0
    for number in range(10):
        length = live.append(RUN, CONSOLE, length, b"line %d\n" % number)
    assert names(live) == [".parts/2/console.log", ".parts/3/console.log", ".parts/4/console.log", "console.log"]
    follower = opened()
    assert follower.lengths(RUN) == {CONSOLE: length}
    assert read_all(follower) == b"".join(b"line %d\n" % number for number in range(10))
    live.finish(RUN)
    assert names(live) == []


def test_a_client_that_takes_over_knows_when_a_blob_has_no_room(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    length = opened().append(RUN, CONSOLE, 0, b"one\n")
    monkeypatch.setattr(live_blobs, "MOST_APPENDS", 1)
    after = opened()
    assert after.append(RUN, CONSOLE, length, b"two\n") == length + 4
    assert names(after) == [".parts/2/console.log", "console.log"]


def is_append(request: Request) -> bool:
    return request.query.get("comp") == ["appendblock"]


LOST = {
    "503": Fault(status=503),
    "429": Fault(status=429),
    "cut before the request": Fault(cut_request=0),
    "cut before the answer": Fault(cut_answer=0),
    "wrong bytes": Fault(spoil_request=True),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_an_append_that_goes_wrong_doubles_and_loses_nothing(opened, proxy: FaultyProxy, fault: Fault) -> None:
    whole = b"".join(b"line %d\n" % number for number in range(30))
    live, length, appends = opened(), 0, []
    proxy.fault = lambda request: (
        fault if is_append(request) and (appends.append(request) or len(appends) % 2) else None
    )
    while length < len(whole):
        try:
            length = live.append(RUN, CONSOLE, length, whole[length : length + 50])
        except MovedError as moved:
            length = moved.length
    assert len(appends) > 5
    proxy.fault = lambda _: None
    assert read_all(opened()) == whole


def test_a_service_that_is_away_is_a_sentence(opened, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amltool.stores.blob_requests.pause", lambda _: None)
    proxy.fault = lambda _: Fault(status=503)
    live = opened()
    for ask in (
        lambda: live.publish(RUN, b"{}"),
        lambda: live.append(RUN, CONSOLE, 0, b"x"),
        lambda: live.lengths(RUN),
        lambda: live.state(RUN),
        lambda: live.runs(),
        lambda: live.finish(RUN),
    ):
        with pytest.raises(TargetError, match="answers with 503"):
            ask()
