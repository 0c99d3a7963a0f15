"""Content that is read twice: the first time to know its SHA-256, the second to be sent."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.stores.base import Kept
from amltool.stores.blob_content import BLOCK, MOST_BLOCKS, Block, Content, take

LARGE = random.Random(3).randbytes(2 * BLOCK + 77)


class Unseekable(io.RawIOBase):
    """What comes from a machine: small pieces, and no way back."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, 100_001))


def sent(content: Content) -> bytes:
    return b"".join(content.read(block) for block in content.blocks) if content.file else content.memory


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, len(LARGE)])
@pytest.mark.parametrize("kind", ["a file", "a stream"])
def test_what_is_sent_is_what_was_read(tmp_path: Path, kind: str, size: int) -> None:
    expected = LARGE[:size]
    (tmp_path / "x").write_bytes(expected)
    with (tmp_path / "x").open("rb") if kind == "a file" else Unseekable(expected) as stream:
        content = take(stream)

    assert content.kept == Kept(hashlib.sha256(expected).hexdigest(), size)
    assert sent(content) == expected
    content.close()


def test_a_large_file_is_not_copied_and_small_content_stays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LARGE)
    with (tmp_path / "x").open("rb") as stream:
        content = take(stream)
    assert content.file is not None
    assert Path(f"/proc/self/fd/{content.file.fileno()}").resolve() == tmp_path / "x"
    content.close()
    assert take(io.BytesIO(b"small")).file is None


def test_a_file_that_is_read_from_its_middle_is_copied(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"ab" + LARGE)
    with (tmp_path / "x").open("rb") as stream:
        stream.seek(2)
        content = take(stream)
    assert sent(content) == LARGE
    content.close()


def test_a_file_that_changes_in_between_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(LARGE)
    with (tmp_path / "x").open("rb") as stream:
        content = take(stream)
    with (tmp_path / "x").open("r+b") as stream:
        stream.write(b"changed")
    with pytest.raises(UserError, match="changed while it was sent"):
        content.read(content.blocks[0])
    assert content.read(content.blocks[1]) == LARGE[BLOCK : 2 * BLOCK]
    content.close()


def test_the_id_of_a_block_tells_its_place_and_its_bytes() -> None:
    ids = {Block(0, 1, "a" * 64).id, Block(1, 1, "a" * 64).id, Block(0, 1, "b" * 64).id}
    assert len(ids) == 3
    assert {len(each) for each in [*ids, Block(MOST_BLOCKS * BLOCK * 100, 1, "c" * 64).id]} == {60}


@pytest.mark.parametrize("limit", [0, BLOCK - 1, len(LARGE) - 1])
def test_more_than_the_limit_is_refused(limit: int) -> None:
    with pytest.raises(ValueError):
        take(io.BytesIO(LARGE), limit)
    assert take(io.BytesIO(LARGE), len(LARGE)).kept.size == len(LARGE)
