"""Which ignore file rules, and what it leaves out (WORKBENCH 4.2 and 8)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import UserError
from amltool.ignore import (
    IgnoreFile,
    Translation,
    differs_from_git,
    explain,
    ruling_ignore_file,
    select,
    translation_for,
    unused_patterns,
)
from amltool.ignore.automaton import expression
from amltool.limits import Profile, ignore_line
from tests.ignore_oracle import git_leaves_out, taken
from tests.waiting import promised

PROBES = ["a", "b", "ab", "ba", "a b", ".c", "x.c", "#", "!", "[", "{", "-", "\\", "é", "\udcff"]
ATOMS = [
    "a",
    "b",
    "*",
    "?",
    "**",
    "[ab]",
    "[!a]",
    "[^b]",
    "[]a]",
    "[+-9]",
    "[",
    "/",
    ".",
    "#",
    "!",
    " ",
    "-",
    "\\#",
    "é",
]


def ignoring(*lines: str, name: str = ".amlignore") -> IgnoreFile:
    return IgnoreFile(name, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def kept(ignore_file: IgnoreFile | None, *paths: str, profile: Profile = Profile.SDK) -> list[str]:
    return list(select(paths, ignore_file, profile).included)


def mistakes_of(ignore_file: IgnoreFile) -> list[str]:
    return [str(mistake) for mistake in ignore_file.mistakes(ignore_file.translate())]


def reading(**entries: bytes | OSError) -> Callable[[str], bytes | None]:
    def read(name: str) -> bytes | None:
        entry = entries.get(name.lstrip("."))
        if isinstance(entry, OSError):
            raise entry
        return entry

    return read


class TestWhichFileRules:
    def test_amlignore_wins_over_gitignore(self) -> None:
        assert ruling_ignore_file(reading(amlignore=b"a", gitignore=b"b")) == IgnoreFile(".amlignore", b"a")

    def test_an_empty_amlignore_still_wins_and_leaves_nothing_out(self) -> None:
        ruling = ruling_ignore_file(reading(amlignore=b"", gitignore=b"*"))
        assert ruling == IgnoreFile(".amlignore", b"")
        assert kept(ruling, "a", "b/c") == ["a", "b/c"]

    def test_gitignore_rules_where_there_is_no_amlignore(self) -> None:
        assert ruling_ignore_file(reading(gitignore=b"b")) == IgnoreFile(".gitignore", b"b")

    def test_without_either_nothing_is_ignored_but_what_amltool_never_takes(self) -> None:
        assert ruling_ignore_file(reading()) is None
        assert kept(None, "a.pyc", ".azureml/x", "__pycache__/m.pyc", "outputs/x", ".git/HEAD") == [
            "a.pyc",
            ".azureml/x",
            "__pycache__/m.pyc",
        ]

    def test_a_reader_of_the_disk_may_raise_for_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        (tmp_path / ".gitignore").write_bytes(b"x")
        assert ruling_ignore_file(lambda name: (tmp_path / name).read_bytes()) == IgnoreFile(".gitignore", b"x")

    def test_a_folder_named_amlignore_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / ".amlignore").mkdir()
        (tmp_path / ".gitignore").write_bytes(b"x")
        with pytest.raises(UserError, match=r"\.amlignore is a folder.*\n.*Make \.amlignore a file"):
            ruling_ignore_file(lambda name: (tmp_path / name).read_bytes())

    def test_an_ignore_file_that_cannot_be_read_is_refused(self) -> None:
        with pytest.raises(UserError, match=r"\.amlignore cannot be read: Permission denied"):
            ruling_ignore_file(reading(amlignore=PermissionError(13, "Permission denied")))

    def test_an_ignore_file_below_the_root_is_a_plain_file(self) -> None:
        assert kept(ignoring("*.log"), "a/.amlignore", "a/.gitignore", "a/x.log") == ["a/.amlignore", "a/.gitignore"]

    def test_the_ignore_file_itself_is_in_the_snapshot_unless_it_lists_itself(self) -> None:
        assert kept(ignoring("x"), ".amlignore") == [".amlignore"]
        assert kept(ignoring(".amlignore"), ".amlignore", "a") == ["a"]


class TestWhatAmltoolNeverTakes:
    def test_outputs_at_the_root_is_left_out_and_below_it_is_not(self) -> None:
        assert kept(None, "outputs/m.pkl", "outputs/a/b", "a/outputs/x") == ["a/outputs/x"]

    def test_no_pattern_brings_outputs_or_a_git_folder_back(self) -> None:
        assert kept(ignoring("!outputs", "!outputs/m", "!.git"), "outputs/m", ".git/config", "sub/.git/HEAD") == []

    def test_names_are_case_sensitive(self) -> None:
        assert kept(None, "Outputs/x", "Docs/x", profile=Profile.WORKBENCH) == ["Outputs/x", "Docs/x"]

    def test_docs_at_the_root_is_left_out_under_the_workbench_profile_only(self) -> None:
        assert kept(None, "docs/x", "a/docs/x") == ["docs/x", "a/docs/x"]
        assert kept(None, "docs/x", "a/docs/x", profile=Profile.WORKBENCH) == ["a/docs/x"]

    def test_no_ignore_file_rules_under_the_workbench_profile(self) -> None:
        assert kept(ignoring("*"), "a", "b/c", profile=Profile.WORKBENCH) == ["a", "b/c"]


class TestPatterns:
    def test_the_last_pattern_that_matches_wins_and_case_matters(self) -> None:
        assert kept(ignoring("*.CSV"), "a.csv", "b.CSV") == ["a.csv"]
        assert kept(ignoring("*.csv", "!keep.csv", "b/keep.csv"), "a/keep.csv", "b/keep.csv", "x.csv") == ["a/keep.csv"]

    def test_a_folder_without_a_slash_is_pruned_so_nothing_in_it_comes_back(self) -> None:
        assert kept(ignoring("data", "!data/keep.txt"), "data/keep.txt", "data/x") == []

    @pytest.mark.parametrize("pattern", ["data/", "data/*", "data/**"])
    def test_a_pattern_for_the_content_of_a_folder_lets_a_file_come_back(self, pattern: str) -> None:
        assert kept(ignoring(pattern, "!data/keep.txt"), "data/keep.txt", "data/x") == ["data/keep.txt"]

    def test_what_lies_deeper_in_such_a_folder_does_not_come_back(self) -> None:
        assert kept(ignoring("data/", "!data/a/keep.txt"), "data/a/keep.txt") == []

    def test_a_folder_that_comes_back_brings_its_content(self) -> None:
        assert kept(ignoring("*.txt", "!keep"), "keep/a.txt", "b.txt") == ["keep/a.txt"]

    def test_a_pattern_with_a_slash_is_anchored_at_the_root(self) -> None:
        assert kept(ignoring("/a", "b/c"), "a", "x/a", "b/c", "x/b/c") == ["x/a", "x/b/c"]

    def test_a_pattern_that_ends_in_a_slash_does_not_match_a_file(self) -> None:
        assert kept(ignoring("data/"), "data", "x/data/y") == ["data"]

    def test_windows_line_ends_are_read(self) -> None:
        crlf = IgnoreFile(".amlignore", b"a\r\n!a/b\r\n\r\nc\r\n")
        assert kept(crlf, "a", "c", "d") == ["d"]
        assert crlf.has_carriage_returns
        assert not crlf.has_byte_order_mark

    def test_a_byte_order_mark_does_not_spoil_the_first_pattern(self) -> None:
        marked = IgnoreFile(".amlignore", b"\xef\xbb\xbfa\nb\n")
        assert kept(marked, "a", "b", "c") == ["c"]
        assert marked.has_byte_order_mark

    def test_trailing_blanks_are_dropped_unless_escaped(self) -> None:
        assert kept(ignoring("a  ", "b\\ "), "a", "a  ", "b", "b ") == ["a  ", "b"]

    def test_an_escaped_hash_or_mark_is_a_name(self) -> None:
        assert kept(ignoring("\\#a", "\\!b", "#c"), "#a", "!b", "#c") == ["#c"]

    def test_names_beyond_ascii_and_bytes_that_are_not_utf8_match(self) -> None:
        assert kept(IgnoreFile(".amlignore", b"\xff*\n\xc3\xa9\n"), "\udcffx", "é", "e") == ["e"]

    def test_names_with_newlines_match_like_any_other(self) -> None:
        assert kept(ignoring("*.log", "data/"), "a\nb.log", "data/x\ny", "d\n", "data\n") == ["d\n", "data\n"]

    def test_a_lone_opening_bracket_is_a_letter(self) -> None:
        assert kept(ignoring("a[b"), "a[b", "ab") == ["ab"]

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"# only\n#comments", b"\xef\xbb\xbf", b"   \t\n"])
    def test_a_file_without_patterns_leaves_nothing_out(self, content: bytes) -> None:
        assert kept(IgnoreFile(".amlignore", content), "a", "b/c") == ["a", "b/c"]

    def test_a_tree_that_is_ignored_altogether_is_an_empty_snapshot(self) -> None:
        assert select(["a", "b/c"], ignoring("*"), Profile.SDK).included == ()

    def test_a_path_of_four_thousand_folders_is_read(self) -> None:
        deep = "a/" * 4000
        assert kept(ignoring("x.c"), f"{deep}x.c", f"{deep}y.c") == [f"{deep}y.c"]

    def test_many_stars_in_a_row_cost_nothing(self) -> None:
        begun = time.perf_counter()
        assert kept(ignoring("*" * 60 + "b"), "a" * 200) == ["a" * 200]
        assert time.perf_counter() - begun < promised(1)


class TestMistakes:
    @pytest.mark.parametrize(
        ("pattern", "says"),
        [
            ("[z-a]", "cannot be read and is skipped (bad character range z-a)"),
            ("a\\", "cannot be read and is skipped"),
            ("!", "cannot be read and is skipped"),
            ("/", "matches nothing"),
            ("!/", "matches nothing"),
            ("/**/", "matches nothing"),
            ("a//b", "matches nothing"),
        ],
    )
    def test_a_bad_pattern_is_named_with_its_line_and_the_others_rule(self, pattern: str, says: str) -> None:
        ignore_file = ignoring("# comment", pattern, "x")
        assert kept(ignore_file, "a", "b/c", "x") == ["a", "b/c"]
        (mistake,) = mistakes_of(ignore_file)
        assert mistake.startswith(".amlignore:2: The pattern ")
        assert says in mistake

    def test_a_file_in_utf16_is_named_as_such(self) -> None:
        assert "UTF-16" in mistakes_of(IgnoreFile(".amlignore", "data\n".encode("utf-16")))[0]

    @given(st.binary(max_size=200))
    @settings(max_examples=300, deadline=None)
    def test_no_bytes_make_it_fail(self, content: bytes) -> None:
        select(["a", "b/c", "é\udcff/x y"], IgnoreFile(".amlignore", content), Profile.SDK)

    def test_an_odd_set_makes_no_noise(self) -> None:
        program = (
            "from amltool.ignore import *; from amltool.limits import Profile;"
            "print(select(['a:]', 'x'], IgnoreFile('.amlignore', b'[[:alpha:]]\\na[[-]x'), Profile.SDK))"
        )
        done = subprocess.run([sys.executable, "-W", "default", "-c", program], capture_output=True, check=True)
        assert done.stderr == b""


def pattern_texts() -> st.SearchStrategy[str]:
    body = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5).map("".join)
    return st.tuples(st.sampled_from(["", "", "!"]), body).map("".join)


def probe_paths() -> st.SearchStrategy[list[str]]:
    path = st.lists(st.sampled_from(PROBES), min_size=1, max_size=4).map("/".join)
    return st.lists(path, min_size=1, max_size=30, unique=True)


class TestTheFileListIsThatOfAzuremlCore:
    @given(st.lists(pattern_texts(), min_size=1, max_size=6), probe_paths())
    @settings(max_examples=300, deadline=None)
    def test_on_any_patterns_and_paths(self, lines: list[str], paths: list[str]) -> None:
        lines = [line for line in lines if line.strip() != "!"]
        assert kept(ignoring(*lines), *paths) == taken(lines, paths)

    @pytest.mark.parametrize(
        "lines",
        [
            ["***/b"],
            ["a[!x]c", "!a[!y]c"],
            ["!a[!x]c", "a[!y]c"],
            ["a[!x]c", "!a/c"],
            ["//b"],
            ["a//**/b"],
            ["**/", "!b"],
        ],
    )
    def test_on_rare_forms(self, lines: list[str]) -> None:
        paths = ["a/b", "a/c", "a/c/d", "abc", "axc", "ayc", "b", "b/b", "c/a/b"]
        assert kept(ignoring(*lines), *paths) == taken(lines, paths)

    def test_a_set_matches_a_slash_as_it_does_there(self) -> None:
        assert kept(ignoring("a[!x]c"), "a/c", "a/c/d", "abc", "axc") == taken(
            ["a[!x]c"], ["a/c", "a/c/d", "abc", "axc"]
        )
        assert kept(ignoring("a[!x]c"), "a/c", "axc") == ["axc"]


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


GLOBS = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "?", "[ab]", "a[a-b]", "**", "\\a"])
FILES = st.sampled_from(["x.c", "y.c", "x.d", ".h", "x y.c"])
FOLDERS = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), max_size=3)


class TestGitReadsMostPatternsTheSame:
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["", "/"]),
                st.lists(GLOBS, min_size=1, max_size=3).map("/".join),
                st.sampled_from(["", "", "/", "/**", "/*.c"]),
            ).map("".join),
            max_size=6,
        ),
        st.lists(
            st.tuples(FOLDERS, FILES).map(lambda it: "/".join([*it[0], it[1]])), min_size=1, max_size=25, unique=True
        ),
    )
    @settings(max_examples=60, deadline=None)
    def test_without_negation(self, empty_repository: Path, lines: list[str], paths: list[str]) -> None:
        lines = [line for line in lines if not line.endswith("/**/")]  # a folder inside to Git, a file too here
        ignore_file = ignoring(*lines, name=".gitignore")
        assert set(paths) - set(kept(ignore_file, *paths)) == git_leaves_out(empty_repository, ignore_file, paths)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["", "!"]),
                st.sampled_from(["", "/", "a/", "a/b/", "**/b/", "a/**/"]),
                st.sampled_from(["*.c", "x.*", "x.c", "*.d", "[xy].c", "?.d", ".h"]),
            ).map("".join),
            max_size=8,
        ),
        st.lists(
            st.tuples(FOLDERS, FILES).map(lambda it: "/".join([*it[0], it[1]])), min_size=1, max_size=25, unique=True
        ),
    )
    @settings(max_examples=60, deadline=None)
    def test_with_negation_among_patterns_that_match_files_only(
        self, empty_repository: Path, lines: list[str], paths: list[str]
    ) -> None:
        ignore_file = ignoring(*lines, name=".gitignore")
        assert set(paths) - set(kept(ignore_file, *paths)) == git_leaves_out(empty_repository, ignore_file, paths)

    @given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8), st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_a_suggested_line_leaves_out_that_path_for_both(
        self, empty_repository: Path, name: str, folder: bool
    ) -> None:
        if name in (".", "..") or name.lower() == ".git":
            return
        path = f"d/{name}/x" if folder else f"d/{name}"
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            return
        ignore_file = ignoring(ignore_line(f"d/{name}", folder=folder), name=".gitignore")
        assert kept(ignore_file, path, "d/something else/x") == ["d/something else/x"]
        if not re.search(r"[\x80-\x9f]|[^\x00-\x7f]$", name):
            assert git_leaves_out(empty_repository, ignore_file, [path]) == {path}

    def test_a_letter_beyond_ascii_is_one_letter_here_and_several_bytes_to_git(self, empty_repository: Path) -> None:
        for line, here, git in (("é", True, True), ("*", True, True), ("?", True, False), ("[é]", True, False)):
            ignore_file = ignoring(line, name=".gitignore")
            assert (kept(ignore_file, "é") == []) == here
            assert (git_leaves_out(empty_repository, ignore_file, ["é"]) == {"é"}) == git

    def test_a_difference_is_named_with_the_pattern_that_decides(self, empty_repository: Path) -> None:
        ignore_file = ignoring("data/", "!data/keep.txt")
        paths = ["data/keep.txt", "data/x", "y"]
        (difference,) = differs_from_git(paths, ignore_file, git_leaves_out(empty_repository, ignore_file, paths))
        assert difference.path == "data/keep.txt"
        assert not difference.excluded
        assert str(difference.decided_by) == ".amlignore:2: !data/keep.txt keeps data/keep.txt"

    def test_the_command_in_the_documents_gives_what_git_leaves_out(self, tmp_path: Path) -> None:
        ignore_file = ignoring("data/", "!data/keep.txt")
        (tmp_path / "data").mkdir()
        for name in ("data/keep.txt", "data/x", "y"):
            (tmp_path / name).touch()
        (tmp_path / ".amlignore").write_bytes(ignore_file.content)
        git = ["git", "-C", str(tmp_path)]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        listing = subprocess.run(
            [*git, "ls-files", "-z", "--cached", "--ignored", "--exclude-from=.amlignore"],
            capture_output=True,
            check=True,
        ).stdout
        left_out = {os.fsdecode(path) for path in listing.split(b"\0") if path}
        assert left_out == {"data/keep.txt", "data/x"}
        assert [one.path for one in differs_from_git(["data/keep.txt", "data/x", "y"], ignore_file, left_out)] == [
            "data/keep.txt"
        ]


class TestExplanations:
    def test_the_deciding_pattern_is_named_with_file_and_line(self) -> None:
        why = explain("a/x.csv", ignoring("# c", "*.csv"), Profile.SDK)
        assert why is not None
        assert (why.excluded, why.rule.line, str(why)) == (True, 2, ".amlignore:2: *.csv leaves out a/x.csv")

    def test_a_folder_that_was_pruned_is_named(self) -> None:
        why = explain("data/a/x", ignoring("data", "!data/a/x"), Profile.SDK)
        assert why is not None
        assert (why.excluded, why.decided_on, why.rule.pattern) == (True, "data", "data")

    def test_amltools_own_rule_is_named_as_such(self) -> None:
        assert str(explain("outputs/x", ignoring("*.csv"), Profile.SDK)) == (
            "amltool's own rule: /outputs leaves out outputs"
        )

    def test_a_file_of_which_nothing_speaks_has_no_explanation(self) -> None:
        assert explain("a", ignoring("b"), Profile.SDK) is None

    @given(st.lists(pattern_texts(), min_size=1, max_size=6), probe_paths())
    @settings(max_examples=100, deadline=None)
    def test_they_always_agree_with_the_selection(self, lines: list[str], paths: list[str]) -> None:
        ignore_file = ignoring(*lines)
        left_out = select(paths, ignore_file, Profile.SDK).excluded
        for path in paths:
            why = explain(path, ignore_file, Profile.SDK)
            assert (why is not None and why.excluded) == (path in left_out)


class TestUnusedPatterns:
    def test_a_pattern_that_matches_nothing_is_named(self) -> None:
        unused = unused_patterns(["a/x.csv", "b"], ignoring("*.csv", "*.png", "c/", "a/", "/b", "!z", "b/"))
        assert [rule.pattern for rule in unused] == ["*.png", "c/", "!z", "b/"]

    def test_a_pattern_under_a_pruned_folder_counts_as_used(self) -> None:
        assert unused_patterns(["data/keep.txt"], ignoring("data", "!data/keep.txt")) == ()

    @given(st.lists(pattern_texts(), min_size=1, max_size=6), probe_paths())
    @settings(max_examples=200, deadline=None)
    def test_the_whole_expression_of_a_pattern_says_the_same(self, lines: list[str], paths: list[str]) -> None:
        ignore_file = ignoring(*lines)
        rules = ignore_file.translate().rules
        unused = {rule.line for rule in unused_patterns(paths, ignore_file)}
        plain = {
            rule.line
            for rule in rules
            if not any(expression(rule.core).above(path, rule.folders_only) for path in paths)
        }
        assert unused == plain


class TestKeptTranslations:
    def test_a_translation_survives_its_round_trip(self) -> None:
        translation = IgnoreFile(".amlignore", b"a\n!\xff*\n[z-a]\nb/\n").translate()
        assert Translation.from_json(translation.to_json()) == translation

    def test_it_is_kept_and_used_without_pathspec(self, tmp_path: Path) -> None:
        translation_for(ignoring("*.csv", "!a.csv"), tmp_path)
        program = (
            "import sys; from pathlib import Path; from amltool.ignore import *; from amltool.limits import Profile;"
            "found = select(['a.csv', 'b.csv'], IgnoreFile('.amlignore', b'*.csv\\n!a.csv\\n'), Profile.SDK, "
            "Path(sys.argv[1]));"
            "print(found.included, 'pathspec' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, check=True, text=True
        )
        assert done.stdout == "('a.csv',) False\n"

    def test_importing_the_module_loads_nothing_heavy(self) -> None:
        program = (
            "import sys, amltool.ignore, amltool.limits;"
            "print([n for n in ('pathspec', 'rich', 'git', 'yaml', 'hashlib', 'json') if n in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
        assert done.stdout == "[]\n"

    @pytest.mark.parametrize("damage", [b"", b"x", b'{"v": 1}', b"flip"])
    def test_a_damaged_one_is_made_anew(self, tmp_path: Path, damage: bytes) -> None:
        ignore_file = ignoring("*.csv")
        whole = translation_for(ignore_file, tmp_path)
        (place,) = tmp_path.iterdir()
        good = place.read_bytes()
        place.write_bytes(good.replace(b"csv", b"cxv") if damage == b"flip" else damage)
        assert translation_for(ignore_file, tmp_path) == whole
        assert place.read_bytes() == good

    def test_one_of_another_version_is_not_read(self) -> None:
        document = json.loads(ignoring("a").translate().to_json())
        with pytest.raises(ValueError, match="version 0"):
            Translation.from_json(json.dumps({**document, "v": 0}).encode())

    def test_a_place_that_cannot_be_written_does_not_matter(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert translation_for(ignoring("a"), tmp_path / "file" / "cache").rules[0].pattern == "a"

    def test_a_changed_ignore_file_is_translated_anew(self, tmp_path: Path) -> None:
        assert translation_for(ignoring("a"), tmp_path) != translation_for(ignoring("b"), tmp_path)


@pytest.mark.torture
def test_fifty_thousand_paths_and_thirty_patterns_take_no_longer_than_git_check_ignore(
    empty_repository: Path, tmp_path: Path
) -> None:
    names = ["src", "data/raw", "data/raw/train", "build/tmp", "pkg/__pycache__", *(f"set{i}/part" for i in range(300))]
    paths = [f"{names[i % len(names)]}/img_{i:06d}.{['py', 'pyc', 'png', 'csv'][i % 4]}" for i in range(50_000)]
    lines = ["*.pyc", "__pycache__/", "build/", "/data/raw/t*", "!set1/part/*.png", "*.sw[op]", "a/**/*.h5"]
    ignore_file = ignoring(*lines, *(f"folder{i}" for i in range(23)))
    translation_for(ignore_file, tmp_path)
    begun = time.perf_counter()
    selection = select(paths, ignore_file, Profile.SDK, tmp_path)
    ours = time.perf_counter() - begun
    begun = time.perf_counter()
    left_out = git_leaves_out(empty_repository, ignore_file, paths)
    assert set(selection.excluded) == left_out
    assert ours < time.perf_counter() - begun
