"""The store in Azure Blob Storage, against Azurite: the contract of stores, and what goes wrong on the way."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amltool.configuration.secrets import SecretKind, SecretReference
from amltool.errors import DamagedError, TargetError, UserError
from amltool.stores import open_store
from amltool.stores.azure_blob import AzureBlobStore
from amltool.stores.base import Access, Kept, SignIn
from amltool.stores.blob_content import BLOCK
from amltool.testing.stores import ArtifactStoreContract
from tests.components.azurite import ACCOUNT, Azurite, connection_string, make_container, url_of
from tests.components.faulty_proxy import Fault, FaultyProxy, Request
from tests.waiting import wait_until

CONTAINER = "artifacts"
VARIABLE = "STORE_OF_THE_TEST"
SIGN_IN = SignIn(SecretReference(SecretKind.ENVIRONMENT, VARIABLE))
LARGE = random.Random(11).randbytes(5 * BLOCK + 12_345)
KILL_S = 120
PAUSE = "amltool.stores.blob_requests.pause"


@pytest.fixture(scope="session")
def container(azurite: Azurite) -> str:
    make_container(azurite, CONTAINER)
    return CONTAINER


@pytest.fixture
def proxy(azurite: Azurite, container: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(azurite.port) as started:
        yield started


@pytest.fixture
def prefix() -> str:
    """A place in the container that no other test has."""
    return uuid.uuid4().hex


@pytest.fixture
def opened(
    proxy: FaultyProxy, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], AzureBlobStore]:
    """Open the store for a run, through the proxy."""
    monkeypatch.setenv(VARIABLE, connection_string(url_of(proxy.port)))
    return lambda run_id: opened_store(prefix, run_id, tmp_path)


def opened_store(prefix: str, run_id: str, folder: Path) -> AzureBlobStore:
    access = Access("account", "workspace", "iris", run_id, "c" * 40, SIGN_IN)
    store = open_store(f"azure://{ACCOUNT}/{CONTAINER}/{prefix}", folder, access)
    assert isinstance(store, AzureBlobStore)
    return store


def names_in(store: AzureBlobStore) -> list[str]:
    found = store._container.list_blobs(name_starts_with=f"{store.layout.folder}/")
    return sorted(each.name.removeprefix(f"{store.layout.folder}/") for each in found if "/.amltool/" not in each.name)


def file_of(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "content"
    path.write_bytes(content)
    return path


class TestAzureBlobStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, azurite, container, prefix, tmp_path, monkeypatch):
        monkeypatch.setenv(VARIABLE, connection_string(azurite.url))
        return opened_store(prefix, "run-1", tmp_path)

    def damage(self, store, sha256, content):
        store.flush()
        place = store._place_of(sha256)
        store._blob(place.name).upload_blob(content, overwrite=True)

    def add(self, store, name, content):
        store._blob(f"{store.layout.folder}/run-1/outputs/{name}").upload_blob(content)


def test_an_artifact_lies_where_a_person_looks_for_it(opened, prefix: str) -> None:
    store = opened("run-1")

    kept = store.put(io.BytesIO(b"model"), name="outputs/a/model.pkl")
    store.flush()

    assert names_in(store) == ["run-1/outputs/a/model.pkl"]
    blob = store._blob(f"{prefix}/account/workspace/iris/run-1/outputs/a/model.pkl")
    found = blob.get_blob_properties().metadata
    assert found == {"sha256": kept.sha256, "commit": "c" * 40, "run_id": "run-1"}


@pytest.mark.parametrize("name", ["outputs/ü/ö ?#.bin", "outputs/a\nb%2F\x01\\c", "logs/.", "outputs/" + "x" * 250 * 4])
def test_any_name_of_a_file_can_be_kept(opened, name: str) -> None:
    store = opened("run-1")
    kept = store.put(io.BytesIO(b"content"), name=name)
    store.flush()
    assert store.check(kept.sha256)
    assert len(names_in(store)) == 1


@pytest.mark.parametrize("size", [1000, len(LARGE)])
def test_the_same_content_is_sent_once_in_a_project(opened, proxy: FaultyProxy, tmp_path: Path, size: int) -> None:
    content = LARGE[:size]
    first = opened("run-1")
    with file_of(tmp_path, content).open("rb") as stream:
        first.put(stream, name="outputs/m")
    first.flush()
    proxy.forget()

    second = opened("run-2")
    kept = second.put(io.BytesIO(content), name="outputs/m")
    second.put(io.BytesIO(content), name="outputs/again")
    second.flush()

    assert proxy.content_bytes() == 0
    assert names_in(second) == ["run-1/outputs/m", "run-2/outputs/again", "run-2/outputs/m"]
    copied = second._blob(second.layout.artifact("run-2", "outputs/m")).get_blob_properties()
    assert copied.size == size
    assert copied.metadata["sha256"] == kept.sha256
    assert copied.metadata["run_id"] == "run-2"


def test_content_whose_blob_somebody_deleted_is_sent_again(opened) -> None:
    store = opened("run-1")
    kept = store.put(io.BytesIO(b"model"), name="outputs/m")
    store.flush()
    store._blob(store.layout.artifact("run-1", "outputs/m")).delete_blob()
    assert not store.contains(kept.sha256)

    again = opened("run-2")
    again.put(io.BytesIO(b"model"), name="outputs/m")
    again.flush()

    assert again.check(kept.sha256)


def test_content_that_was_replaced_is_not_copied_as_if_it_were_the_same(opened) -> None:
    store = opened("run-1")
    kept = store.put(io.BytesIO(b"first"), name="outputs/m")
    store.put(io.BytesIO(b"other"), name="outputs/m")
    store.flush()

    again = opened("run-2")
    again.put(io.BytesIO(b"first"), name="outputs/m")
    again.flush()

    assert again.check(kept.sha256)


FAULTS = {
    "429": Fault(status=429),
    "429 that asks to wait": Fault(status=429, retry_after="1"),
    "503": Fault(status=503),
    "408": Fault(status=408),
    "cut before the body": Fault(cut_request=0),
    "cut within the body": Fault(cut_request=1 << 19),
    "cut before the answer": Fault(cut_answer=0, status=None),
    "wrong bytes": Fault(spoil_request=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_goes_wrong_while_it_is_sent_is_made_good(
    opened, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    hits = (lambda request: request.is_content) if fault.spoil_request else (lambda request: request.number % 3 == 1)
    hit: list[Request] = []
    proxy.fault = lambda request: hit.append(request) or fault if hits(request) and len(hit) < 4 else None
    store = opened("run-1")
    with file_of(tmp_path, LARGE).open("rb") as stream:
        large = store.put(stream, name="outputs/large")
    small = [store.put(io.BytesIO(b"%d" % number), name=f"outputs/{number}") for number in range(5)]
    store.flush()

    assert hit
    proxy.fault = lambda _: None
    assert large == Kept(hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    assert all(store.check(each.sha256) for each in [large, *small])


READ_FAULTS = {
    "503": Fault(status=503),
    "cut at once": Fault(cut_answer=0),
    "cut within a range": Fault(cut_answer=1 << 20),
}


@pytest.mark.parametrize("fault", READ_FAULTS.values(), ids=READ_FAULTS)
def test_what_goes_wrong_while_it_is_read_is_made_good(
    opened, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    store = opened("run-1")
    with file_of(tmp_path, LARGE).open("rb") as stream:
        kept = store.put(stream, name="outputs/m")
    store.flush()
    proxy.forget()
    proxy.fault = lambda request: fault if request.method == "GET" and request.number % 2 == 1 else None

    with store.open(kept.sha256) as content:
        assert content.read() == LARGE
    assert any(proxy.fault(request) for request in proxy.requests)


def test_wrong_bytes_are_never_given_as_right(opened, proxy: FaultyProxy, tmp_path: Path) -> None:
    store = opened("run-1")
    with file_of(tmp_path, LARGE).open("rb") as stream:
        kept = store.put(stream, name="outputs/m")
    store.flush()
    proxy.fault = lambda request: Fault(spoil_answer=True) if request.method == "GET" else None

    assert not store.check(kept.sha256)
    with pytest.raises(DamagedError), store.open(kept.sha256) as content:
        content.read()


def test_a_service_that_stays_away_is_said_in_a_sentence_and_goes_on_later(
    opened, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PAUSE, lambda _: None)
    store = opened("run-1")
    proxy.fault = lambda _: Fault(status=503)
    store.put(io.BytesIO(b"model"), name="outputs/m")
    with pytest.raises(TargetError, match="answers with 503"):
        store.flush()

    proxy.fault = lambda _: None
    kept = store.put(io.BytesIO(b"model"), name="outputs/m")
    store.flush()
    assert store.check(kept.sha256)


def test_a_slow_line_is_no_dead_one(opened, proxy: FaultyProxy, tmp_path: Path) -> None:
    content = LARGE[: BLOCK // 8]
    proxy.fault = lambda request: Fault(bytes_per_s=256 << 10) if request.is_content else None
    store = opened("run-1")
    kept = store.put(io.BytesIO(content), name="outputs/m")
    store.flush()
    proxy.fault = lambda _: None
    assert store.check(kept.sha256)


def test_a_file_that_changes_after_it_was_read_is_not_kept_as_another(opened, tmp_path: Path, proxy) -> None:
    path = file_of(tmp_path, LARGE)
    go_on = threading.Event()
    proxy.fault = lambda request: go_on.wait(KILL_S) and None
    store = opened("run-1")
    with path.open("rb") as stream:
        kept = store.put(stream, name="outputs/m")
    with path.open("r+b") as stream:
        stream.write(b"changed")
    go_on.set()
    with pytest.raises(UserError, match="changed while it was sent"):
        store.flush()
    assert not store.contains(kept.sha256)


def test_a_container_that_is_not_there_is_found_out_before_anything_runs(opened, tmp_path: Path) -> None:
    access = Access("a", "w", "p", "run-1", "", SIGN_IN)
    with pytest.raises(TargetError, match="az storage container create"):
        open_store(f"azure://{ACCOUNT}/nowhere", tmp_path, access).ready()


def test_a_wrong_key_is_found_out_before_anything_runs(opened, proxy, tmp_path: Path, monkeypatch) -> None:
    wrong = "A" * 86 + "=="
    monkeypatch.setenv(VARIABLE, f"AccountName={ACCOUNT};AccountKey={wrong};BlobEndpoint={url_of(proxy.port)}")
    with pytest.raises(TargetError, match="refuses the sign-in") as raised:
        open_store(f"azure://{ACCOUNT}/{CONTAINER}", tmp_path, Access(sign_in=SIGN_IN)).ready()
    assert wrong not in str(raised.value)


def test_a_sas_signs_in(azurite: Azurite, container: str, prefix: str, tmp_path: Path, monkeypatch) -> None:
    from datetime import datetime, timedelta, timezone

    from azure.storage.blob import generate_container_sas  # noqa: TID251

    from tests.components.azurite import KEY

    until = datetime.now(timezone.utc) + timedelta(hours=1)
    sas = generate_container_sas(ACCOUNT, CONTAINER, KEY, permission="racwdl", expiry=until)
    monkeypatch.setenv(VARIABLE, f"{azurite.url}/{CONTAINER}?{sas}")
    access = Access("a", "w", "p", "run-1", "", SignIn(SIGN_IN.credential, azurite.url))
    store = open_store(f"azure://{ACCOUNT}/{CONTAINER}/{prefix}", tmp_path, access)
    store.ready()
    kept = store.put(io.BytesIO(b"x"), name="outputs/m")
    store.put(io.BytesIO(b"x"), name="outputs/copy")
    store.flush()
    assert store.check(kept.sha256)


CLIENT = (
    "import io, sys\nfrom pathlib import Path\nfrom tests.components.test_blob_store import opened_store\n"
    "store = opened_store(sys.argv[1], 'run-1', Path('/nowhere'))\n"
    "with open(sys.argv[2], 'rb') as stream:\n    store.put(stream, name='outputs/m')\nstore.flush()\n"
)


def killed_client(proxy: FaultyProxy, prefix: str, path: Path, blocks: int) -> int:
    """Start a client that sends a file and kill it when the service took so many blocks; gives their bytes.

    The next requests are held back until the client is dead, so that no more arrives.
    """
    dead = threading.Event()
    passed = threading.Semaphore(blocks)

    def hold(request: Request) -> None:
        if request.is_block and not passed.acquire(blocking=False):
            dead.wait(KILL_S)

    proxy.fault = hold
    root = Path(__file__).parents[2]
    variables = {**os.environ, "PYTHONPATH": str(root), VARIABLE: connection_string(url_of(proxy.port))}
    client = subprocess.Popen([sys.executable, "-c", CLIENT, prefix, str(path)], env=variables, cwd=root)

    def taken() -> int:
        with proxy.lock:
            return sum(each.is_block for each in proxy.accepted)

    try:
        wait_until(lambda: taken() >= blocks or client.poll() is not None, KILL_S)
    finally:
        client.kill()
        client.wait()
    held = proxy.content_bytes(accepted=True)
    proxy.fault = lambda request: Fault(cut_answer=0, status=503)
    dead.set()
    proxy.fault = lambda _: None
    return held


def test_a_killed_client_is_gone_on_from_without_sending_again(
    opened, proxy: FaultyProxy, prefix: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, LARGE)
    arrived = killed_client(proxy, prefix, path, blocks=3)
    assert arrived > 2 * BLOCK
    store = opened("run-1")
    assert not store.contains(hashlib.sha256(LARGE).hexdigest())
    assert names_in(store) == []
    proxy.forget()

    with path.open("rb") as stream:
        kept = store.put(stream, name="outputs/m")
    store.flush()

    assert proxy.content_bytes() <= len(LARGE) - arrived
    assert store.check(kept.sha256)


def test_a_killed_service_is_gone_on_from(own_azurite: Azurite, prefix: str, tmp_path: Path, monkeypatch) -> None:
    make_container(own_azurite, CONTAINER)
    with FaultyProxy(own_azurite.port) as proxy:
        monkeypatch.setenv(VARIABLE, connection_string(url_of(proxy.port)))
        taken = threading.Semaphore(2)
        killed = threading.Event()

        def kill_in_the_midst(request: Request) -> None:
            if request.is_block and not taken.acquire(blocking=False):
                with proxy.lock:
                    own_azurite.end(signal.SIGKILL)
                killed.set()

        proxy.fault = kill_in_the_midst
        store = opened_store(prefix, "run-1", tmp_path)
        with pytest.MonkeyPatch.context() as patch, file_of(tmp_path, LARGE).open("rb") as stream:
            patch.setattr(PAUSE, lambda _: None)
            store.put(stream, name="outputs/m")
            with pytest.raises(TargetError):
                store.flush()
        assert killed.is_set()

        proxy.fault = lambda _: None
        own_azurite.start()
        make_container(own_azurite, CONTAINER)  # it forgets what it had not written down
        assert not store.contains(hashlib.sha256(LARGE).hexdigest())
        with file_of(tmp_path, LARGE).open("rb") as stream:
            kept = store.put(stream, name="outputs/m")
            store.flush()
        assert store.check(kept.sha256)


@pytest.mark.torture
def test_fifty_killed_clients_are_gone_on_from(opened, proxy: FaultyProxy, prefix: str, tmp_path: Path) -> None:
    chance = random.Random(50)
    for number in range(50):
        content = chance.randbytes(chance.randint(2 * BLOCK, 6 * BLOCK))
        path = file_of(tmp_path, content)
        proxy.forget()
        blocks = chance.randint(1, len(content) // BLOCK - 1) if len(content) // BLOCK > 1 else 1
        arrived = killed_client(proxy, f"{prefix}{number}", path, blocks=blocks)
        store = opened_store(f"{prefix}{number}", "run-1", tmp_path)
        assert not store.contains(hashlib.sha256(content).hexdigest())
        proxy.forget()
        with path.open("rb") as stream:
            kept = store.put(stream, name="outputs/m")
        store.flush()
        assert proxy.content_bytes() <= len(content) - arrived
        assert store.check(kept.sha256)
