"""The value of a snapshot: its tree's id, and which names and links it may hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import UserError
from amltool.snapshot import FILE_MODE, SnapshotFile, check_links, check_names, tree_id

EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def file(path: str, mode: int = FILE_MODE) -> SnapshotFile:
    return SnapshotFile(path, mode, EMPTY_BLOB, 0)


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "a/./b", ".", "..", "", "a//b", "/a", ".git", "a/.GIT/config", "a/.Git"]
)
def test_names_that_would_be_written_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="unsafe name"):
        check_names([file("fine.txt"), file(name)])


@pytest.mark.parametrize("name", [".gitignore", "a/.github/x", "...", "a..b", ".a", "x.git", "git", "a\nb", "..a/b"])
def test_ordinary_names_are_fine(name: str) -> None:
    check_names([file(name), file("other")])


def test_the_empty_tree_has_gits_id() -> None:
    assert tree_id([]) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


names = st.text(alphabet="ab.-", min_size=1, max_size=6).filter(lambda name: name.strip("."))
texts = st.text(alphabet="ab.-/", min_size=1, max_size=6)


@given(st.lists(names, max_size=4), texts)
@settings(max_examples=200)
def test_a_link_leaves_exactly_when_resolving_it_step_by_step_does(parts: list[str], target: str) -> None:
    path = "/".join(["d", *parts, "link"])
    depth, leaves = path.count("/"), target.startswith("/")
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        leaves = leaves or depth < 0
    if leaves:
        with pytest.raises(UserError, match="lead out"):
            check_links({path: target})
    else:
        check_links({path: target})
