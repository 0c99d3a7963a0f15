"""The bytes of a file as soon as there are any."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from amltool.hosts.there.answers import Answer
from amltool.hosts.there.soon import GATHER_S, read_soon


class Heard:
    """What was answered, and how long it took."""

    def __init__(self) -> None:
        self.content = b""
        self.is_all = False

    def end(self, body: bytes = b"", **header: Any) -> None:
        self.content, self.is_all = body, header["is_all"]


class Console:
    def __init__(self, folder: Path) -> None:
        self.path, self.until = folder / "console.log", folder / "exit.json"

    def ask(self, offset: int = 0, limit: int = 1000, wait_s: float = 10.0) -> Heard:
        heard = Heard()
        read_soon(cast(Answer, heard), os.fsencode(self.path), offset, limit, os.fsencode(self.until), wait_s)
        return heard


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path)


def test_what_is_there_comes_at_once(console: Console) -> None:
    console.path.write_bytes(b"one\ntwo\n")
    begun = time.monotonic()
    heard = console.ask(offset=4, wait_s=600.0)
    assert (heard.content, heard.is_all) == (b"two\n", False)
    assert time.monotonic() - begun < 300


def test_a_file_that_is_made_later_is_waited_for(console: Console) -> None:
    threading.Timer(0.1, lambda: console.path.write_bytes(b"late\n")).start()
    assert console.ask().content == b"late\n"


def test_what_follows_soon_comes_with_the_first(console: Console) -> None:
    console.path.write_bytes(b"one\n")
    begun = time.monotonic()

    def more() -> None:
        with console.path.open("ab") as stream:
            stream.write(b"two\n")

    threading.Timer(GATHER_S / 4, more).start()
    heard = console.ask()
    assert heard.content == b"one\ntwo\n" or time.monotonic() - begun > GATHER_S  # a thread may come late


def test_nothing_is_said_when_the_time_is_over(console: Console) -> None:
    heard = console.ask(wait_s=0.05)
    assert (heard.content, heard.is_all) == (b"", False)


def test_the_end_comes_with_the_last_bytes(console: Console) -> None:
    console.path.write_bytes(b"bye\n")
    console.until.touch()
    heard = console.ask()
    assert (heard.content, heard.is_all) == (b"bye\n", True)


def test_a_part_is_not_the_end(console: Console) -> None:
    console.path.write_bytes(b"x" * 10)
    console.until.touch()
    assert not console.ask(limit=10).is_all
    assert console.ask(offset=10, limit=10).is_all


def test_a_link_is_not_followed(console: Console, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    console.path.symlink_to("secret")
    with pytest.raises(OSError, match="symbolic link"):
        console.ask()


def test_what_is_no_file_is_not_waited_on(console: Console) -> None:
    os.mkfifo(console.path)
    with pytest.raises(OSError, match="not a regular file"):
        console.ask()
