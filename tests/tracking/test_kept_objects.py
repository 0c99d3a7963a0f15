"""What a host keeps between placings: bounded, never believed unseen, never taken away under somebody's hands."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from amltool.tracking import kept_blobs, lock_holder
from amltool.tracking.kept_blobs import NotWhatItSaysError
from amltool.tracking.kept_objects import KEPT_TREES, KeptObjects
from amltool.tracking.placing import File
from tests.repositories import git, make_repository


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Kept:
    """A cache, and a repository that packs come from."""

    def __init__(self, folder: Path) -> None:
        self.repository = make_repository(folder / "repository")
        self.objects = KeptObjects(str(folder / "kept"), 40)
        self.trees = 0

    @property
    def packs(self) -> list[Path]:
        return sorted(Path(self.objects.packs.folder).rglob("*.pack"))

    def receive(self, content: bytes) -> str:
        """As one placing does: a pack with one blob, and a tree that holds it."""
        object_id = git(self.repository, "hash-object", "-w", "--stdin", input=content)
        pack = subprocess.run(
            ["git", "pack-objects", "-q", "--stdout"],
            cwd=self.repository,
            input=object_id.encode() + b"\n",
            capture_output=True,
            check=True,
        )
        self.objects.packs.receive([pack.stdout])
        self.note([("a", 0o100644, object_id, len(content))])
        return object_id

    def note(self, files: list[File]) -> None:
        self.trees += 1
        place = Path(self.objects.folder, "lists", f"{self.trees:040}")
        self.objects.note(place.name, files, {})
        os.utime(place, ns=(self.trees, self.trees))

    def read(self, object_id: str) -> bytes:
        with self.objects.answers([object_id]) as answers:
            size = int(answers.readline().split()[2])
            return bytes(answers.read(size))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_many_packs_become_one_that_holds_what_the_last_trees_need(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_blobs, "MOST_PACKS", 7)
    contents = [f"content {number}".encode() for number in range(8)]
    ids = [kept.receive(content) for content in contents]

    with kept.objects.in_use() as lock:
        kept.objects.tidy(lock)

    assert len(kept.packs) == 1
    assert kept.objects.present(ids) == set(ids[-KEPT_TREES:])
    assert [kept.read(object_id) for object_id in ids[-KEPT_TREES:]] == contents[-KEPT_TREES:]


def test_few_packs_are_left_alone(kept: Kept) -> None:
    ids = [kept.receive(f"content {number}".encode()) for number in range(3)]

    with kept.objects.in_use() as lock:
        kept.objects.tidy(lock)

    assert len(kept.packs) == 3
    assert kept.objects.present(ids) == set(ids)


def test_nothing_is_taken_away_while_somebody_else_places(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_blobs, "MOST_PACKS", 3)
    ids = [kept.receive(f"content {number}".encode()) for number in range(8)]

    with kept.objects.in_use(), kept.objects.in_use() as lock:
        kept.objects.tidy(lock)

    assert kept.objects.present(ids) == set(ids)


def test_what_was_cut_short_goes_with_the_next_that_is_alone(kept: Kept) -> None:
    partial = [Path(kept.objects.files.folder, "tmp_1"), Path(kept.objects.packs.folder, "objects/pack/tmp_pack_1")]
    for path in partial:
        path.write_bytes(b"half")

    with kept.objects.in_use():
        pass

    assert not any(path.exists() for path in partial)


def test_what_another_is_receiving_stays(kept: Kept) -> None:
    partial = Path(kept.objects.files.folder, "tmp_1")
    with kept.objects.in_use():
        partial.write_bytes(b"half")
        with kept.objects.in_use():
            assert partial.exists()


def test_a_blob_that_is_not_what_its_id_says_is_not_taken_in(kept: Kept) -> None:
    with pytest.raises(NotWhatItSaysError):
        kept.objects.receive(blob_id(b"this"), 4, [b"that"])

    assert list(Path(kept.objects.files.folder).rglob("*")) == [Path(kept.objects.files.folder, blob_id(b"this")[:2])]


def test_a_pack_that_was_damaged_on_its_way_is_not_taken_in(kept: Kept) -> None:
    with pytest.raises(NotWhatItSaysError, match="pack"):
        kept.objects.packs.receive([b"PACK\0\0\0\2\0\0\0\1", b"nonsense" * 10])

    assert kept.packs == []


def test_blobs_in_files_and_in_packs_are_read_in_the_order_asked_for(kept: Kept) -> None:
    contents = [random.Random(number).randbytes(3000 * number) for number in range(6)]
    for number, content in enumerate(contents):
        if number % 2:
            kept.receive(content)
        else:
            kept.objects.receive(blob_id(content), len(content), [content])
    ids = [blob_id(content) for content in contents]

    with kept.objects.answers(ids) as answers:
        for content in contents:
            assert int(answers.readline().split()[2]) == len(content)
            found = answers.read(len(content)) if content else b""
            while len(found) < len(content):
                found += answers.read(len(content) - len(found))
            assert found == content
            answers.read(1)


def test_the_newest_earlier_blob_of_a_path_is_the_one_to_compare_with(kept: Kept) -> None:
    kept.receive(b"old")
    newer = kept.receive(b"new")

    assert kept.objects.earlier(["a", "b"]) == {"a": newer}


def test_a_damaged_list_is_as_none(kept: Kept) -> None:
    kept.receive(b"old")
    for path in Path(kept.objects.folder, "lists").iterdir():
        path.write_bytes(b"damaged")

    assert kept.objects.earlier(["a"]) == {}
    with kept.objects.in_use() as lock:
        kept.objects.tidy(lock)


def test_thrown_away_it_is_gone(kept: Kept) -> None:
    kept.receive(b"old")

    kept.objects.discard()

    assert not Path(kept.objects.folder).exists()
    assert list(Path(kept.objects.folder).parent.glob("kept*")) == []


def test_a_cache_that_another_keeps_locked_is_given_up_with_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_holder, "LOCKED_S", 0.05)
    kept = KeptObjects(str(tmp_path / "objects"), 40)
    with kept.in_use() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as who tidies it
        with pytest.raises(lock_holder.HeldError, match=rf"the cache of objects .* process {os.getpid()} \("):
            kept.in_use().__enter__()
    with kept.in_use():
        pass  # it is free again
