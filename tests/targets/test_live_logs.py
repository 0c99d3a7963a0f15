"""Files of a run that goes on: one that grows, and all of `logs/` in a folder here."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError, UserError
from amltool.hosts.base import LARGEST_PIECE
from amltool.targets.live_logs import MOST_AT_ONCE, LogReader, LogsCopy, files_of, parts_of
from amltool.testing.hosts import FakeHost

WORK = PurePosixPath("/fake/work")


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def reader_of(host: FakeHost, path: str = "logs/train.log") -> LogReader:
    return LogReader(host, lambda: WORK, path)


def copy_of(host: FakeHost, into: Path) -> LogsCopy:
    return LogsCopy(host, lambda: WORK, into)


def test_a_file_is_read_as_it_grows_and_waited_for_before(host: FakeHost) -> None:
    reader = reader_of(host)
    assert (reader.new(), reader.is_there) == ([], False)
    host.write(WORK / "logs/train.log", b"one\n")
    assert (reader.new(), reader.is_there) == ([b"one\n"], True)
    assert reader.new() == []
    host.write(WORK / "logs/train.log", b"one\ntwo\n")
    assert reader.new() == [b"two\n"]


def test_a_large_file_comes_whole(host: FakeHost) -> None:
    content = os.urandom(2 * LARGEST_PIECE)
    host.write(WORK / "logs/train.log", content)
    assert b"".join(reader_of(host).new()) == content


def test_a_link_is_not_followed(host: FakeHost) -> None:
    host.write(PurePosixPath("/etc/shadow"), b"secret")
    host.make_folder(WORK / "logs")
    host.link(WORK / "logs/train.log", "/etc/shadow")
    with pytest.raises(UserError, match="cannot be read") as refused:
        reader_of(host).new()
    assert "not followed" in refused.value.remedy


@pytest.mark.parametrize(
    "path", ["", "logs", "logs/", "/etc/passwd", "../x", "logs/../x", "logs//x", "train.py", "logs/./x", "logs/a\0"]
)
def test_only_files_below_logs_and_outputs_can_be_named(host: FakeHost, path: str) -> None:
    with pytest.raises(UserError, match="no file under logs/ or outputs/"):
        reader_of(host, path)


def test_what_there_is_are_regular_files_below_the_two_folders(host: FakeHost) -> None:
    for path in ("logs/a/train.log", "outputs/model", "train.py", os.fsdecode(b"logs/\xff")):
        host.write(WORK / path, b"12")
    host.link(WORK / "logs/link", "a/train.log")
    host.special(WORK / "outputs/fifo")
    assert [(file.path, file.size) for file in files_of(host, WORK)] == [
        ("logs/a/train.log", 2),
        ("logs/\\xff", 2),
        ("outputs/model", 2),
    ]


def test_logs_grow_here_as_they_grow_there(host: FakeHost, tmp_path: Path) -> None:
    copy = copy_of(host, tmp_path)
    assert copy.bring() == 0
    host.write(WORK / "logs/a/events", b"one")
    host.write(WORK / "logs/empty", b"")
    host.write(WORK / "outputs/model", b"no log")
    assert copy.bring() == 3
    host.write(WORK / "logs/a/events", b"one two")
    host.write(WORK / "logs/b", b"b")
    assert (copy.bring(), copy.bring()) == (5, 0)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"logs/a/events": b"one two", "logs/b": b"b", "logs/empty": b""}


def test_a_file_that_became_smaller_begins_anew(host: FakeHost, tmp_path: Path) -> None:
    copy = copy_of(host, tmp_path)
    host.write(WORK / "logs/a", b"0123456789")
    copy.bring()
    host.write(WORK / "logs/a", b"xyz")
    copy.bring()
    assert (tmp_path / "logs/a").read_bytes() == b"xyz"
    host.write(WORK / "logs/a", b"")
    copy.bring()
    assert (tmp_path / "logs/a").read_bytes() == b""


def test_a_look_brings_so_much_and_no_more(host: FakeHost, tmp_path: Path) -> None:
    for number in range(20):
        host.write(WORK / f"logs/{number}", bytes(LARGEST_PIECE + 1))
    copy = copy_of(host, tmp_path)
    assert copy.bring() == MOST_AT_ONCE
    while copy.bring():
        pass
    assert {path.stat().st_size for path in (tmp_path / "logs").iterdir()} == {LARGEST_PIECE + 1}
    assert len(list((tmp_path / "logs").iterdir())) == 20


def test_what_cannot_be_kept_here_is_named_and_the_rest_comes(host: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "logs/link").symlink_to(tmp_path / "secret")
    (tmp_path / "logs/file").write_text("")
    for name in ("link", "file/below", "other", "x" * 300):
        host.write(WORK / "logs" / name, b"theirs")
    copy = copy_of(host, tmp_path)
    copy.bring()
    assert set(copy.refused) == {"link", "file/below", "x" * 300}
    assert (tmp_path / "secret").read_text() == "mine"
    assert (tmp_path / "logs/other").read_bytes() == b"theirs"
    assert copy.bring() == 0


def test_a_host_that_is_away_is_said(host: FakeHost, tmp_path: Path) -> None:
    host.reachable = False
    with pytest.raises(TargetError):
        copy_of(host, tmp_path).bring()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=6)), max_size=3), max_size=6))
def test_whatever_is_appended_is_here_once(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    host, into = FakeHost(), tmp_path_factory.mktemp("into")
    copy, contents = copy_of(host, into), dict[str, bytes]()
    for step in steps:
        for name, more in step:
            contents[name] = contents.get(name, b"") + more
            host.write(WORK / "logs" / name, contents[name])
        copy.bring()
        assert {name: (into / "logs" / name).read_bytes() for name in contents} == contents


@given(st.text(max_size=20))
def test_a_path_that_is_taken_leads_nowhere_else(path: str) -> None:
    try:
        parts = parts_of(f"logs/{path}")
    except UserError:
        return
    assert os.path.normpath("/x/" + "/".join(parts)) == "/x/" + "/".join(parts)
