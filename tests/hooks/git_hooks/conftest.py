"""A repository with our hooks in it, seen from its main and from a linked work tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.commands.hooks import install_hooks
from tests.hooks.git_hooks.hooked import NAME, ROOT, make_limited
from tests.repositories import git


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installation gives: the recorded interpreter finds amltool."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_limited(tmp_path / NAME)
    install_hooks(folder)
    return folder


@pytest.fixture(params=["main", "linked"])
def work_tree(request: pytest.FixtureRequest, repository: Path) -> Path:
    """The main and a linked work tree of one repository; the hooks were installed in the main one."""
    if request.param == "main":
        return repository
    linked = repository.parent / f"linked {NAME}"
    git(repository, "worktree", "add", "-q", "-b", "linked", str(linked))
    return linked
