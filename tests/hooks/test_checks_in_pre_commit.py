"""The checks as other repositories use them: pre-commit builds their environment from this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hooks.checked import MB, ROOT, sized_tree
from tests.repositories import commit_all, git, make_repository, write_files

OFFLINE = (
    "No matching distribution found",
    "Temporary failure in name resolution",
    "Connection refused",
    "NewConnectionError",
)
IDS = ("amltool-limits", "amltool-ignore", "amltool-config", "amltool-secrets", "amltool-notebooks")
NAMES = (
    "amltool limits",
    "amltool ignore file",
    "amltool configuration",
    "amltool secrets",
    "amltool notebooks",
)
NOT_OURS = ("docker", "paramiko", "keyring", "azure", "pyspark")
PRE_COMMIT = Path(sys.executable).with_name("pre-commit")
pytestmark = pytest.mark.component("package-index")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository as it is now, what is not committed with it."""
    folder = tmp_path_factory.mktemp("clone")
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, env=environment, capture_output=True, check=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, *identity, "commit", "-qm", "as it is")
    return folder


@pytest.fixture(scope="module")
def kept_environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pre-commit")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = make_repository(tmp_path / "work", {"train.py": "print(1)\n"})
    git(folder, "config", "core.compression", "1")
    return folder


