"""Patterns take time linear in a path: their automaton says what `re` says, and ends where `re` would not."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import UserError
from amltool.ignore import IgnoreFile, select
from amltool.ignore.automaton import Automaton, compile_expression, expression, is_cheap
from amltool.ignore.patterns import LONGEST_PATTERN
from amltool.ignore.ruler import MOST_PATTERNS, whole_name
from amltool.limits import Profile
from tests.ignore_oracle import git_leaves_out

PARTS = ["a", "b", "[^/]", "[^/]*", "[^/]+", "(?:.+/)?", "(?:/.+)?", "/", "[ab]", "[^a]", "[]a]", "\\.", "\\[", "é"]
SEGMENTS = ["a", "b", "ab", "*", "*a*", "*a*b*a*", "a*b*a*b", "?*?*?", "*[ab]*[ab]*", "**", "*a*a*a*b"]
cores = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)
paths = st.lists(st.sampled_from("aab/.[é"), min_size=1, max_size=12).map("".join)
HOSTILE = [
    "*a*a*a*a*a*a*a*a*a*a*a*b",
    "*" + "a*" * 200 + "b",
    "?*" * 30 + "b",
    "**/a" * 30 + "/b",
    "a/**/" * 30 + "b",
    "*/" * 30 + "b",
    "*[ab]*[ab]*[ab]*[ab]*[ab]*[ab]*[ab]*[ab]*[ab]*c",
    "**a**a**a**a**a**a**a**a**a**b",
    "!*a*a*a*a*a*a*a*a*a*a*a*b/",
    "*[!x]*[!x]*[!x]*[!x]*[!x]*[!x]*[!x]*[!x]*y",
    "[" * 4000,
    "\\*" * 2000,
]
NAMES = ["a" * 60, "a" * 255, "ab" * 127, "a/" * 60 + "a", "a" * 200 + "/" + "a" * 200]


@given(cores, st.lists(paths, min_size=1, max_size=8), st.booleans())
@settings(max_examples=500, deadline=None)
def test_an_automaton_says_what_re_says(core: str, texts: list[str], folders_only: bool) -> None:
    automaton = Automaton(core)
    tail = "/" if folders_only else r"(?:/|\Z)"
    for text in texts:
        assert automaton.whole(text) == bool(compile_expression(core + r"\Z").match(text)), text
        assert automaton.above(text, folders_only) == bool(compile_expression(core + tail).match(text)), text


pieces = st.lists(st.sampled_from(["a", "ab", "", "\\.", "\\[", "é"]), min_size=2, max_size=6).map("[^/]*".join)
names = st.lists(st.sampled_from("aab.[é"), min_size=1, max_size=12).map("".join)


@given(pieces | st.lists(st.sampled_from(PARTS[:5] + PARTS[8:]), max_size=9).map("".join), st.lists(names, min_size=1))
@settings(max_examples=300, deadline=None)
def test_a_name_is_meant_or_not_as_re_says(core: str, texts: list[str]) -> None:
    is_meant = whole_name(core)
    for text in texts:
        assert is_meant(text) == bool(compile_expression(core + r"\Z").match(text)), text


def test_a_name_of_many_patterns_is_compared_with_those_alone_that_have_its_letters() -> None:
    content = "".join(f"*[ab]{number:05}*b*c*\n" for number in range(2000))
    compared = 0

    class Counted(Automaton):
        def whole(self, text: str) -> bool:
            nonlocal compared
            compared += 1
            return super().whole(text)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("amltool.ignore.automaton.Automaton", Counted)
        found = select([f"a{n:05}bc" for n in range(30)], IgnoreFile(".amlignore", content.encode()), Profile.SDK)
    assert (len(found.excluded), compared) == (30, 30)


def test_more_patterns_than_can_be_compared_are_refused() -> None:
    content = "".join(f"*x{number}*\n" for number in range(MOST_PATTERNS + 1))
    with pytest.raises(UserError, match="10,001 patterns with wildcards, more than 10,000"):
        select(["a"], IgnoreFile(".amlignore", content.encode()), Profile.SDK)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("pattern", HOSTILE, ids=lambda pattern: pattern[:30])
def test_no_pattern_takes_long(pattern: str) -> None:
    ignore_file = IgnoreFile(".amlignore", f"{pattern}\n".encode())

    select(NAMES, ignore_file, Profile.SDK)


@pytest.mark.timeout(120)
@given(st.lists(st.sampled_from(["*", "?", "**", "a", "b", "[ab]", "[!b]", "/", "**/"]), min_size=20, max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_generated_pattern_takes_long(parts: list[str]) -> None:
    ignore_file = IgnoreFile(".amlignore", "".join(parts).encode())

    select(NAMES, ignore_file, Profile.SDK)


def test_only_what_re_could_try_in_many_ways_becomes_an_automaton() -> None:
    assert [is_cheap(core) for core in ("[^/]*\\.pyc", "(?:.+/)?[^/]*a", "a[^/]*b[^/]*c", "\\*\\*\\*\\*")] == [True] * 4
    assert not is_cheap("[^/]*a[^/]*a[^/]*")
    assert isinstance(expression("^[^/]*a[^/]*a[^/]*"), Automaton)


def test_a_line_longer_than_any_path_is_named_and_skipped() -> None:
    translation = IgnoreFile(".amlignore", b"x" * (LONGEST_PATTERN + 1) + b"\n*.pyc\n").translate()

    assert [rule.line for rule in translation.rules] == [2]
    assert "longer than any path" in translation.faults[0][1]


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@given(st.lists(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4).map("/".join), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_git_reads_patterns_of_many_stars_the_same(empty_repository: Path, lines: list[str]) -> None:
    ignore_file = IgnoreFile(".gitignore", "\n".join(lines).encode())
    chance = random.Random(4)
    made = {"/".join(_name(chance) for _ in range(chance.randint(1, 5))) for _ in range(40)}
    files = sorted(path for path in made if not any(other.startswith(f"{path}/") for other in made))

    left_out = set(select(files, ignore_file, Profile.SDK).excluded)

    assert left_out == git_leaves_out(empty_repository, ignore_file, files)


def _name(chance: random.Random) -> str:
    return "".join(chance.choice("ab") for _ in range(chance.randint(1, 6)))
