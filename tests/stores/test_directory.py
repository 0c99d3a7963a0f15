"""The artifact store in a folder: what lies on the disk, faults, and addresses."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amltool.errors import DamagedError, UserError
from amltool.stores import directory, open_store
from amltool.stores.directory import DirectoryStore


@pytest.fixture
def store(tmp_path):
    return DirectoryStore(tmp_path / "store")


def place_of(store: DirectoryStore, sha256: str) -> Path:
    return store.folder / "objects" / sha256[:2] / sha256


def incoming_names(store: DirectoryStore) -> list[str]:
    return [path.name for path in (store.folder / "incoming").iterdir()]


def test_nothing_is_made_before_something_is_put(store):
    assert list(store.walk()) == []
    assert not store.contains("0" * 64)
    store.flush()
    assert not store.folder.exists()


def test_content_lies_read_only_under_its_sha256(store):
    kept = store.put(io.BytesIO(b"model"))
    path = place_of(store, kept.sha256)
    assert path.read_bytes() == b"model"
    assert path.stat().st_mode & 0o222 == 0


def test_content_that_is_there_is_not_written_again(store):
    kept = store.put(io.BytesIO(b"model"))
    before = place_of(store, kept.sha256).stat()
    store.put(io.BytesIO(b"model"))
    assert place_of(store, kept.sha256).stat() == before
    assert incoming_names(store) == []


def test_content_cut_short_by_a_power_cut_is_mended_by_the_next_put(store):
    kept = store.put(io.BytesIO(b"model"))
    place_of(store, kept.sha256).chmod(0o644)
    place_of(store, kept.sha256).write_bytes(b"")
    store.put(io.BytesIO(b"model"))
    assert store.check(kept.sha256)


def test_a_link_planted_in_the_place_of_content_is_not_followed(store, tmp_path):
    kept = store.put(io.BytesIO(b"secret"))
    (tmp_path / "elsewhere").write_bytes(b"secret")
    place_of(store, kept.sha256).unlink()
    place_of(store, kept.sha256).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedError, match="link"), store.open(kept.sha256):
        pass
    assert store.check(kept.sha256) is False


def test_a_fifo_in_the_place_of_content_does_not_hang(store):
    kept = store.put(io.BytesIO(b"x"))
    place_of(store, kept.sha256).unlink()
    os.mkfifo(place_of(store, kept.sha256))
    assert store.check(kept.sha256) is False


def test_files_that_are_not_ours_are_passed_over(store):
    kept = store.put(io.BytesIO(b"x"))
    (store.folder / "objects" / "README").write_text("hello")
    (store.folder / "objects" / kept.sha256[:2] / "notes.txt").write_text("hello")
    assert [one.sha256 for one in store.walk()] == [kept.sha256]


def test_a_full_disk_is_one_clear_sentence_and_leaves_nothing(store, monkeypatch):
    """A file size limit plays the full disk: the write comes back short, then fails."""
    store.put(io.BytesIO(b"before"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match="Cannot write"):
            store.put(io.BytesIO(os.urandom(300_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert len(list(store.walk())) == 1
    assert incoming_names(store) == []
    assert store.put(io.BytesIO(os.urandom(300_000))).size == 300_000


def test_a_folder_that_cannot_be_made_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write"):
        DirectoryStore(tmp_path / "file" / "store").put(io.BytesIO(b"x"))


def test_what_a_killed_writer_left_is_removed_once_it_is_old(store):
    writer = (
        "import io, os, signal, sys\nfrom pathlib import Path\nfrom amltool.stores.directory import DirectoryStore\n"
        "class Killer(io.BytesIO):\n"
        "    def read(self, size=-1):\n"
        "        if self.tell(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().read(size)\n"
        "DirectoryStore(Path(sys.argv[1])).put(Killer(bytes(3 << 20)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", writer, str(store.folder)], env={**os.environ, "PYTHONPATH": ROOT})
    assert ended.returncode == -signal.SIGKILL
    [leftover] = (store.folder / "incoming").iterdir()
    os.utime(leftover, (time.time() - 3600,) * 2)
    store.put(io.BytesIO(b"next"))
    assert incoming_names(store) == []
    assert len(list(store.walk())) == 1


def test_what_a_slow_writer_is_still_writing_is_left_alone(store):
    (store.folder / "incoming").mkdir(parents=True)
    slow = store.folder / "incoming" / "1-00"
    with slow.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        os.utime(slow, (time.time() - 3600,) * 2)
        store.put(io.BytesIO(b"next"))
        assert slow.exists()


@pytest.mark.parametrize("count", [3, directory.SYNC_AT_ONCE + 1])
def test_flush_syncs_what_was_put_since_the_last_one(store, monkeypatch, count):
    synced: list[str] = []
    monkeypatch.setattr(directory, "_sync_file", lambda path: synced.append(path.name))
    monkeypatch.setattr(directory, "_sync_file_system", lambda folder: False)
    kept = {store.put(io.BytesIO(b"%d" % number)).sha256 for number in range(count)}
    store.flush()
    assert set(synced) == kept
    store.flush()
    assert len(synced) == count


def test_content_another_process_may_not_have_flushed_is_flushed_with_ours(store, monkeypatch):
    kept = DirectoryStore(store.folder).put(io.BytesIO(b"x"))
    synced: list[str] = []
    monkeypatch.setattr(directory, "_sync_file", lambda path: synced.append(path.name))
    store.put(io.BytesIO(b"x"))
    store.flush()
    assert synced == [kept.sha256]


def test_a_flush_that_failed_is_tried_again_by_the_next(store, monkeypatch):
    store.put(io.BytesIO(b"x"))

    def fail(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(directory, "_sync_file", fail)
        with pytest.raises(UserError, match="No space left"):
            store.flush()
    synced: list[Path] = []
    monkeypatch.setattr(directory, "_sync_file", synced.append)
    store.flush()
    assert len(synced) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
def test_many_files_are_synced_at_once_on_linux(store, monkeypatch):
    monkeypatch.setattr(directory, "_sync_file", lambda path: pytest.fail("one by one"))
    for number in range(directory.SYNC_AT_ONCE):
        store.put(io.BytesIO(b"%d" % number))
    store.flush()


def test_processes_at_once_lose_nothing(store):
    writer = (
        "import io, sys\nfrom pathlib import Path\nfrom amltool.stores.directory import DirectoryStore\n"
        "store = DirectoryStore(Path(sys.argv[1]))\n"
        "for number in range(60): store.put(io.BytesIO(b'%d' % number * 1000))\n"
        "store.flush()\n"
    )
    command = [sys.executable, "-c", writer, str(store.folder)]
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": ROOT}) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(list(store.walk())) == 60
    assert all(store.check(one.sha256) for one in store.walk())
    assert incoming_names(store) == []


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.torture)])
def test_every_flipped_bit_is_found_and_nothing_else(store, count):
    chance = random.Random(7)
    kept = [store.put(io.BytesIO(chance.randbytes(chance.randint(1, 5000)))) for _ in range(2 * count)]
    rotten = set()
    for one in chance.sample(kept, count):
        path = place_of(store, one.sha256)
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.chmod(0o644)
        path.write_bytes(content)
        rotten.add(one.sha256)
    assert {one.sha256 for one in store.walk() if not store.check(one.sha256)} == rotten


def test_no_address_means_the_store_of_this_clone(tmp_path):
    for address in (None, "file"):
        store = open_store(address, tmp_path)
        assert (store.address, store.folder) == ("file", tmp_path)


def test_a_folder_elsewhere_can_be_found_again_by_its_address(tmp_path):
    elsewhere = tmp_path / "größe %20 x"
    store = open_store(str(elsewhere), tmp_path / "here")
    kept = store.put(io.BytesIO(b"x"))
    assert store.address.startswith("file:///")
    again = open_store(store.address, tmp_path / "here")
    assert again.check(kept.sha256)
    assert (elsewhere / "objects" / kept.sha256[:2] / kept.sha256).read_bytes() == b"x"


def test_a_folder_may_start_at_home(tmp_path, isolated_home):
    open_store("~/kept", tmp_path).put(io.BytesIO(b"x"))
    assert (isolated_home / "kept" / "objects").is_dir()


@pytest.mark.parametrize("address", ["kept/here", "ftp://x/y", "file://other/x", "://"])
def test_an_address_nothing_can_be_kept_at_is_a_clear_error(tmp_path, address):
    with pytest.raises(UserError, match="artifact store"):
        open_store(address, tmp_path)


def test_sha256_of_the_record_is_that_of_the_bytes(store):
    content = os.urandom(2_500_000)
    assert store.put(io.BytesIO(content)).sha256 == hashlib.sha256(content).hexdigest()


ROOT = str(Path(directory.__file__).parents[2])
