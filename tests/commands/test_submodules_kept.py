"""What a run took of a submodule is kept in the submodule's repository, and found there later."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from amltool.layout import SNAPSHOTS_REF
from tests.amltool_command import amltool, make_project, submit
from tests.repositories import git, make_repository, write_files


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_repository(tmp_path / "lib", {"lib.py": "V = 1\n"})
    folder = make_project(tmp_path / "project", {"train.py": "from lib.lib import V\nprint(V)\n"})
    git(folder, "submodule", "--quiet", "add", "--name", "other/name", str(tmp_path / "lib"), "lib")
    git(folder, "commit", "-q", "-m", "with lib")
    return folder


def is_sound(folder: Path) -> bool:
    return subprocess.run(["git", "fsck", "--no-dangling"], cwd=folder, capture_output=True).returncode == 0


def test_the_commit_of_a_submodule_survives_amend_and_gc_there(project: Path) -> None:
    write_files(project / "lib", {"lib.py": "V = 2\n"})
    git(project / "lib", "commit", "-q", "-a", "-m", "not pushed")
    git(project, "commit", "-q", "-a", "-m", "newer lib")
    taken = git(project / "lib", "rev-parse", "HEAD")
    submit(project)
    assert taken in git(project / "lib", "rev-list", SNAPSHOTS_REF).split()

    git(project / "lib", "reset", "-q", "--hard", "HEAD~1")
    git(project / "lib", "reflog", "expire", "--expire=now", "--all")
    git(project / "lib", "gc", "-q", "--prune=now")

    assert amltool(project, "rerun", "@").returncode == 0
    assert is_sound(project / "lib")


def test_a_run_of_a_submodule_that_was_removed_since_runs_again(project: Path, tmp_path: Path) -> None:
    submit(project)
    git(project, "rm", "-q", "-f", "lib")
    git(project, "commit", "-q", "-m", "no lib any more")

    amltool(project, "restore", "@", "--to", str(tmp_path / "restored"))

    assert (tmp_path / "restored/lib/lib.py").read_text() == "V = 1\n"
    assert amltool(project, "rerun", "@").returncode == 0
