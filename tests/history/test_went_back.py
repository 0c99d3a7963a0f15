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
from amltool.layout import HISTORY_REF, NOTES_REF
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
@given(st.lists(st.sampled_from(["record", "back", "gone", "away", "look"]), min_size=3, max_size=9))
def test_whatever_moves_the_notes_nothing_recorded_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = make_repository(tmp_path_factory.mktemp("moved") / "repository", {"train.py": "print(1)\n"})
    recorded: set[str] = set()
    tips: list[str] = []
    for number, step in enumerate(steps):
        if step == "record":
            record = record_of(folder, number + 1)
            History(Git.at(folder)).record([record])
            recorded.add(record.run_id)
            tips.append(tip(folder))
        elif tips and step == "back":
            git(folder, "update-ref", NOTES_REF, tips[number % len(tips)])
        elif tips and step == "gone":
            git(folder, "update-ref", "-d", NOTES_REF)
        elif tips and step == "away":  # a history of another clone, unrelated
            tree = git(folder, "rev-parse", f"{tips[0]}^{{tree}}")
            git(folder, "update-ref", NOTES_REF, git(folder, "commit-tree", "-m", "another", tree))
        elif step == "look":
            assert ids(folder) == recorded
    assert ids(folder) == recorded
