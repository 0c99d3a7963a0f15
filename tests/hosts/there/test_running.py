"""A short command, heard to its end."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from amltool.hosts.there.operations import end_session
from amltool.hosts.there.running import TooMuchError, heard

MEGABYTE = 1 << 20


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            yield process
        finally:
            end_session(process)


def said_by(*command: str, content: bytes = b"", timeout_s: float | None = 60, limit: int = 16 * MEGABYTE) -> object:
    with started(*command) as process:
        return (*heard(process, content, timeout_s, limit), process.returncode)


def test_both_streams_and_the_exit_code_come_apart() -> None:
    assert said_by("sh", "-c", "echo said; echo complained >&2; exit 7") == (b"said\n", b"complained\n", 7)


def test_what_it_reads_may_be_longer_than_any_pipe() -> None:
    content = bytes(range(256)) * 20_000
    assert said_by("cat", content=content) == (content, b"", 0)


def test_what_it_does_not_read_is_no_failure() -> None:
    assert said_by("true", content=bytes(MEGABYTE)) == (b"", b"", 0)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_as_much_as_it_may_print_is_taken_and_not_a_byte_more(stream: str) -> None:
    command = ["sh", "-c", f"head -c $0 /dev/zero >&{stream}", "1000"]
    stdout, stderr, _ = said_by(*command, limit=1000)  # type: ignore[misc]
    assert len(stdout + stderr) == 1000
    with pytest.raises(TooMuchError):
        said_by(*command, limit=999)


def test_a_command_that_prints_for_ever_is_not_heard_for_ever() -> None:
    with pytest.raises(TooMuchError):
        said_by("yes", timeout_s=None)


@pytest.mark.parametrize("script", ["sleep 60", "exec >&- 2>&-; sleep 60", "sleep 60 & exit 0"])
def test_a_command_over_its_time_is_told_from_one_that_ended(script: str) -> None:
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        said_by("sh", "-c", script, timeout_s=0.3)
    assert time.monotonic() - begun < 30
