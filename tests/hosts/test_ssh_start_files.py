"""What a login shell prints before our program speaks is passed over, whatever it is, up to a bound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError
from amltool.hosts import ssh_stream
from amltool.hosts.ssh_requests import MOST_NOISE
from amltool.hosts.ssh_stream import MARK, SshStream

noises = st.lists(
    st.binary(max_size=40) | st.integers(0, len(MARK) - 1).map(lambda size: MARK[:size]) | st.just(MARK[1:]), max_size=6
).map(b"".join)


class _Transport:
    def is_active(self) -> bool:
        return True


class Channel:
    """Gives what a machine says, at most so many bytes at once."""

    def __init__(self, said: bytes, most: int) -> None:
        self._said, self._most = said, most

    def recv(self, size: int) -> bytes:
        size = min(size, self._most)
        block, self._said = self._said[:size], self._said[size:]
        return block

    def settimeout(self, timeout: float | None) -> None:
        pass

    def get_transport(self) -> _Transport:
        return _Transport()


def stream_of(channel: Any) -> SshStream:
    begin, ssh_stream.begin_command = ssh_stream.begin_command, lambda *_: None
    try:
        return SshStream(channel, ["cat"], "vm")
    finally:
        ssh_stream.begin_command = begin


@given(noises, st.binary(max_size=60), st.integers(1, 50))
@settings(deadline=None)
def test_only_what_comes_after_the_mark_is_read(noise: bytes, content: bytes, most: int) -> None:
    if MARK in noise:
        return
    assert stream_of(Channel(noise + MARK + content, most)).read() == content
    assert stream_of(Channel(noise + MARK + content, most)).socket.recv(100) == content[: min(100, most)]


def test_a_command_that_never_began_has_said_nothing() -> None:
    assert stream_of(Channel(b"hello\n", 3)).read() == b""


def test_start_files_that_print_without_end_are_a_sentence() -> None:
    with pytest.raises(TargetError, match="start"):
        stream_of(Channel(b"y\n" * MOST_NOISE, 1 << 16)).read()
