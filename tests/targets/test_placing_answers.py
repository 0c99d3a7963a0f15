"""What a machine may answer while a snapshot is placed on it that is not well, or hostile: always a sentence."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import TargetError, UserError
from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.hosts.streaming import StreamingHost
from amltool.layout import HostLayout
from amltool.limits import Profile
from amltool.snapshot import Snapshot
from amltool.targets.placing_there import make_place
from amltool.tracking import travel
from amltool.tracking.framing import message
from tests.repositories import make_repository

LACKING = {"git": True, "blobs": [0], "earlier": {}, "large": []}
DONE = {"files": 1, "bytes": 1, "placed": "0" * 64, "inode": 1}


class Answers:
    """A machine that says the same to everybody, and takes what it is given."""

    name, root = "there", PurePosixPath("/there/.amltool")

    def __init__(self, *said: Any) -> None:
        self._said = b"".join(map(message, said))
        self._left = b""

    def open_stream(self, _: object) -> Answers:
        self._left = self._said
        return self

    def read(self, size: int) -> bytes:
        block, self._left = self._left[:size], self._left[size:]
        return block

    def write(self, content: bytes) -> None: ...

    def close_writing(self) -> None: ...

    def close(self) -> None: ...

    def stderr(self) -> bytes:
        return b""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:  # it is made before a test has a home, and Git an identity
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada Lovelace")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
        return make_repository(tmp_path_factory.mktemp("answers") / "project", {"train.py": "print(1)\n"})


def place(repository: Path, *said: Any) -> None:
    git = Git.at(repository)
    snapshot: Snapshot = take(git, survey(git, "", ".", Profile.SDK))
    host = Answers(*said)
    tracking = travel.at(HostLayout(host.root).tracking("digest"))
    make_place(cast(StreamingHost, host), tracking)(git, HostLayout(host.root).run("run"), snapshot)


def test_what_a_machine_should_answer_is_understood(repository: Path) -> None:
    place(repository, LACKING, DONE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"blobs": [1]}, {"blobs": [-1]}, {"blobs": ["0"]}, {"blobs": None}, {"large": ["0" * 64]}, {"git": 1},
        {"earlier": {"x": "0" * 40}}, {"earlier": {"7": "0" * 40}}, {"earlier": {"0": "../../secret"}},
        {"earlier": {"0": "zz" * 20}},
    ],
    ids=str,
)  # fmt: skip
def test_a_machine_that_lacks_what_is_not_in_the_snapshot_is_a_sentence(repository: Path, wrong: Any) -> None:
    with pytest.raises(TargetError, match="there gives an answer that is none"):
        place(repository, {**LACKING, **wrong}, DONE)


@pytest.mark.parametrize("end", [[], None, 5, "files", {}, {"files": "many"}, {"errno": None}, {"errno": "x"}], ids=str)
def test_an_end_that_is_none_is_a_sentence(repository: Path, end: Any) -> None:
    with pytest.raises(UserError):
        place(repository, LACKING, end)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(
    st.sampled_from(["git", "blobs", "earlier", "large", "files", "again", "refused", "overtaken", "errno", "path"]),
    st.one_of(st.integers(-2, 2), st.text(max_size=3), st.none(), st.booleans(), st.lists(st.integers(), max_size=2)),
), max_size=3))  # fmt: skip
def test_whatever_a_machine_answers_is_an_answer_or_a_sentence(repository: Path, said: list[Any]) -> None:
    try:
        place(repository, *said)
    except UserError:
        return
