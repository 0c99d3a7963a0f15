"""What the hooks say while Git merges, picks, rebases and amends."""

from __future__ import annotations

from pathlib import Path

from tests.hooks.git_hooks.hooked import (
    NEARLY,
    REFUSED,
    add,
    commit_unchecked,
    head,
    record_run,
    tell_git,
)
from tests.repositories import git


def heavy_together(folder: Path) -> None:
    """Two branches, each within the limits, that are over them once merged."""
    git(folder, "switch", "-q", "-c", "other")
    commit_unchecked(folder, "b.bin", NEARLY)
    git(folder, "switch", "-q", "-c", "mine", "HEAD~1")
    commit_unchecked(folder, "a.bin", NEARLY)


def test_a_merge_that_is_over_the_limits_is_refused(work_tree: Path) -> None:
    """Git does not run pre-commit for it, but pre-merge-commit."""
    heavy_together(work_tree)
    before = head(work_tree)

    said = tell_git(work_tree, "merge", "other", "-m", "both")

    assert said.exit_code != 0
    assert REFUSED in said.text
    assert head(work_tree) == before


def test_a_merge_with_conflicts_is_judged_when_it_is_committed(work_tree: Path) -> None:
    heavy_together(work_tree)
    commit_unchecked(work_tree, "train.py", b"mine\n")
    git(work_tree, "switch", "-q", "other")
    commit_unchecked(work_tree, "train.py", b"other\n")
    assert tell_git(work_tree, "merge", "mine").exit_code == 1
    add(work_tree, "train.py", b"both\n")

    refused = tell_git(work_tree, "commit", "-m", "both")
    git(work_tree, "rm", "-q", "--cached", "a.bin")
    made = tell_git(work_tree, "commit", "-q", "-m", "both")

    assert refused.exit_code == 1
    assert REFUSED in refused.text
    assert made.exit_code == 0


def test_what_is_cherry_picked_is_weighed(work_tree: Path) -> None:
    heavy_together(work_tree)

    said = tell_git(work_tree, "cherry-pick", "other")

    assert said.exit_code == 0
    assert [line.endswith("over the limits, see: amltool check") for line in said.lines] == [True]


def test_a_rebase_goes_through_without_a_line_for_each_commit(work_tree: Path) -> None:
    git(work_tree, "switch", "-q", "-c", "topic")
    for name in ("one", "two", "three"):
        commit_unchecked(work_tree, name, b"1")
    git(work_tree, "switch", "-q", "-c", "base", "HEAD~3")
    commit_unchecked(work_tree, "base", b"1")
    git(work_tree, "switch", "-q", "topic")

    said = tell_git(work_tree, "rebase", "base")

    assert said.exit_code == 0
    assert said.lines == []
    assert git(work_tree, "rev-list", "--count", "base..topic") == "3"


def test_an_amended_commit_names_its_runs(work_tree: Path) -> None:
    record = record_run(work_tree)
    old = head(work_tree)

    said = tell_git(work_tree, "commit", "-q", "--amend", "-m", "better")

    assert "1 recorded run of commits just rewritten" in said.text
    assert f"amltool rerun {record.run_id}  ({old[:7]}, now {head(work_tree)[:7]})" in said.text


def test_a_rebase_names_the_runs_of_all_its_commits(work_tree: Path) -> None:
    git(work_tree, "switch", "-q", "-c", "topic")
    records = []
    for number, name in enumerate(("one", "two", "three"), 1):
        commit_unchecked(work_tree, name, b"1")
        records += [record_run(work_tree, number)] if name != "two" else []
    git(work_tree, "switch", "-q", "-c", "base", "HEAD~3")
    commit_unchecked(work_tree, "base", b"1")

    said = tell_git(work_tree, "rebase", "base", "topic")

    assert "2 recorded runs of commits just rewritten" in said.text
    assert [record.run_id in said.text for record in records] == [True, True]


def test_a_rewritten_snapshot_is_still_there_after_gc(repository: Path) -> None:
    record = record_run(repository)
    tell_git(repository, "commit", "-q", "--amend", "-m", "better")

    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")

    assert tell_git(repository, "cat-file", "-t", record.commit).text == "commit\n"


def test_commits_without_runs_are_rewritten_in_silence(repository: Path) -> None:
    record_run(repository)
    commit_unchecked(repository, "more", b"1")

    said = tell_git(repository, "commit", "-q", "--amend", "-m", "better")

    assert "recorded run" not in said.text
