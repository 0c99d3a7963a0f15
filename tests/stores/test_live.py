"""Runs that go on, shown in a folder and in the fake: the contract, and what only a folder has."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from amltool.artifact import STORED_HERE
from amltool.errors import UserError
from amltool.stores import open_live
from amltool.stores.base import Access
from amltool.stores.live import MovedError
from amltool.stores.live_folder import LiveFolder
from amltool.testing.live_stores import CONSOLE, RUN, FakeLiveStore, LiveStoreContract, read_all

ACCESS = Access("account", "workspace", "iris")


class TestLiveFolder(LiveStoreContract):
    @pytest.fixture
    def live(self, tmp_path):
        return LiveFolder(tmp_path, ACCESS)

    def again(self, live):
        return LiveFolder(live._destination.folder, ACCESS)


class TestFakeLiveStore(LiveStoreContract):
    @pytest.fixture
    def live(self):
        return FakeLiveStore()

    def again(self, live):
        return live


@pytest.mark.parametrize("kind", ["folder", "fake"])
def test_clients_at_once_double_nothing(kind: str, tmp_path: Path) -> None:
    """Azurite is not asked: between its check of a position and the append another may come, which is its own fault."""
    fake = FakeLiveStore()
    whole = b"".join(b"line %d\n" % number for number in range(40))

    def send() -> None:
        client = fake if kind == "fake" else LiveFolder(tmp_path, ACCESS)
        at = client.lengths(RUN).get(CONSOLE, 0)
        while at < len(whole):
            try:
                at = client.append(RUN, CONSOLE, at, whole[at : at + 16])
            except MovedError as moved:
                at = moved.length

    clients = [threading.Thread(target=send) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert read_all(fake if kind == "fake" else LiveFolder(tmp_path, ACCESS)) == whole


@pytest.mark.parametrize("address", [None, STORED_HERE])
def test_the_store_of_a_clone_alone_shows_nothing(address: str | None) -> None:
    assert open_live(address, ACCESS) is None


def test_a_person_finds_a_run_that_goes_on_in_the_folder(tmp_path: Path) -> None:
    live = open_live(str(tmp_path), ACCESS)
    assert live is not None
    live.publish(RUN, b"{}")
    live.append(RUN, CONSOLE, 0, b"one\n")
    run = tmp_path / "runs/account/workspace/iris" / RUN
    assert (run / "run.json").read_bytes() == b"{}"
    assert (run / "live/console.log").read_bytes() == b"one\n"


def test_nothing_is_written_through_a_link_in_the_folder(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    store = tmp_path / "store"
    (store / "runs/account/workspace/iris" / RUN).mkdir(parents=True)
    (store / "runs/account/workspace/iris" / RUN / "live").symlink_to(victim)
    live = LiveFolder(store, ACCESS)
    with pytest.raises(UserError):
        live.append(RUN, CONSOLE, 0, b"one\n")
    assert list(victim.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(UserError):
        LiveFolder(tmp_path, ACCESS).publish(RUN, b"{}")


def test_the_place_of_a_disk_that_is_not_mounted_is_left_alone(tmp_path: Path) -> None:
    live = LiveFolder(tmp_path / "mount/store", ACCESS)
    with pytest.raises(UserError):
        live.publish(RUN, b"{}")
    with pytest.raises(UserError):
        live.append(RUN, CONSOLE, 0, b"one\n")
    assert list(tmp_path.iterdir()) == []
