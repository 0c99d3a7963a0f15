"""What every artifact store must do, as a suite to inherit from, and a store in memory for tests."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import io
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pytest

from amltool.artifact import STORED_HERE
from amltool.errors import DamagedError
from amltool.stores.base import ArtifactStore, Kept

BLOCK = 1 << 20
LARGE = bytes(range(256)) * (3 * BLOCK // 256) + b"tail"


class FakeStore:
    """An artifact store in memory; ``contents`` may be changed by a test to play bit rot."""

    def __init__(self, address: str = STORED_HERE) -> None:
        self._address = address
        self.contents: dict[str, bytes] = {}
        self.flushed: set[str] = set()
        self.foreign_names: list[str] = []

    @property
    def address(self) -> str:
        return self._address

    def ready(self) -> None:
        """It always is."""

    def put(self, stream: BinaryIO, limit: int | None = None, name: str | None = None) -> Kept:  # noqa: ARG002
        content = b""
        while block := stream.read(BLOCK):
            content += block
            if limit is not None and len(content) > limit:
                raise ValueError(f"more than {limit} bytes")
        sha256 = hashlib.sha256(content).hexdigest()
        self.contents.setdefault(sha256, content)
        return Kept(sha256, len(content))

    def flush(self) -> None:
        self.flushed |= set(self.contents)

    @contextlib.contextmanager
    def open(self, sha256: str, begun: Iterable[bytes] = ()) -> Iterator[BinaryIO]:
        start = b"".join(begun)
        content = start + self.contents[sha256][len(start) :]
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DamagedError(f"The artifact {sha256[:12]} is damaged.", "Run its run again.")
        yield io.BytesIO(content[len(start) :])

    def contains(self, sha256: str) -> bool:
        return sha256 in self.contents

    def remove(self, sha256: str) -> None:
        self.contents.pop(sha256, None)

    def walk(self) -> Iterator[Kept]:
        for sha256, content in sorted(self.contents.items()):
            yield Kept(sha256, len(content))

    def check(self, sha256: str) -> bool:
        return hashlib.sha256(self.contents[sha256]).hexdigest() == sha256

    def foreign(self) -> Iterator[str]:
        yield from self.foreign_names


class _BrokenStream(io.BytesIO):
    """A stream whose source fails after the first block."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 0:
            raise OSError(5, "the source broke")
        return super().read(size)


