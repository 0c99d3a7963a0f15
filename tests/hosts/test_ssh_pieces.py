"""Pieces of many files over SSH: few round trips, and nothing but what was asked for is taken from a host that lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError
from amltool.hosts.base import LARGEST_PIECE, Piece
from amltool.hosts.ssh import SshHost
from amltool.hosts.ssh_pieces import MOST_PIECES, answered, ask_for, groups
from amltool.hosts.ssh_requests import Requests
from amltool.layout import HostLayout
from amltool.targets.collecting import collect
from amltool.testing.stores import FakeStore
from tests.hosts.test_ssh_requests import GREETING, FakeChannel, frame

WANTED = [Piece("a", 4), Piece("b", 4)]
MANY = """
import os, sys
for name in range(int(sys.argv[2])):
    place = sys.argv[1] + "/%d" % (name % 7)
    os.makedirs(place, exist_ok=True)
    with open(place + "/%d" % name, "w") as stream:
        stream.write("content %d" % name)
"""


def given_by(*answers: bytes) -> list[bytes | OSError]:
    requests = Requests(FakeChannel(GREETING, b"".join(answers)), "vm")  # type: ignore[arg-type]
    return answered(ask_for(requests, PurePosixPath("/x"), WANTED), WANTED, "vm")


def test_pieces_are_told_apart_by_their_sizes() -> None:
    assert given_by(frame({"to": 1, "sizes": [3, 4]}, b"abcdefg")) == [b"abc", b"defg"]
    parts = frame({"to": 1, "more": True, "sizes": [3]}, b"abc"), frame({"to": 1, "sizes": [0]})
    assert given_by(*parts) == [b"abc", b""]


def test_an_error_takes_the_place_of_a_piece() -> None:
    first, second = given_by(frame({"to": 1, "sizes": [["ENOENT", "gone"], 1]}, b"b"))
    assert isinstance(first, FileNotFoundError)
    assert (first.filename, second) == ("a", b"b")


@pytest.mark.parametrize(
    ("sizes", "body"),
    [
        ([5, 1], b"abcdef"),
        ([4, 4], b"abcdefg"),
        ([4, 4], b"abcdefghi"),
        ([4], b"abcd"),
        ([1, 1, 1], b"abc"),
        ([-1, 3], b"abc"),
        ([3, None], b"abc"),
        ("ab", b"ab"),
        ([["ENOENT"], 1], b"a"),
    ],
)
def test_an_answer_to_another_question_is_refused(sizes: Any, body: bytes) -> None:
    with pytest.raises(TargetError, match=r"did not answer what it was asked|gives an answer that is none"):
        given_by(frame({"to": 1, "sizes": sizes}, body))


def test_a_host_that_never_stops_does_not_fill_our_memory() -> None:
    endless = frame({"to": 1, "more": True, "sizes": []}, bytes(1000)) * 1000
    requests = Requests(FakeChannel(GREETING, endless), "vm")  # type: ignore[arg-type]
    pending = ask_for(requests, PurePosixPath("/x"), WANTED)
    with pytest.raises(TargetError, match=r"did not answer|more than it was asked for"):
        answered(pending, WANTED, "vm")
    requests.close()
    assert pending._parts.qsize() <= 2


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-1, 5), st.tuples(st.text(max_size=3), st.text(max_size=3)), st.none()), max_size=4),
    st.binary(max_size=9),
    st.booleans(),
)
def test_whatever_a_host_answers_is_no_more_than_was_asked_for(sizes: list[Any], body: bytes, more: bool) -> None:
    try:
        found = given_by(frame({"to": 1, "sizes": sizes, **({"more": True} if more else {})}, body))
    except TargetError:
        return
    assert [isinstance(one, OSError) or len(one) <= 4 for one in found] == [True, True]


@given(st.lists(st.integers(0, LARGEST_PIECE), max_size=30))
def test_every_piece_is_in_one_group_and_no_group_is_too_large(limits: list[int]) -> None:
    wanted = [Piece(str(number), limit) for number, limit in enumerate(limits)]
    made = list(groups(wanted))
    assert [piece for group in made for piece in group] == wanted
    assert all(group and sum(piece.limit for piece in group) <= LARGEST_PIECE for group in made)


def test_a_piece_that_is_too_large_to_be_one_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="bytes"):
        list(groups([Piece("a", LARGEST_PIECE + 1)]))


@pytest.fixture
def place(ssh_host: SshHost) -> Iterator[PurePosixPath]:
    folder = ssh_host.root / "runs" / os.urandom(4).hex()
    ssh_host.make_folder(folder)
    yield folder
    ssh_host.remove(folder)


def make_many(host: SshHost, folder: PurePosixPath, count: int) -> None:
    assert host.run(["python3", "-c", MANY, str(folder), str(count)]).exit_code == 0


def test_two_thousand_outputs_take_a_few_round_trips(ssh_host: SshHost, place: PurePosixPath) -> None:
    folder = HostLayout(ssh_host.root).run(place.name)
    make_many(ssh_host, folder.outputs, 2000)
    before = ssh_host.round_trips
    found = collect(ssh_host, folder, store := FakeStore())
    assert ssh_host.round_trips - before <= 5 + 2000 / MOST_PIECES
    kept = {artifact.path: store.contents[artifact.sha256] for artifact in found.artifacts}
    assert kept == {f"outputs/{name % 7}/{name}": b"content %d" % name for name in range(2000)}


def test_a_connection_that_goes_away_between_costs_nothing(ssh_host: SshHost, place: PurePosixPath) -> None:
    make_many(ssh_host, place, 3000)
    wanted = [Piece(f"{name % 7}/{name}", 100) for name in range(3000)]
    found = []
    for number, content in enumerate(ssh_host.pieces(place, wanted)):
        if number in (10, 1700):
            ssh_host.close()
        found.append(content)
    assert found == [b"content %d" % name for name in range(3000)]
