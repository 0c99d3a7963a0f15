"""What the hooks say to a real `git push`, and when they stop it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hooks.git_hooks.hooked import (
    HEAVY,
    LIMITS,
    NAME,
    REFUSED,
    commit_unchecked,
    record_run,
    tell_git,
)
from tests.repositories import commit_all, git, write_files


@pytest.fixture
def remote(work_tree: Path, tmp_path: Path) -> Path:
    bare = tmp_path / f"{NAME}.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    git(work_tree, "remote", "add", "origin", str(bare))
    return bare


def test_a_branch_within_the_limits_is_pushed_in_silence(work_tree: Path, remote: Path) -> None:
    said = tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/good")

    assert (said.exit_code, said.text) == (0, "")


def test_a_branch_whose_tip_is_over_the_limits_is_not_pushed(work_tree: Path, remote: Path) -> None:
    commit = commit_unchecked(work_tree, "big.bin", HEAVY)

    said = tell_git(work_tree, "push", "origin", "HEAD:refs/heads/bad", "HEAD~1:refs/heads/good")

    assert said.exit_code == 1
    assert f"amltool refuses this push. The tip {commit[:7]} of bad is over the limits." in said.text
    assert REFUSED in said.text
    assert git(remote, "for-each-ref") == ""


def test_a_heavy_commit_that_a_later_one_undid_is_pushed(work_tree: Path, remote: Path) -> None:
    commit_unchecked(work_tree, "big.bin", HEAVY)
    git(work_tree, "rm", "-q", "big.bin")
    git(work_tree, "commit", "-q", "-m", "without")

    assert tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/topic").exit_code == 0


def test_a_branch_can_be_deleted_whatever_it_holds(work_tree: Path, remote: Path) -> None:
    commit_unchecked(work_tree, "big.bin", HEAVY)
    tell_git(work_tree, "push", "-q", "--no-verify", "origin", "HEAD:refs/heads/bad")

    assert tell_git(work_tree, "push", "-q", "origin", ":bad").exit_code == 0
    assert git(remote, "for-each-ref") == ""


def test_tags_and_our_own_refs_are_not_judged(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    commit_unchecked(repository, "big.bin", HEAVY)
    record_run(repository)

    ours = ["refs/notes/amltool/runs", "refs/amltool/snapshots", "HEAD:refs/amltool/heavy", "HEAD:refs/tags/heavy"]

    assert tell_git(repository, "push", "-q", str(bare), *ours).exit_code == 0


def test_unpushed_run_history_is_told_and_does_not_block(work_tree: Path, remote: Path) -> None:
    record_run(work_tree)

    said = tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/topic")

    assert said.exit_code == 0
    assert [
        "the run history here is not on origin yet: git push origin refs/notes/amltool/runs" in line
        for line in said.lines
    ] == [True]


def test_pushed_run_history_is_not_told(work_tree: Path, remote: Path) -> None:
    record_run(work_tree)
    notes = git(work_tree, "rev-parse", "refs/notes/amltool/runs")
    git(work_tree, "update-ref", "refs/notes/remotes/origin/amltool/runs", notes)

    said = tell_git(work_tree, "push", "-q", "origin", "HEAD:refs/heads/topic")

    assert said.lines == []


def test_who_does_not_share_run_history_can_say_so(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "bare.git"))
    write_files(repository, {"pyproject.toml": "[tool.amltool]\nwarn_unpushed_history = false\n" + LIMITS})
    commit_all(repository)
    record_run(repository)

    assert tell_git(repository, "push", "-q", "origin", "HEAD:refs/heads/topic").lines == []
