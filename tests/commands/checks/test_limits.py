from __future__ import annotations

from amltool.commands.checks.limits import LimitArguments, file_problems
from amltool.limits import MB, Limits, Profile


def test_what_the_command_line_says_wins_over_the_settings() -> None:
    settled = Limits(max_size=100 * MB, max_files=5)
    assert LimitArguments(max_size=7).over(settled) == Limits(max_size=7, max_files=5)
    assert LimitArguments(max_files=0).over(settled).max_files == 0


def test_a_profile_brings_its_own_limits_where_the_settings_say_nothing_else() -> None:
    assert LimitArguments(profile=Profile.WORKBENCH).over(Limits()) == Limits.of(Profile.WORKBENCH)
    settled = Limits(max_size=100 * MB)
    assert LimitArguments(profile=Profile.WORKBENCH).over(settled).max_size == 100 * MB
    assert LimitArguments(profile=Profile.SDK).over(Limits.of(Profile.WORKBENCH)) == Limits()


def test_a_single_file_over_its_limit_is_named_with_what_to_do() -> None:
    (found,) = file_problems({"a b.bin": 3 * MB, "c.bin": MB}, MB, None)
    assert found.id == "file-size"
    assert "3.00 MB  a b.bin (2.00 MB too much)" in found.message
    assert "/a b.bin" in found.remedy
    assert "git rm --cached -r --ignore-unmatch -- 'a b.bin'" in found.remedy
    assert 'max_file_size = "3 MB"' in found.remedy
    assert "c.bin" not in str(found)


def test_a_file_of_exactly_the_limit_passes() -> None:
    assert file_problems({"a": MB}, MB, None) == []
    assert file_problems({"a": 10**12}, None, None) == []


def test_of_many_heavy_files_ten_are_named_and_the_rest_counted() -> None:
    (found,) = file_problems({f"f{number:02}": MB + number for number in range(1, 16)}, MB, None)
    assert found.message.startswith("15 files are over 1.00 MB:")
    assert found.message.count("too much") == 10
    assert found.message.endswith("and 5 more")
