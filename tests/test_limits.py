"""What a snapshot weighs, when it is refused, and what the refusal says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.errors import UserError
from amltool.ignore import IgnoreFile, select
from amltool.limits import (
    MB,
    Level,
    Limits,
    LimitsExceededError,
    Problem,
    Profile,
    format_size,
    ignore_line,
    judge,
    parse_size,
    report,
    require_within,
    shown,
    untrack_command,
    weigh,
)

SDK = Limits.of(Profile.SDK)
WORKBENCH = Limits.of(Profile.WORKBENCH)


def problems_of(*files: tuple[str, int], limits: Limits = SDK, ignore_file: str | None = ".amlignore") -> list[Problem]:
    return list(judge(weigh(files), limits, "/home/ada/iris", ignore_file))


def ids_of(*files: tuple[str, int], limits: Limits = SDK) -> list[tuple[str, str]]:
    return [(problem.id, problem.level.value) for problem in problems_of(*files, limits=limits)]


def many(count: int, folder: str = "d") -> list[tuple[str, int]]:
    return [(f"{folder}/{number:05}", 1) for number in range(count)]


class TestExactLimits:
    def test_the_sdk_profile_has_the_limits_of_2019(self) -> None:
        assert Limits() == SDK == Limits(25 * MB, 300 * MB, 2000, Profile.SDK)
        assert SDK.max_size == 314_572_800

    def test_the_workbench_profile_has_25_mb_and_no_file_count(self) -> None:
        assert Limits(25 * MB, 25 * MB, None, Profile.WORKBENCH) == WORKBENCH

    def test_300_mb_exactly_passes_with_a_warning_and_a_byte_more_is_refused(self) -> None:
        assert ids_of(("a", 300 * MB)) == [("size", "warning")]
        assert ids_of(("a", 300 * MB), ("b", 1)) == [("size", "error")]

    def test_25_mb_exactly_passes_in_silence_and_a_byte_more_warns(self) -> None:
        assert ids_of(("a", 25 * MB)) == []
        assert ids_of(("a", 25 * MB + 1)) == [("size", "warning")]

    def test_2000_files_pass_and_2001_are_refused(self) -> None:
        assert ids_of(*many(2000)) == []
        assert ids_of(*many(2001)) == [("files", "error")]

    def test_size_comes_before_files_and_both_are_said(self) -> None:
        assert ids_of(("big", 301 * MB), *many(2001)) == [("size", "error"), ("files", "error")]

    def test_the_workbench_profile_refuses_above_25_mb_and_counts_no_files(self) -> None:
        assert ids_of(("a", 25 * MB), limits=WORKBENCH) == []
        assert ids_of(("a", 25 * MB + 1), limits=WORKBENCH) == [("size", "error")]
        assert ids_of(*many(5000), limits=WORKBENCH) == []

    def test_no_file_count_when_it_is_switched_off(self) -> None:
        assert ids_of(*many(2001), limits=Limits(max_files=None)) == []

    def test_an_empty_snapshot_is_within_every_limit(self) -> None:
        assert ids_of() == []


class TestTheAncestorsSentences:
    def test_size_under_the_sdk_profile(self) -> None:
        (problem,) = problems_of(("a", 300 * MB + 1))
        assert problem.message.startswith(
            "While attempting to take snapshot of /home/ada/iris\n"
            "Your total snapshot size exceeds the limit of 300.0 MB.\n"
            "Please see http://aka.ms/aml-largefiles on how to work with large files.\n"
        )
        assert "It weighs 300.00 MB in 1 file, 1 byte too much." in problem.message

    def test_files_under_the_sdk_profile(self) -> None:
        (problem,) = problems_of(*many(2431))
        assert problem.message.startswith(
            "While attempting to take snapshot of /home/ada/iris\nYour project exceeds the file limit of 2000.\n"
        )
        assert "It has 2,431 files, 431 too many." in problem.message

    def test_size_under_the_workbench_profile_with_two_decimals(self) -> None:
        (problem,) = problems_of(("a", int(37.31 * MB)), limits=WORKBENCH)
        assert problem.message.startswith(
            "Error. Your total project size is 37.31 MB which exceeds the limit of 25 MB. "
            "Please see http://aka.ms/aml-largefiles on how to work with large files.\n"
        )

    def test_a_raised_limit_is_the_one_that_is_named(self) -> None:
        (problem,) = problems_of(("a", 400 * MB), limits=Limits(max_size=350 * MB))
        assert "exceeds the limit of 350.0 MB." in problem.message


class TestOffendersAndRemedies:
    def test_the_heaviest_files_and_folders_are_named_with_their_size(self) -> None:
        (problem,) = problems_of(("data/raw/a.bin", 200 * MB), ("data/raw/b.bin", 90 * MB), ("m/c.h5", 40 * MB))
        assert "  200.00 MB  data/raw/a.bin\n   90.00 MB  data/raw/b.bin\n   40.00 MB  m/c.h5" in problem.message
        assert "  290.00 MB  data/raw/\n   40.00 MB  m/" in problem.message

    def test_the_suggested_lines_are_the_fewest_that_suffice(self) -> None:
        (problem,) = problems_of(("data/a.bin", 200 * MB), ("data/b.bin", 90 * MB), ("c.h5", 40 * MB))
        assert "\n     /data/a.bin\n\n" in problem.remedy
        assert "b.bin" not in problem.remedy

    def test_a_folder_is_suggested_where_its_files_are_many_and_small(self) -> None:
        files = [(f"project/imgs/{number}.png", MB) for number in range(400)]
        (problem,) = problems_of(*files, ("project/train.py", 1), ("project/x", MB))
        assert "\n     /project/imgs/\n\n" in problem.remedy
        assert "git rm --cached -r --ignore-unmatch -- project/imgs\n" in problem.remedy

    def test_for_a_file_count_the_smallest_folder_that_suffices_is_suggested(self) -> None:
        (problem,) = problems_of(*many(1500, "src/thumbs"), *many(1200, "src/icons"))
        assert "\n     /src/icons/\n\n" in problem.remedy
        assert "src/thumbs" not in problem.remedy

    def test_the_ruling_ignore_file_is_the_one_to_add_to(self) -> None:
        assert "add to .gitignore" in problems_of(("a", 301 * MB), ignore_file=".gitignore")[0].remedy
        assert "add to .gitignore\n" in problems_of(("a", 301 * MB), ignore_file=None)[0].remedy
        assert "add to .gitignore and .amlignore\n" in problems_of(("a", 301 * MB), ignore_file=".amlignore")[0].remedy

    def test_under_the_workbench_profile_git_has_to_forget_the_file(self) -> None:
        (problem,) = problems_of(("a", 30 * MB), limits=WORKBENCH)
        assert "add to .gitignore" in problem.remedy
        assert 'max_size = "30 MB", or profile = "sdk" (300 MB)' in problem.remedy

    def test_the_four_remedies_are_given(self) -> None:
        remedy = problems_of(("a", 300 * MB + 1))[0].remedy
        for words in ("Leave out", "AZUREML_NATIVE_SHARE_DIRECTORY", "artifact store or a datastore", '"301 MB"'):
            assert words in remedy

    @pytest.mark.parametrize("files", [[("a/b", 301 * MB)], many(2500, "a"), [("x y ", 310 * MB), ("#z", 310 * MB)]])
    def test_following_the_suggestion_brings_the_snapshot_within_its_limits(self, files: list[tuple[str, int]]) -> None:
        remedy = problems_of(*files)[0].remedy
        lines = [line[5:] for line in remedy.splitlines() if line.startswith("     /")]
        ruling = IgnoreFile(".amlignore", "\n".join([*lines, ""]).encode())
        rest = set(select([path for path, _ in files], ruling, Profile.SDK).included)
        assert all(level == "warning" for _, level in ids_of(*((path, size) for path, size in files if path in rest)))

    def test_a_warning_names_the_three_heaviest_and_is_short(self) -> None:
        (problem,) = problems_of(("a", 20 * MB), ("b", 4 * MB), ("c", 3 * MB), ("d", 2 * MB))
        assert problem.message == (
            "Your total snapshot size is 29.00 MB, more than 25 MB; it is refused above 300 MB. "
            "Heaviest: a (20.00 MB), b (4.00 MB), c (3.00 MB)."
        )
        assert "warn_size" in problem.remedy


class TestNamesThatNeedCare:
    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("a b", "/a b"),
            ("#a", "/#a"),
            ("!a", "/!a"),
            ("a*b?[c]", "/a\\*b\\?\\[c]"),
            ("a\\b", "/a\\\\b"),
            ("a ", "/a\\ "),
            ("a  ", "/a \\ "),
            ("a\nb", "/a?b"),
            ("a\t", "/a?"),
            ("\udcff", "/?"),
            ("d/é", "/d/é"),
        ],
    )
    def test_an_ignore_line_names_exactly_that_file(self, path: str, line: str) -> None:
        assert ignore_line(path) == line

    def test_a_folder_ends_in_a_slash(self) -> None:
        assert ignore_line("a ", folder=True) == "/a /"

    @pytest.mark.parametrize(
        "name", ["a b", "it's", "#a", "a\nb", "é", "*", "a[b]", ":a", "-r", "$HOME", "a\\b", "\udcff"]
    )
    def test_the_untrack_command_takes_out_that_file_alone(self, tmp_path: Path, name: str) -> None:
        git = ["git", "-C", str(tmp_path)]
        subprocess.run([*git, "init", "-q"], check=True)
        for one in (name, "other", "ab", "b"):
            (tmp_path / one).write_text("x")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run(["bash", "-c", untrack_command([name])], cwd=tmp_path, check=True, capture_output=True)
        left = subprocess.run([*git, "ls-files", "-z"], capture_output=True, check=True).stdout
        assert left == b"ab\0b\0other\0"
        assert (tmp_path / name).exists()

    def test_a_path_that_git_does_not_know_yet_is_no_error(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        subprocess.run(["bash", "-c", untrack_command(["untracked"])], cwd=tmp_path, check=True, capture_output=True)

    def test_no_control_character_reaches_the_terminal(self) -> None:
        (problem,) = problems_of(("a\x1b[31m\n\udcff", 301 * MB), ignore_file=None)
        text = str(problem).encode("utf-8").decode()
        assert "\x1b" not in text
        assert "\\x1b[31m\\n" in text
        assert shown("a ") == "'a '"


class TestWeighing:
    def test_size_and_files_are_summed(self) -> None:
        weight = weigh([("a", 1), ("b/c", 2), ("b/d/e", 3)])
        assert (weight.size, weight.files) == (6, 3)

    def test_a_folder_weighs_all_it_holds(self) -> None:
        weight = weigh([("b/c", 2), ("b/d/e", 3), ("b/d/f", 4)])
        assert [(entry.path, entry.size, entry.files) for entry in weight.heaviest_folders] == [
            ("b", 9, 3),
            ("b/d", 7, 2),
        ]

    def test_of_folders_that_hold_only_one_another_the_innermost_is_listed(self) -> None:
        assert [entry.path for entry in weigh([("a/b/c/x", 5), ("a/b/c/y", 5)]).heaviest_folders] == ["a/b/c"]

    def test_ten_of_each_are_listed_the_heaviest_first(self) -> None:
        weight = weigh([(f"f{number:02}/x", number) for number in range(30)])
        assert [entry.size for entry in weight.heaviest_files] == list(range(29, 19, -1))
        assert [entry.path for entry in weight.heaviest_folders][:2] == ["f29", "f28"]
        assert len(weight.heaviest_folders) == 10

    @given(
        st.dictionaries(
            st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda parts: "/".join([*parts, "f"])),
            st.integers(0, 10**12),
            max_size=30,
        )
    )
    @settings(max_examples=80, deadline=None)
    def test_every_listed_folder_weighs_the_sum_of_its_files(self, files: dict[str, int]) -> None:
        weight = weigh(files.items())
        assert weight.size == sum(files.values())
        for entry in weight.heaviest_folders:
            inside = [size for path, size in files.items() if path.startswith(entry.path + "/")]
            assert (entry.size, entry.files) == (sum(inside), len(inside))


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            (0, 0),
            (26214400, 25 * MB),
            ("25 MB", 25 * MB),
            ("25MB", 25 * MB),
            ("25 mib", 25 * MB),
            ("1.5 GB", 1536 * MB),
            ("2k", 2048),
            ("100", 100),
            (" 7 B ", 7),
            ("1 TB", MB * MB),
        ],
    )
    def test_bytes_and_units_are_read(self, text: str | int, size: int) -> None:
        assert parse_size(text) == size

    @pytest.mark.parametrize(
        "text", ["", "MB", "-1", -1, "1 XB", "1,5 MB", "nan", "1e9", True, "9" * 400, "٣ MB", "1.2.3"]
    )
    def test_what_is_not_a_size_is_refused_with_an_example(self, text: str | int) -> None:
        with pytest.raises(UserError, match=r'is not a size\.\n.*"25 MB"'):
            parse_size(text)

    @pytest.mark.parametrize(
        ("size", "text"),
        [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1536, "1.50 KB"), (25 * MB, "25.00 MB")],
    )
    def test_sizes_are_shown_with_a_unit(self, size: int, text: str) -> None:
        assert format_size(size) == text


class TestRefusing:
    def test_a_warning_passes(self) -> None:
        require_within(problems_of(("a", 26 * MB)))

    def test_an_error_is_raised_with_every_problem(self) -> None:
        problems = problems_of(("big", 301 * MB), *many(2001))
        with pytest.raises(LimitsExceededError) as caught:
            require_within(problems)
        assert caught.value.problems == tuple(problems)
        assert caught.value.exit_code == 1
        assert "300.0 MB" in str(caught.value)
        assert "file limit of 2000" in str(caught.value)

    def test_a_warning_beside_an_error_is_carried_but_not_said(self) -> None:
        problems = problems_of(("a", 26 * MB), *many(2001))
        assert [problem.level for problem in problems] == [Level.WARNING, Level.ERROR]
        assert "more than 25 MB" not in str(LimitsExceededError(problems))


class TestReport:
    def test_it_has_the_keys_of_the_design(self) -> None:
        weight = weigh([("a/b", 26 * MB)])
        problems = judge(weight, SDK, "/p", ".amlignore")
        assert report(weight, SDK, ".amlignore", problems) == {
            "ok": True,
            "size": 26 * MB,
            "files": 1,
            "limits": {"warn_size": 25 * MB, "max_size": 300 * MB, "max_files": 2000, "profile": "sdk"},
            "ignore_file": ".amlignore",
            "problems": [
                {"id": "size", "level": "warning", "message": problems[0].message, "remedy": problems[0].remedy}
            ],
            "offenders": [{"path": "a/b", "size": 26 * MB}, {"path": "a/", "size": 26 * MB}],
        }

    def test_an_error_is_not_ok_and_the_workbench_profile_has_no_file_count(self) -> None:
        weight = weigh([("a", 26 * MB)])
        document = report(weight, WORKBENCH, None, judge(weight, WORKBENCH, "/p"))
        assert document["ok"] is False
        assert document["limits"] == {
            "warn_size": 25 * MB,
            "max_size": 25 * MB,
            "max_files": None,
            "profile": "workbench",
        }

    def test_paths_are_listed_when_asked_and_nothing_offends_within_the_limits(self) -> None:
        document = report(weigh([("a", 1)]), SDK, None, (), ["a", "b\udcff"])
        assert document["paths"] == ["a", "b\\xff"]
        assert document["offenders"] == []
        json.dumps(document, ensure_ascii=False).encode("utf-8")
