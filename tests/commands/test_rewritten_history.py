"""A run whose commits are rewritten and pruned meanwhile is recorded and can be run again, or was not acknowledged."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from amltool.layout import SNAPSHOTS_REF
from tests.amltool_command import amltool, make_project
from tests.git_moments import REWRITTEN, GitMoments
from tests.repositories import git, write_files

SCRIPT = 'print(open("data.txt").read())\nopen("outputs/made", "w").write(open("data.txt").read())\n'
ATTACKS = {
    "amend": REWRITTEN,
    "repack": "git repack -adq\ngit prune --expire=now\n",
    "switch": "git checkout -q other\n",
    "rebase": "git rebase -q --root --exec 'git commit -q --amend --allow-empty -m again' || git rebase --abort\n"
    "git reflog expire --expire=now --all\ngit gc -q --prune=now\n",
    "rewrite": "git update-ref HEAD $(git commit-tree -m orphan HEAD^{tree})\n"
    "git reflog expire --expire=now --all\ngit gc -q --prune=now\n",
}
"""What other people and programs do to a repository, each whole."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = make_project(tmp_path / "project", {"train.py": SCRIPT, "data.txt": "first"})
    git(folder, "checkout", "-q", "-b", "other")
    write_files(folder, {"data.txt": "other", "more.txt": "of the other branch"})
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "other")
    git(folder, "checkout", "-q", "main")
    write_files(folder, {"data.txt": "second"})
    git(folder, "commit", "-q", "-a", "-m", "second")
    git(folder, "gc", "-q")
    return folder


def assert_sound(folder: Path) -> None:
    checked = subprocess.run(["git", "fsck", "--no-dangling"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    git(folder, "gc", "-q")
    assert amltool(folder, "history.check", check=False).returncode == 0


def assert_recorded_or_refused(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    """What the issue asks: after a submit that was disturbed at any moment."""
    assert done.returncode in (0, 1), done.stderr
    runs = json.loads(amltool(folder, "runs", "--json").stdout)
    assert_sound(folder)
    if done.returncode == 1:
        assert "RunId" not in done.stderr
        assert runs == []
        return
    [run] = runs
    assert run["status"] == "Completed"
    assert amltool(folder, "rerun", "@").returncode == 0
    assert_sound(folder)


def disturbed(folder: Path, tmp_path: Path, moment: int, attack: str, *, dirty: bool) -> None:
    if dirty:
        write_files(folder, {"data.txt": "uncommitted", "new.txt": "untracked"})
    moments = GitMoments(tmp_path / "moments", folder)
    moments.at_call(moment, ATTACKS[attack])
    done = amltool(folder, "submit", "train.py", "--target", "local", check=False, **moments.variables)
    assert_recorded_or_refused(folder, done)


MOMENTS = [(attack, dirty) for attack in ATTACKS for dirty in (False, True)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_run_disturbed_at_some_moment_of_its_submit(project: Path, tmp_path: Path, attack: str) -> None:
    chance = random.Random(f"{os.environ.get('AMLTOOL_SEED', '9')}{attack}")
    disturbed(project, tmp_path, chance.randrange(2, 14), attack, dirty=chance.random() < 0.5)


@pytest.mark.torture
@pytest.mark.parametrize("moment", range(1, 21))
@pytest.mark.parametrize(("attack", "dirty"), MOMENTS)
def test_a_run_disturbed_at_every_moment(project: Path, tmp_path: Path, attack: str, dirty: bool, moment: int) -> None:
    disturbed(project, tmp_path, moment, attack, dirty=dirty)


def test_a_snapshot_is_kept_before_its_run_is_acknowledged(project: Path, tmp_path: Path) -> None:
    moments = GitMoments(tmp_path / "moments", project)
    done = amltool(project, "submit", "train.py", "--target", "local", "--detach", **moments.variables)
    kept = git(project, "rev-list", "-1", "--parents", SNAPSHOTS_REF).split()
    assert git(project, "rev-parse", "HEAD") in kept, done.stderr
    amltool(project, "wait", "@")
