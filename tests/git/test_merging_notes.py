"""Clones that exchange their histories converge, whoever merges what first."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amltool.git.command import Git
from amltool.git.merging_notes import merge, merge_into_history
from amltool.git.notes import append_lines
from amltool.git.reading_notes import read_notes
from amltool.layout import NOTES_REF

COMMITS = [f"{digit}" * 40 for digit in "abc"]
Content = dict[str, frozenset[bytes]]

sides = st.dictionaries(
    st.sampled_from(COMMITS), st.lists(st.sampled_from([b"w", b"x", b"y", b"z"]), min_size=1), min_size=1
)
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Clone:
    """A repository in which each tip is a history of its own."""

    def __init__(self, top: Path) -> None:
        subprocess.run(["git", "init", "-q", str(top)], check=True)
        self.git = Git(top, top / ".git", top / ".git", None)

    def tip(self, lines: dict[str, list[bytes]]) -> str:
        subprocess.run(["git", "update-ref", "-d", NOTES_REF], cwd=self.git.top, check=True)
        append_lines(self.git, lines)
        tip = self.git.ref(NOTES_REF)
        assert tip is not None
        return tip

    def content(self, tip: str) -> Content:
        return {note.commit: frozenset((note.content or b"").splitlines()) for note in read_notes(self.git, tip)}

    def tree(self, tip: str) -> str:
        return self.git.text("rev-parse", f"{tip}^{{tree}}")


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    with tempfile.TemporaryDirectory() as folder:
        yield Clone(Path(folder))


def union(*contents: Content) -> Content:
    return {
        key: frozenset().union(*(c.get(key, frozenset()) for c in contents)) for key in {k for c in contents for k in c}
    }


@few
@given(sides, sides)
def test_a_merge_holds_every_line_of_both_sides(
    clone: Clone, a: dict[str, list[bytes]], b: dict[str, list[bytes]]
) -> None:
    ours, theirs = clone.tip(a), clone.tip(b)

    assert clone.content(merge(clone.git, ours, theirs)) == union(clone.content(ours), clone.content(theirs))


@few
@given(sides, sides)
def test_both_sides_make_the_same_commit(clone: Clone, a: dict[str, list[bytes]], b: dict[str, list[bytes]]) -> None:
    ours, theirs = clone.tip(a), clone.tip(b)

    assert merge(clone.git, ours, theirs) == merge(clone.git, theirs, ours)


@few
@given(sides, sides, sides)
def test_the_order_of_merges_does_not_matter(
    clone: Clone, a: dict[str, list[bytes]], b: dict[str, list[bytes]], c: dict[str, list[bytes]]
) -> None:
    one, two, three = clone.tip(a), clone.tip(b), clone.tip(c)

    left = merge(clone.git, merge(clone.git, one, two), three)
    right = merge(clone.git, one, merge(clone.git, two, three))

    assert clone.content(left) == clone.content(right)


@few
@given(sides, sides)
def test_merging_again_changes_nothing(clone: Clone, a: dict[str, list[bytes]], b: dict[str, list[bytes]]) -> None:
    ours, theirs = clone.tip(a), clone.tip(b)
    merged = merge(clone.git, ours, theirs)

    assert merge(clone.git, merged, theirs) == merged
    assert merge(clone.git, ours, merged) == merged
    assert merge(clone.git, merged, merged) == merged


def test_a_note_that_one_side_removed_stays(clone: Clone) -> None:
    whole = clone.tip({COMMITS[0]: [b"x"], COMMITS[1]: [b"y"]})
    subprocess.run(["git", "notes", "--ref=amltool/runs", "remove", COMMITS[0]], cwd=clone.git.top, check=True)
    pruned = clone.git.ref(NOTES_REF) or ""

    assert clone.content(merge(clone.git, pruned, whole)) == clone.content(whole)


def test_it_holds_what_cat_sort_uniq_holds(clone: Clone) -> None:
    theirs = clone.tip({COMMITS[0]: [b"z", b"x"]})
    ours = clone.tip({COMMITS[0]: [b"y", b"x"]})
    merged = merge(clone.git, ours, theirs)
    subprocess.run(["git", "update-ref", "refs/notes/theirs", theirs], cwd=clone.git.top, check=True)
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=b@c", "notes", "--ref=amltool/runs",
         "merge", "-q", "-s", "cat_sort_uniq", "refs/notes/theirs"], cwd=clone.git.top, check=True,
    )  # fmt: skip

    assert clone.tree(merged) == clone.tree(clone.git.ref(NOTES_REF) or "")


def test_a_fetched_history_becomes_part_of_ours(clone: Clone) -> None:
    theirs = clone.tip({COMMITS[0]: [b"theirs"]})
    clone.tip({COMMITS[0]: [b"ours"]})

    merge_into_history(clone.git, theirs)

    assert clone.content(clone.git.ref(NOTES_REF) or "") == {COMMITS[0]: frozenset({b"ours", b"theirs"})}


def test_the_first_history_that_is_fetched_becomes_ours(clone: Clone) -> None:
    theirs = clone.tip({COMMITS[0]: [b"theirs"]})
    subprocess.run(["git", "update-ref", "-d", NOTES_REF], cwd=clone.git.top, check=True)

    merge_into_history(clone.git, theirs)

    assert clone.git.ref(NOTES_REF) == theirs