class ArtifactStoreContract:
    """Inherit from it, give a ``store`` fixture (empty, a new one a test), a way to ``damage`` what is kept, and one to
    ``add`` what is not ours."""

    @pytest.fixture
    def store(self) -> ArtifactStore:
        raise NotImplementedError

    def damage(self, store: ArtifactStore, sha256: str, content: bytes) -> None:
        """Replace the bytes that are kept under a SHA-256 by others, behind the store's back."""
        raise NotImplementedError

    def add(self, store: ArtifactStore, name: str, content: bytes) -> None:
        """Lay something foreign of this name among the content, behind the store's back."""
        raise NotImplementedError

    def test_what_is_foreign_is_named_and_nothing_else(self, store: ArtifactStore) -> None:
        for content in (b"", b"x", LARGE):
            store.put(io.BytesIO(content))
        store.flush()
        assert list(store.foreign()) == []
        self.add(store, "strange.bin", b"content")
        (name,) = store.foreign()
        assert name.endswith("strange.bin")

    def test_a_store_that_is_ready_was_not_changed_by_the_question(self, store: ArtifactStore) -> None:
        store.ready()
        assert list(store.walk()) == []

    @pytest.mark.parametrize("content", [b"", b"x", b"a\0\r\n\xff", LARGE], ids=["empty", "one byte", "binary", "3 MB"])
    def test_what_is_put_is_given_back_under_its_sha256(self, store: ArtifactStore, content: bytes) -> None:
        kept = store.put(io.BytesIO(content))
        assert kept == Kept(hashlib.sha256(content).hexdigest(), len(content))
        with store.open(kept.sha256) as stream:
            assert stream.read() == content

    def test_content_can_be_read_in_blocks(self, store: ArtifactStore) -> None:
        kept = store.put(io.BytesIO(LARGE))
        blocks = []
        with store.open(kept.sha256) as stream:
            while block := stream.read(100_000):
                blocks.append(block)
        assert b"".join(blocks) == LARGE

    @pytest.mark.parametrize("size", [0, 1, BLOCK, len(LARGE) - 1, len(LARGE)])
    def test_what_is_begun_is_gone_on_with(self, store: ArtifactStore, size: int) -> None:
        kept = store.put(io.BytesIO(LARGE))
        with store.open(kept.sha256, [LARGE[: size // 2], LARGE[size // 2 : size]]) as stream:
            assert stream.read() == LARGE[size:]

    @pytest.mark.parametrize("begun", [b"x", b"x" * BLOCK, b"x" * len(LARGE), LARGE + b"x"])
    def test_what_was_begun_with_other_bytes_never_comes_to_a_good_end(
        self, store: ArtifactStore, begun: bytes
    ) -> None:
        kept = store.put(io.BytesIO(LARGE))
        with pytest.raises(DamagedError), store.open(kept.sha256, [begun]) as stream:
            stream.read()

    def test_the_same_content_is_kept_once(self, store: ArtifactStore) -> None:
        first, second = store.put(io.BytesIO(b"same")), store.put(io.BytesIO(b"same"))
        assert first == second
        assert list(store.walk()) == [first]

    def test_what_was_never_put_is_not_there(self, store: ArtifactStore) -> None:
        absent = "0" * 64
        assert not store.contains(absent)
        with pytest.raises(KeyError), store.open(absent) as stream:
            stream.read()
        with pytest.raises(KeyError):
            store.check(absent)

    @pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "/etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
    def test_a_name_that_is_no_sha256_is_not_there(self, store: ArtifactStore, name: str) -> None:
        assert not store.contains(name)
        with pytest.raises(KeyError), store.open(name) as stream:
            stream.read()
        store.remove(name)

    def test_content_within_the_limit_is_kept(self, store: ArtifactStore) -> None:
        assert store.contains(store.put(io.BytesIO(b"12345"), limit=5).sha256)

    def test_content_over_the_limit_is_refused_and_nothing_is_kept(self, store: ArtifactStore) -> None:
        with pytest.raises(ValueError):
            store.put(io.BytesIO(LARGE), limit=len(LARGE) - 1)
        assert list(store.walk()) == []

    def test_a_stream_that_breaks_leaves_nothing_and_says_its_own_error(self, store: ArtifactStore) -> None:
        with pytest.raises(OSError, match="the source broke"):
            store.put(_BrokenStream(LARGE))
        assert list(store.walk()) == []

    def test_what_was_removed_is_not_there(self, store: ArtifactStore) -> None:
        kept = store.put(io.BytesIO(b"gone"))
        store.remove(kept.sha256)
        store.remove(kept.sha256)
        assert not store.contains(kept.sha256)
        assert list(store.walk()) == []
        store.flush()

    def test_what_was_removed_can_be_put_again(self, store: ArtifactStore) -> None:
        kept = store.put(io.BytesIO(b"again"))
        store.remove(kept.sha256)
        assert store.put(io.BytesIO(b"again")) == kept
        assert store.check(kept.sha256)

    def test_everything_is_walked_in_order_of_sha256(self, store: ArtifactStore) -> None:
        kept = [store.put(io.BytesIO(b"%d" % number)) for number in range(50)]
        assert list(store.walk()) == sorted(kept, key=lambda one: one.sha256)

    def test_flush_may_be_called_at_any_time(self, store: ArtifactStore) -> None:
        store.flush()
        kept = [store.put(io.BytesIO(b"%d" % number)) for number in range(100)]
        store.flush()
        store.flush()
        assert all(store.check(one.sha256) for one in kept)

    @pytest.mark.parametrize("content", [b"", LARGE[:-1] + b"x", LARGE + b"more"], ids=["emptied", "changed", "longer"])
    def test_damaged_content_is_never_given_as_whole(self, store: ArtifactStore, content: bytes) -> None:
        kept = store.put(io.BytesIO(LARGE))
        self.damage(store, kept.sha256, content)
        assert store.check(kept.sha256) is False
        with pytest.raises(DamagedError), store.open(kept.sha256) as stream:
            collections.deque(iter(lambda: stream.read(BLOCK), b""), maxlen=0)

    def test_a_reader_of_exactly_the_size_sees_the_damage_too(self, store: ArtifactStore) -> None:
        kept = store.put(io.BytesIO(LARGE))
        self.damage(store, kept.sha256, b"x" + LARGE[1:])
        with pytest.raises(DamagedError), store.open(kept.sha256) as stream:
            stream.read(kept.size)

    def test_writers_at_once_lose_nothing(self, store: ArtifactStore) -> None:
        contents = [b"%d" % (number % 40) for number in range(160)]
        failures: list[BaseException] = []

        def write(part: list[bytes]) -> None:
            try:
                for content in part:
                    store.put(io.BytesIO(content))
                store.flush()
            except BaseException as error:
                failures.append(error)

        writers = [threading.Thread(target=write, args=(contents[start::8],)) for start in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert failures == []
        assert {one.sha256 for one in store.walk()} == {hashlib.sha256(content).hexdigest() for content in contents}
        assert all(store.check(one.sha256) for one in store.walk())
