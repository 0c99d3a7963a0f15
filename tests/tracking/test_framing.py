"""Messages between the two ends of a placing, and what is none."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking.framing import CutError, framed, message, read_message

MEGABYTE = 1 << 20
VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=20)


def read(content: bytes, **most: int) -> Any:
    return read_message(io.BytesIO(content).read, **most)


@given(VALUES)
def test_what_is_said_is_heard(value: Any) -> None:
    assert read(message(value)) == value


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0\0", framed(b"")[:3], framed(b""), framed(b"no zlib"), framed(zlib.compress(b"no JSON")),
        framed(zlib.compress("é".encode())), framed(zlib.compress(b"1" * 9999)[:-5]), message([1, 2])[:-1],
        framed(zlib.compress(b"[" * 100_000)), struct.pack(">I", (1 << 32) - 1) + b"x",
    ],
)  # fmt: skip
def test_what_is_no_whole_message_is_cut(content: bytes) -> None:
    with pytest.raises(CutError):
        read(content)


@pytest.mark.parametrize(
    "content", [framed(zlib.compress(bytes(200 * MEGABYTE))), framed(bytes(20 * MEGABYTE))], ids=["packed", "as it is"]
)
def test_a_message_that_is_too_long_takes_no_more_room_than_it_may(content: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(CutError):
        read(content, most=MEGABYTE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def test_a_message_may_be_as_long_as_it_may() -> None:
    text = "a" * 1000
    assert read(message(text), most=len(json.dumps(text))) == text
    with pytest.raises(CutError):
        read(message(text), most=len(json.dumps(text)) - 1)
