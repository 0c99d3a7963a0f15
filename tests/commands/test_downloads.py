"""`outputs`: what is listed, and files that are brought to a folder, all or none, gone on with where it ended."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.commands.downloads import Wanted, bring, safe_parts
from amltool.errors import DamagedError, TargetError, UserError
from tests.amltool_command import amltool, make_project, submit

STAGING = ".amltool-RUN.part"
CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SCRIPT = """
import os
os.makedirs("outputs/deep")
open("outputs/model.bin", "wb").write(b"weights")
open("outputs/deep/copy.bin", "wb").write(b"weights")
open("outputs/plot.png", "wb").write(b"picture")
os.symlink("/etc/hostname", "outputs/link")
print("trained")
"""


class Source:
    """Content that can be cut after so many bytes; ``asked`` are the offsets from which on it was read."""

    def __init__(self, content: bytes = CONTENT, cut: int | None = None) -> None:
        self.content, self.cut = content, cut
        self.asked: list[int] = []

    def rest(self, begun: Iterator[bytes]) -> Iterator[bytes]:
        start = b"".join(begun)
        self.asked.append(len(start))
        if start != self.content[: len(start)]:
            raise DamagedError("other bytes", "")
        for place in range(len(start), len(self.content), 1000):
            if self.cut is not None and place >= self.cut:
                raise TargetError("The store does not answer.", "Try again.")
            yield self.content[place : place + 1000]

    def wanted(self, *paths: str) -> Wanted:
        sha256 = hashlib.sha256(self.content).hexdigest()
        return Wanted(sha256, len(self.content), tuple(safe_parts(path) for path in paths), self.rest, sha256)


def test_a_download_that_was_cut_goes_on_where_it_ended(tmp_path: Path) -> None:
    source = Source(cut=2_000_000)
    with pytest.raises(TargetError, match="the same command goes on"):
        bring(tmp_path, STAGING, [source.wanted("a"), Source(b"small").wanted("b")])
    assert [each.name for each in tmp_path.iterdir()] == [STAGING]

    source.cut = None
    told: list[int] = []
    bring(tmp_path, STAGING, [source.wanted("a"), Source(b"small").wanted("b")], progress=told.append)

    assert source.asked == [0, 2_000_000]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert sum(told) == len(CONTENT) + 5


@pytest.mark.parametrize("begun", [b"other", b"", CONTENT + b"more", CONTENT])
def test_what_lies_there_already_is_never_trusted(tmp_path: Path, begun: bytes) -> None:
    (tmp_path / STAGING).mkdir()
    (tmp_path / STAGING / SHA256).write_bytes(begun)

    bring(tmp_path, STAGING, [Source().wanted("a")])

    assert (tmp_path / "a").read_bytes() == CONTENT


def test_the_same_content_comes_once_and_each_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    source = Source()
    bring(tmp_path, STAGING, [source.wanted("a", "deep/b", "deep/c")])

    assert source.asked == [0]
    files = [tmp_path / "a", tmp_path / "deep/b", tmp_path / "deep/c"]
    assert {each.read_bytes() for each in files} == {CONTENT}
    assert len({each.stat().st_ino for each in files}) == 3


def test_with_overwrite_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    right, wrong = Source(), Source(b"right bytes")
    (tmp_path / "a").write_bytes(CONTENT)
    (tmp_path / "b").write_bytes(b"wrong bytes")

    bring(tmp_path, STAGING, [right.wanted("a"), wrong.wanted("b")], overwrite=True)

    assert (right.asked, wrong.asked) == ([], [0])
    assert (tmp_path / "b").read_bytes() == b"right bytes"


def test_one_at_a_time_brings_the_same_files(tmp_path: Path) -> None:
    other = Source(b"other")

    def rest(begun: Iterator[bytes]) -> Iterator[bytes]:
        with pytest.raises(UserError, match="Another process"):
            bring(tmp_path, STAGING, [other.wanted("b")])
        return Source().rest(begun)

    bring(tmp_path, STAGING, [Wanted(SHA256, len(CONTENT), (("a",),), rest, SHA256)])

    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("key", ["../out", "a/b", "/out", "..", ""])
def test_a_content_that_is_named_like_a_path_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError):
        bring(tmp_path / "into", STAGING, [Wanted(key, 1, (("a",),), lambda _: iter([b"x"]))])
    assert not (tmp_path / "into" / "a").exists()
    assert not (tmp_path / "out").exists()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "/", "a/b", "x\0y", "ü"]), min_size=1, max_size=4))
def test_no_path_leaves_the_folder(parts: list[str]) -> None:
    path = "/".join(parts)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made, "into")
        try:
            bring(folder, STAGING, [Source(b"x").wanted(path)])
        except UserError:
            assert not folder.exists()
        else:
            assert (folder / path).read_bytes() == b"x"
        assert {each.name for each in Path(made).iterdir()} <= {"into"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "iris", {"train.py": SCRIPT})


def test_outputs_are_listed_with_what_was_left_out(project: Path) -> None:
    submit(project)
    listed = amltool(project, "outputs").stdout
    kept, _, left_out = listed.partition("Left out:")
    assert "outputs/model.bin" in kept
    assert hashlib.sha256(b"weights").hexdigest()[:12] in kept
    assert "outputs/link" in left_out
    assert "outputs/link" not in kept


def test_one_file_is_printed_and_nothing_else(project: Path) -> None:
    submit(project)
    assert amltool(project, "outputs", "@", "--path", "outputs/model.bin", "--stdout").stdout == "weights"
    for words in (("--path", "outputs"), (), ("--path", "console.log", "--json")):
        refused = amltool(project, "outputs", "@", "--stdout", *words, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "--stdout prints" in refused.stderr


def test_what_is_shown_is_a_picture_itself_and_else_its_folder(project: Path, tmp_path: Path) -> None:
    submit(project)
    opener, seen = tmp_path / "bin" / "xdg-open", tmp_path / "seen"
    opener.parent.mkdir()
    os.mkfifo(seen)
    opener.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    opener.chmod(0o755)
    path = f"{opener.parent}{os.pathsep}{os.environ['PATH']}"

    def shown(*words: str) -> Path:
        amltool(project, "outputs", "@", "--open", "--download", str(tmp_path / words[0]), *words[1:], PATH=path)
        return Path(seen.read_text().strip())

    assert shown("first", "--path", "outputs/plot.png") == tmp_path / "first/outputs/plot.png"
    assert shown("second", "--path", "outputs/model.bin") == tmp_path / "second/outputs"
    assert shown("third") == tmp_path / "third"


def test_json_lists_the_artifacts(project: Path) -> None:
    submit(project)
    listed = json.loads(amltool(project, "outputs", "--json").stdout)
    assert {each["path"] for each in listed} >= {"outputs/model.bin", "outputs/deep/copy.bin", "console.log"}
