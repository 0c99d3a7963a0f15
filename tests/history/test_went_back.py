"""A history that somebody moved back is put right from the ref that only we write."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amltool.git.command import Git
from amltool.history.checking import Fault, check
from amltool.history.history import History
from amltool.layout import HISTORY_REF, NOTES_REF, SNAPSHOTS_REF
from amltool.run import RunRecord, RunStatus, new_run_id, timestamp
from tests.history.conftest import START
from tests.repositories import git, make_repository


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", {"train.py": "print(1)\n"})


def record_of(folder: Path, number: int) -> RunRecord:
    commit, now = git(folder, "rev-parse", "HEAD"), START + timedelta(seconds=7 * number)
    return RunRecord(
        run_id=new_run_id(commit, now), run_number=number, status=RunStatus.COMPLETED, exit_code=0, script="train.py",
        arguments=[], target="local", commit=commit, tree="b" * 40, base_commit=commit, created=timestamp(now),
    )  # fmt: skip


def ids(folder: Path) -> set[str]:
    return {run.run_id for run in History(Git.at(folder)).runs()}


def tip(folder: Path) -> str:
    return git(folder, "rev-parse", NOTES_REF)


def test_a_forced_fetch_of_notes_takes_nothing_away(repository: Path, tmp_path: Path) -> None:
    history = History(Git.at(repository))
    git(repository, "init", "-q", "--bare", str(tmp_path / "remote"))
    git(repository, "remote", "add", "origin", str(tmp_path / "remote"))
    history.record([record_of(repository, 1)])
    git(repository, "push", "-q", "origin", NOTES_REF)
    history.record([record_of(repository, 2)])
    before = ids(repository)

    git(repository, "fetch", "-q", "origin", "+refs/notes/*:refs/notes/*")

    assert ids(repository) == before
    [finding] = [each for each in check(Git.at(repository)) if each.fault is Fault.WENT_BACK]
    assert "gone back" in finding.message
    assert Fault.WENT_BACK not in {each.fault for each in check(Git.at(repository))}, "it is told once"


def test_a_fetch_that_prunes_takes_nothing_away(repository: Path, tmp_path: Path) -> None:
    git(repository, "init", "-q", "--bare", str(tmp_path / "remote"))
    git(repository, "remote", "add", "origin", str(tmp_path / "remote"))
    git(repository, "push", "-q", "origin", "HEAD:refs/heads/main")
    History(Git.at(repository)).record([record_of(repository, 1)])
    before = ids(repository)

    git(repository, "fetch", "-q", "--prune", "origin", "+refs/notes/*:refs/notes/*")

    assert subprocess.run(["git", "rev-parse", "-q", "--verify", NOTES_REF], cwd=repository).returncode != 0
    assert ids(repository) == before


def recorded(folder: Path, number: int) -> None:
    record = record_of(folder, number)
    History(Git.at(folder)).record([record], keep=[record.commit])


def mirrored(folder: Path, tmp_path: Path) -> None:
    """A remote that is fetched from as a mirror is, and has the branch."""
    git(folder, "init", "-q", "--bare", str(tmp_path / "remote"))
    git(folder, "remote", "add", "origin", str(tmp_path / "remote"))
    git(folder, "config", "remote.origin.fetch", "+refs/*:refs/*")
    git(folder, "push", "-q", "origin", "HEAD:refs/heads/main")


def test_a_mirror_fetch_that_prunes_takes_nothing_away(repository: Path, tmp_path: Path) -> None:
    mirrored(repository, tmp_path)
    recorded(repository, 1)
    before, kept = ids(repository), git(repository, "rev-parse", SNAPSHOTS_REF)

    git(repository, "fetch", "-q", "--prune", "--update-head-ok", "origin")

    for ref in (NOTES_REF, SNAPSHOTS_REF, HISTORY_REF):
        assert subprocess.run(["git", "rev-parse", "-q", "--verify", ref], cwd=repository).returncode != 0
    assert ids(repository) == before
    assert git(repository, "rev-parse", SNAPSHOTS_REF) == kept
    found = {each.fault: each.message for each in check(Git.at(repository))}
    assert Fault.WENT_BACK in found
    assert "remote.origin.fetch=+refs/*:refs/*" in found[Fault.TAKING_REFSPEC]


def test_a_mirror_fetch_of_older_refs_takes_nothing_away(repository: Path, tmp_path: Path) -> None:
    mirrored(repository, tmp_path)
    recorded(repository, 1)
    git(repository, "push", "-q", "origin", NOTES_REF, SNAPSHOTS_REF)
    git(repository, "commit", "-q", "--allow-empty", "-m", "next")
    recorded(repository, 2)
    git(repository, "push", "-q", "origin", "HEAD:refs/heads/main")
    before, kept = ids(repository), git(repository, "rev-parse", SNAPSHOTS_REF)

    git(repository, "fetch", "-q", "--prune", "--update-head-ok", "origin")

    assert ids(repository) == before
    assert kept in git(repository, "rev-list", SNAPSHOTS_REF).split()
    assert not [each for each in check(Git.at(repository)) if each.fault.is_error]


def test_what_a_mirror_fetch_took_and_gc_removed_is_said(repository: Path, tmp_path: Path) -> None:
    mirrored(repository, tmp_path)
    recorded(repository, 1)
    git(repository, "fetch", "-q", "--prune", "--update-head-ok", "origin")
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")

    assert ids(repository) == set()
    assert Fault.NOTES_GONE in {each.fault for each in check(Git.at(repository))}


@pytest.mark.parametrize("noted", ["", "[]", '{"history":"zz"}', '{"history":"-x","snapshots":"--help"}'])
def test_damaged_notes_of_where_the_refs_were_put_nothing_back_and_stop_nothing(repository: Path, noted: str) -> None:
    recorded(repository, 1)
    for ref in (NOTES_REF, HISTORY_REF):
        git(repository, "update-ref", "-d", ref)
    Git.at(repository).layout.noted_tips.write_text(noted)

    assert ids(repository) == set()
    recorded(repository, 2)
    assert len(ids(repository)) == 1


def test_who_removes_the_history_of_kept_runs_has_an_empty_one(repository: Path) -> None:
    recorded(repository, 1)
    for ref in (NOTES_REF, HISTORY_REF):
        git(repository, "update-ref", "-d", ref)

    assert ids(repository) == set()
    assert check(Git.at(repository)) == []
    recorded(repository, 2)
    assert len(ids(repository)) == 1


def test_who_removes_both_refs_has_an_empty_history(repository: Path) -> None:
    History(Git.at(repository)).record([record_of(repository, 1)])
    for ref in (NOTES_REF, HISTORY_REF):
        git(repository, "update-ref", "-d", ref)

    assert ids(repository) == set()
    assert check(Git.at(repository)) == []


def test_what_git_notes_removes_stays_removed(repository: Path) -> None:
    History(Git.at(repository)).record([record_of(repository, 1)])
    git(repository, "notes", f"--ref={NOTES_REF}", "remove", "HEAD")

    assert ids(repository) == set()
    assert git(repository, "rev-parse", HISTORY_REF) == tip(repository)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["record", "back", "gone", "away", "mirror", "look"]), min_size=3, max_size=9))
def test_whatever_moves_the_notes_nothing_recorded_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = make_repository(tmp_path_factory.mktemp("moved") / "repository", {"train.py": "print(1)\n"})
    recorded_ids: set[str] = set()
    tips: list[str] = []
    for number, step in enumerate(steps):
        if step == "record":
            record = record_of(folder, number + 1)
            History(Git.at(folder)).record([record], keep=[record.commit])
            recorded_ids.add(record.run_id)
            tips.append(tip(folder))
        elif tips and step == "back":
            git(folder, "update-ref", NOTES_REF, tips[number % len(tips)])
        elif tips and step == "gone":
            git(folder, "update-ref", "-d", NOTES_REF)
        elif tips and step == "away":  # a history of another clone, unrelated
            tree = git(folder, "rev-parse", f"{tips[0]}^{{tree}}")
            git(folder, "update-ref", NOTES_REF, git(folder, "commit-tree", "-m", "another", tree))
        elif tips and step == "mirror":  # all refs of ours at once
            for ref in (NOTES_REF, SNAPSHOTS_REF, HISTORY_REF):
                git(folder, "update-ref", "-d", ref)
        elif step == "look":
            assert ids(folder) == recorded_ids
    assert ids(folder) == recorded_ids