def pre_commit(repository: Path, kept: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not PRE_COMMIT.exists():
        pytest.skip("pre-commit is not installed beside this Python")
    environment = {**os.environ, "PRE_COMMIT_HOME": str(kept), "PRE_COMMIT_COLOR": "never"}
    done = subprocess.run(
        [str(PRE_COMMIT), *arguments], cwd=repository, env=environment, capture_output=True, text=True, timeout=280
    )
    said = done.stdout + done.stderr
    if done.returncode != 0 and any(sign in said for sign in OFFLINE):
        if "package-index" in os.environ.get("AMLTOOL_REQUIRE", ""):
            pytest.fail(f"the package index does not answer: {said[-2000:]}")
        pytest.skip("the package index does not answer, so pre-commit cannot build the checks' environment")
    return done


def use(repository: Path, clone: Path, *, limits: str = "[]") -> None:
    """Let a repository use the checks of the clone."""
    others = "".join(f"      - id: {each}\n" for each in IDS[1:])
    revision = git(clone, "rev-parse", "HEAD")
    write_files(
        repository,
        {
            ".pre-commit-config.yaml": f"repos:\n  - repo: {clone}\n    rev: {revision}\n    hooks:\n"
            f"      - id: amltool-limits\n        args: {limits}\n{others}"
        },
    )
    git(repository, "add", ".pre-commit-config.yaml")


def outcome(said: str, name: str) -> str:
    return next(line.rpartition(".")[2] for line in said.splitlines() if line.startswith(f"{name}."))


def test_every_check_runs_with_try_repo(repository: Path, clone: Path, kept_environments: Path) -> None:
    write_files(repository, {"a.ipynb": '{"nbformat": 4, "cells": []}', "aml_config/local.compute": "type: local\n"})
    commit_all(repository)
    done = pre_commit(repository, kept_environments, "try-repo", str(clone), "--all-files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [outcome(done.stdout, name) for name in NAMES] == ["Passed"] * len(IDS)


def test_try_repo_refuses_what_each_check_is_for(repository: Path, clone: Path, kept_environments: Path) -> None:
    use(repository, clone, limits='["--max-size", "1KB"]')
    cell = '{"cell_type": "code", "outputs": ["' + "x" * (2 * MB) + '"]}'
    write_files(
        repository,
        {
            "a.ipynb": '{"nbformat": 4, "cells": [' + cell + "]}",
            "aml_config/local.compute": "type: lokal\n",
            "a.py": "password = 'Canary7Zq'\n",
            ".amlignore": b"\xff\xfea\0",
        },
    )
    git(repository, "add", "-A")
    done = pre_commit(repository, kept_environments, "run")
    assert done.returncode == 1
    assert done.stdout.count("Failed") == len(IDS), done.stdout
    assert "Canary7Zq" not in done.stdout + done.stderr


def test_the_environment_holds_only_the_base_dependencies(
    repository: Path, clone: Path, kept_environments: Path
) -> None:
    use(repository, clone)
    assert pre_commit(repository, kept_environments, "run", "--all-files").returncode == 0
    packages = {path.name for path in kept_environments.glob("repo*/py_env-*/lib/python*/site-packages/*")}
    assert "amltool" in packages
    assert not packages & set(NOT_OURS)


@pytest.mark.parametrize(("size", "passes"), [(300 * MB, True), (301 * MB, False)])
def test_a_tree_of_300_mb_passes_and_of_301_is_refused(
    repository: Path, clone: Path, kept_environments: Path, size: int, passes: bool
) -> None:
    use(repository, clone)
    taken = 9 + (repository / ".pre-commit-config.yaml").stat().st_size
    kept = (repository / ".pre-commit-config.yaml").read_text()
    sized_tree(repository, {"data.bin": size - taken})
    (repository / ".pre-commit-config.yaml").write_text(kept)
    done = pre_commit(repository, kept_environments, "run", "amltool-limits", "--all-files")
    assert outcome(done.stdout, "amltool limits") == ("Passed" if passes else "Failed"), done.stdout


def test_26_mb_pass_with_a_warning_that_is_seen(repository: Path, clone: Path, kept_environments: Path) -> None:
    use(repository, clone)
    sized_tree(repository, {"data.bin": 26 * MB})
    done = pre_commit(repository, kept_environments, "run", "--all-files")
    assert done.returncode == 0
    assert "warning: Your total snapshot size is 26.00 MB" in done.stdout


@pytest.mark.parametrize("linked", [False, True], ids=["main worktree", "linked worktree"])
def test_amend_merge_rebase_and_partial_commits_go_through_the_installed_hooks(
    repository: Path,
    clone: Path,
    kept_environments: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    linked: bool,
) -> None:
    use(repository, clone)
    commit_all(repository)
    monkeypatch.setenv("PRE_COMMIT_HOME", str(kept_environments))
    assert pre_commit(repository, kept_environments, "install", "--hook-type", "pre-commit").returncode == 0
    place = repository
    if linked:
        place = tmp_path / "linked"
        git(repository, "worktree", "add", "-q", "-b", "work", str(place))
    branch = git(place, "branch", "--show-current")
    git(place, "switch", "-qc", "other")
    write_files(place, {"a": "1", "b": "2"})
    git(place, "add", "a", "b")
    git(place, "commit", "-qm", "only a", "a")
    git(place, "commit", "-q", "--amend", "-m", "only a, again")
    git(place, "switch", "-qf", branch)
    write_files(place, {"c": "1"})
    git(place, "add", "c")
    git(place, "commit", "-qm", "c")
    git(place, "merge", "-q", "--no-edit", "other")
    git(place, "switch", "-q", "other")
    git(place, "rebase", "-q", f"{branch}~1")
    assert git(place, "log", "--format=%s", "-2") == "only a, again\nc"
    write_files(place, {"a.py": "password = 'Canary7Zq'\n"})
    git(place, "add", "a.py")
    refused = subprocess.run(["git", "commit", "-m", "x"], cwd=place, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "a.py:1: a password in plain text" in refused.stdout + refused.stderr


def test_a_commit_and_a_push_are_refused_by_the_installed_hooks(
    repository: Path, clone: Path, kept_environments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(repository, clone, limits='["--max-files", "3"]')
    commit_all(repository)
    types = ("--hook-type", "pre-commit", "--hook-type", "pre-push")
    assert pre_commit(repository, kept_environments, "install", "--install-hooks", *types).returncode == 0
    monkeypatch.setenv("PRE_COMMIT_HOME", str(kept_environments))
    git(tmp_path, "init", "-q", "--bare", "shared.git")
    git(repository, "remote", "add", "origin", str(tmp_path / "shared.git"))
    git(repository, "push", "-q", "origin", "main")
    write_files(repository, {"a": "1", "b": "2"})
    git(repository, "add", "-A")
    refused = subprocess.run(["git", "commit", "-m", "x"], cwd=repository, capture_output=True, text=True)
    assert "exceeds the file limit of 3" in refused.stdout + refused.stderr
    git(repository, "commit", "-qm", "x", "a")
    git(repository, "commit", "-qm", "x", "--no-verify")
    refused = subprocess.run(["git", "push", "origin", "main"], cwd=repository, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "exceeds the file limit of 3" in refused.stdout + refused.stderr
