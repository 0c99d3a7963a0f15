from __future__ import annotations

from pathlib import Path

import msgspec

from amltool.commands.checks.ignoring import Looked, ignore_notes, ignore_problems
from amltool.git.command import Git
from amltool.git.listing import file_sizes, list_index
from amltool.ignore import IGNORE_FILES, IgnoreFile
from amltool.limits import Level, Profile
from tests.repositories import make_repository, write_files


def look(folder: Path, profile: Profile = Profile.SDK) -> Looked:
    git = Git.at(folder)
    listing = list_index(git, "")
    there = next((name for name in IGNORE_FILES if (folder / name).is_file()), None)
    ruling = IgnoreFile(there, (folder / there).read_bytes()) if there else None
    sizes = dict(zip(listing.paths, file_sizes(git, listing), strict=True))
    return Looked(git, "", sizes, ruling, profile, True)


def ids(folder: Path) -> list[str]:
    return [problem.id for problem in ignore_problems(look(folder))]


def only(folder: Path) -> str:
    (problem,) = ignore_problems(look(folder))
    return f"{problem.id}: {problem}"


def test_an_ignore_file_whose_patterns_all_match_has_no_problem(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "*.csv\ndata\n", "a.csv": "1", "data/x": "1", "train.py": "1"})
    assert ids(tmp_path) == []


def test_patterns_that_match_nothing_are_named_with_their_line(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "*.csv\n# why\nmodells/\n", "a.csv": "1"})
    assert "ignore-unused: .amlignore: 1 pattern matches nothing here: modells/ (line 3)." in only(tmp_path)


def test_a_pattern_for_what_git_ignores_is_used(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "cache\n", ".gitignore": "cache/\n", "a": "1"})
    write_files(tmp_path, {"cache/x": "1"})
    assert ids(tmp_path) == []


def test_a_pattern_for_a_submodule_that_it_leaves_out_is_used(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "sub\n/vendor/lib/\nnowhere\n", "a": "1"})
    looked = msgspec.structs.replace(look(tmp_path), submodules_out=("sub", "vendor/lib"))

    (problem,) = ignore_problems(looked)

    assert "1 pattern matches nothing here: nowhere (line 3)." in problem.message


def test_git_is_not_asked_with_an_ignore_file_that_changed_since_it_was_staged(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "data\n", "data/x": "1", "a.csv": "1"})
    looked = look(tmp_path)
    write_files(tmp_path, {".amlignore": "*.csv\n"})

    assert [problem.message for problem in ignore_problems(looked)] == []


def test_git_is_not_asked_about_patterns_that_it_never_ends_with(tmp_path: Path) -> None:
    folder = "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t"
    make_repository(tmp_path, {".amlignore": f"{'**/' * 200}x\n{'*a' * 200}b\n", f"{folder}/{'a' * 100}": "1"})

    assert ids(tmp_path) == ["ignore-unused"]


def test_unused_patterns_of_a_gitignore_are_only_a_note(tmp_path: Path) -> None:
    make_repository(tmp_path, {".gitignore": "nowhere\n", "a": "1"})
    assert ids(tmp_path) == []
    assert any("nowhere (line 1)" in note for note in ignore_notes(look(tmp_path)))


def test_a_file_that_git_ignores_and_amlignore_does_not_is_told(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "", ".gitignore": "*.pkl\nbig/\n", "a": "1"})
    write_files(tmp_path, {"model.pkl": "1", "big/x": "1"})
    assert "2 files and folders are ignored by Git and not by .amlignore, so in no snapshot: big/, model.pkl." in only(
        tmp_path
    )


def test_what_amlignore_leaves_out_and_git_does_not_is_a_note(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "data\n", "data/x": "12345", "a": "1"})
    assert "1 file (5 bytes) of the commit that no snapshot has: data/x." in ignore_notes(look(tmp_path))[1]


def test_the_file_that_rules_is_named(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "", ".gitignore": "", "a": "1"})
    assert ignore_notes(look(tmp_path))[0] == ".amlignore rules the snapshot, .gitignore does not."
    assert "No ignore file" in ignore_notes(look(tmp_path, Profile.WORKBENCH))[0]


def test_committed_outputs_are_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    make_repository(tmp_path, {"outputs/model.pkl": "12345", "a": "1"})
    said = only(tmp_path)
    assert "outputs/ is committed (1 file, 5 bytes)" in said
    assert "git rm --cached -r --ignore-unmatch -- outputs" in said
    assert "/outputs/" in said


def test_a_byte_order_mark_and_windows_lines_are_told(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": b"\xef\xbb\xbf*.csv\r\n", "a.csv": "1"})
    assert ids(tmp_path) == ["ignore-bom", "ignore-crlf"]


def test_an_ignore_file_of_which_nothing_is_read_is_refused(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "*.csv\n".encode("utf-16"), "a.csv": "1"})
    (problem,) = ignore_problems(look(tmp_path))
    assert (problem.id, problem.level) == ("ignore-pattern", Level.ERROR)


def test_a_pattern_that_cannot_be_read_is_a_warning_with_its_line(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "*.csv\n[z-a]\n", "a.csv": "1"})
    assert only(tmp_path).startswith("ignore-pattern: .amlignore:2: ")


def test_a_file_on_which_git_reads_the_same_patterns_otherwise_is_told(tmp_path: Path) -> None:
    make_repository(tmp_path, {".amlignore": "data/\n!data/keep.txt\n", "data/keep.txt": "1", "data/x": "1"})
    assert "a snapshot keeps data/keep.txt, Git leaves it out" in only(tmp_path)
