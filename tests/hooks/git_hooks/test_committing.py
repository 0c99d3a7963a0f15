"""What the hooks say to a real `git commit`, and when they stop it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from amltool.commands.hooks import install_hooks
from tests.hooks.git_hooks.hooked import (
    HEAVY,
    LIMITS,
    NAME,
    NEARLY,
    REFUSED,
    add,
    head,
    run,
    tell_git,
)
from tests.repositories import git, make_repository, write_files


def test_a_commit_within_the_limits_is_made_and_its_weight_is_told_in_one_line(work_tree: Path) -> None:
    add(work_tree, "small.bin", b"x" * 1_000)

    said = tell_git(work_tree, "commit", "-q", "-m", "small")

    assert said.exit_code == 0
    assert len(said.lines) == 1
    assert f"snapshot {head(work_tree)[:7]} weighs 1.06 KB of 8 KB (13%) in 3 of 20 files (15%)" in said.lines[0]


def test_a_commit_over_the_limits_is_refused_with_offenders_and_remedies(work_tree: Path) -> None:
    before = head(work_tree)
    add(work_tree, "data/big one.bin", HEAVY)

    said = tell_git(work_tree, "commit", "-m", "big")

    assert said.exit_code == 1
    assert head(work_tree) == before
    for words in (
        REFUSED,
        "data/big one.bin",
        "\n     /data/big one.bin\n",
        "git rm --cached",
        "max_size = ",
        "--no-verify",
    ):
        assert words in said.text


def test_a_refused_commit_can_be_made_all_the_same(repository: Path) -> None:
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-q", "--no-verify", "-m", "big")

    assert said.exit_code == 0
    assert said.lines[-1].endswith("over the limits, see: amltool check")


@pytest.mark.parametrize("words", [["-a", "-m", "all"], ["-m", "one", "train.py"], ["--amend", "-a", "--no-edit"]])
def test_a_heavy_file_is_refused_however_it_is_committed(work_tree: Path, words: list[str]) -> None:
    before = head(work_tree)
    write_files(work_tree, {"train.py": HEAVY})

    said = tell_git(work_tree, "commit", *words)

    assert said.exit_code == 1
    assert REFUSED in said.text
    assert head(work_tree) == before


def test_a_partial_commit_is_judged_by_what_it_takes(work_tree: Path) -> None:
    """Git makes an index of its own for it; what is staged beside is not in the commit."""
    add(work_tree, "big.bin", HEAVY)
    write_files(work_tree, {"train.py": "print(2)\n"})

    said = tell_git(work_tree, "commit", "-q", "-m", "one", "train.py")

    assert said.exit_code == 0
    assert git(work_tree, "diff", "--cached", "--name-only") == "big.bin"


def test_what_is_staged_counts_and_not_what_lies_in_the_folder(repository: Path) -> None:
    add(repository, "data.bin", b"x")
    write_files(repository, {"data.bin": HEAVY})

    assert tell_git(repository, "commit", "-q", "-m", "small").exit_code == 0


def test_the_first_commit_of_a_repository_is_judged(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / NAME)
    install_hooks(folder)
    write_files(folder, {"pyproject.toml": LIMITS, "big.bin": HEAVY})
    git(folder, "add", "-A")

    refused = tell_git(folder, "commit", "-m", "first")
    git(folder, "rm", "-q", "--cached", "big.bin")
    made = tell_git(folder, "commit", "-q", "-m", "first")

    assert (refused.exit_code, made.exit_code) == (1, 0)
    assert REFUSED in refused.text


def test_a_warning_is_seen_and_does_not_block(repository: Path) -> None:
    add(repository, "data.bin", NEARLY)

    said = tell_git(repository, "commit", "-q", "-m", "nearly")

    assert said.exit_code == 0
    assert "Your total snapshot size is 4.9" in said.lines[0]
    assert "is a warning" in said.lines[-1]


def test_mistaken_settings_are_refused_with_file_and_line(repository: Path) -> None:
    write_files(repository, {"pyproject.toml": LIMITS + 'max_sise = "1 MB"\n'})

    said = tell_git(repository, "commit", "-am", "settings")

    assert said.exit_code == 1
    assert "pyproject.toml:5" in said.text
    assert "Traceback" not in said.text


def test_each_project_of_a_repository_has_its_own_limits(tmp_path: Path) -> None:
    settings = "limits:\n  max_size: 8 KB\n"
    folder = make_repository(tmp_path / NAME, {"a b/aml_config/project.yml": settings, "readme": "x"})
    install_hooks(folder)
    add(folder, "big.bin", HEAVY)
    beside = tell_git(folder, "commit", "-q", "-m", "in no project")
    add(folder, "a b/big.bin", HEAVY)

    inside = tell_git(folder, "commit", "-m", "in the project")

    assert beside.exit_code == 0
    assert inside.exit_code == 1
    assert "amltool refuses this commit of the project a b." in inside.text


def test_the_hook_and_check_say_the_same(repository: Path) -> None:
    add(repository, "data/big.bin", HEAVY)

    said = tell_git(repository, "commit", "-m", "big")
    problem = json.loads(run(repository, sys.executable, "-m", "amltool", "check", "--staged", "--json").text)[
        "problems"
    ][0]

    assert problem["message"] in said.text
    assert problem["remedy"] in said.text


def test_a_single_file_over_its_limit_is_refused(repository: Path) -> None:
    write_files(repository, {"pyproject.toml": '[tool.amltool]\nmax_file_size = "1 KB"\n'})
    add(repository, "data.bin", b"x" * 2_000)

    said = tell_git(repository, "commit", "-m", "data")

    assert said.exit_code == 1
    assert "1 file is over 1.00 KB" in said.text


def test_a_secret_that_is_staged_is_refused_and_not_repeated(repository: Path) -> None:
    canary = "Zm9ydHktdHdvIHNlY3JldHMgYXJlIGVub3VnaCBmb3IgYW55IHN0b3JhZ2UgYWNjb3VudCwgb2theT8hISEhISEhIQ=="[:86] + "=="
    add(repository, "train.py", f'key = "AccountKey={canary}"\n'.encode())

    said = tell_git(repository, "commit", "-m", "key")

    assert said.exit_code == 1
    assert "train.py:1" in said.text
    assert canary[:20] not in said.text


def test_a_configuration_file_with_a_mistake_is_refused(repository: Path) -> None:
    add(repository, "aml_config/local.compute", b'type: "lokal"\n')

    said = tell_git(repository, "commit", "-m", "target")

    assert said.exit_code == 1
    assert "aml_config/local.compute:1" in said.text
