"""The ref that keeps snapshots names only what is there, and is put right where it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from amltool.git.command import Git
from amltool.git.keeping import SnapshotGoneError, is_whole, kept_snapshots, missing_of
from amltool.git.notes import keep_for_run, keep_snapshots, repair_snapshots
from amltool.history.checking import Fault, check
from amltool.layout import SNAPSHOTS_REF
from tests.repositories import commit_all, git, make_repository, write_files


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", {"train.py": "print(1)\n"})


def prune(folder: Path) -> None:
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "gc", "-q", "--prune=now")


def is_sound(folder: Path) -> bool:
    return subprocess.run(["git", "fsck"], cwd=folder, capture_output=True).returncode == 0


def commits(folder: Path, count: int) -> list[str]:
    made = []
    for number in range(count):
        write_files(folder, {"data.txt": str(number)})
        made.append(commit_all(folder))
    return made


def break_the_ref(folder: Path) -> tuple[list[str], str]:
    """What an older amltool could leave: snapshots that are there, and one among them that is not."""
    *kept, lost = commits(folder, 4)
    found = Git.at(folder)
    for commit in kept:
        keep_snapshots(found, [commit])
    git(folder, "reset", "-q", "--hard", "HEAD~1")
    tree = git(folder, "rev-parse", "HEAD^{tree}")
    tip = git(folder, "rev-parse", SNAPSHOTS_REF)
    prune(folder)
    broken = f"tree {tree}\nparent {tip}\nparent {lost}\nauthor amltool <amltool@localhost> 1 +0000\n"
    broken += "committer amltool <amltool@localhost> 1 +0000\n\namltool: snapshots\n"
    made = git(folder, "hash-object", "-t", "commit", "-w", "--stdin", input=broken.encode())
    (folder / ".git" / SNAPSHOTS_REF).write_text(f"{made}\n")
    return kept, lost


def test_a_ref_that_names_what_is_gone_is_found_and_repaired_without_losing_the_rest(repository: Path) -> None:
    kept, lost = break_the_ref(repository)
    found = Git.at(repository)
    assert not is_sound(repository)
    assert kept_snapshots(found) == (set(kept), False)

    assert repair_snapshots(found) == len(kept)

    assert is_sound(repository)
    named, is_all = kept_snapshots(found)
    assert is_all
    assert set(kept) <= named
    assert lost not in named
    prune(repository)


def test_history_check_names_such_a_ref(repository: Path) -> None:
    break_the_ref(repository)
    keep = [each for each in check(Git.at(repository)) if each.fault is Fault.BROKEN_SNAPSHOTS]
    assert keep == []  # nothing was recorded: there is nothing to check
    from amltool.git.notes import append_lines

    append_lines(Git.at(repository), {git(repository, "rev-parse", "HEAD"): [b"a line"]})
    [finding] = [each for each in check(Git.at(repository)) if each.fault is Fault.BROKEN_SNAPSHOTS]
    assert "history.check --repair" in finding.remedy


def test_what_a_reader_still_holds_open_does_not_count_as_there(repository: Path) -> None:
    write_files(repository, {"data.txt": "gone soon"})
    lost = commit_all(repository)
    git(repository, "gc", "-q")
    found = Git.at(repository)
    assert found.get_reader().read(lost) is not None  # its pack is open from now on
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    prune(repository)
    assert found.get_reader().read(lost) is not None, "the reader says so of what is gone"

    assert missing_of(found, [lost]) == {lost}
    with pytest.raises(SnapshotGoneError):
        keep_for_run(found, lost, lost)
    assert found.ref(SNAPSHOTS_REF) is None
    assert is_sound(repository)


def test_a_snapshot_that_lost_a_file_is_not_kept(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    write_files(repository, {"data.txt": "uncommitted"})
    git(repository, "add", "data.txt")
    commit = git(repository, "commit-tree", "-p", base, "-m", "work", git(repository, "write-tree"))
    blob = git(repository, "rev-parse", ":data.txt")
    git(repository, "reset", "-q")
    found = Git.at(repository)
    keep_for_run(found, commit, base)
    assert is_whole(found, commit)
    tip = found.ref(SNAPSHOTS_REF)
    git(repository, "update-ref", "-d", SNAPSHOTS_REF)
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(SnapshotGoneError):
        keep_for_run(found, commit, base)

    assert tip is not None
    assert found.ref(SNAPSHOTS_REF) is None


def test_a_ref_that_names_no_commit_begins_anew(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "update-ref", SNAPSHOTS_REF, git(repository, "hash-object", "-w", ".git/HEAD"))

    keep_for_run(Git.at(repository), head, head)

    assert git(repository, "rev-list", "-1", "--parents", SNAPSHOTS_REF).split()[1:] == [head]
    assert is_sound(repository)


def test_a_ref_whose_newest_commit_is_gone_begins_anew(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / ".git/refs/amltool").mkdir(parents=True)
    (repository / ".git" / SNAPSHOTS_REF).write_text("1" * 40 + "\n")

    keep_snapshots(Git.at(repository), [head])

    assert kept_snapshots(Git.at(repository))[0] >= {head}
    assert is_sound(repository)
