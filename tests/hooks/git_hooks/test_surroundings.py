"""The hooks where amltool is missing or broken, and in odd surroundings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from amltool.commands.hooks import install_hooks
from tests.hooks.git_hooks.hooked import (
    HEAVY,
    LIMITS,
    PROGRAM,
    REFUSED,
    ROOT,
    add,
    run,
    tell_git,
)
from tests.repositories import git, write_files

HEAVY_MODULES = ("invoke", "rich", "git", "docker", "paramiko", "jmespath", "asyncio", "unittest")


@pytest.fixture
def nothing_on_path(repository: Path, tmp_path: Path) -> dict[str, str]:
    """A PATH with Git only, and an interpreter that is gone."""
    git(repository, "config", "amltool.hookPython", str(tmp_path / "gone" / "python"))
    folder = tmp_path / "only git"
    folder.mkdir()
    (folder / "git").symlink_to(str(shutil.which("git")))
    return {"PATH": str(folder)}


def test_without_amltool_a_commit_passes_and_says_so(repository: Path, nothing_on_path: dict[str, str]) -> None:
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-q", "-m", "big", **nothing_on_path)

    assert said.exit_code == 0
    assert said.lines[0] == (
        "amltool: not found or not whole, so pre-commit was not checked. Mend it: amltool hooks.install"
    )


def test_without_amltool_a_strict_hook_refuses(repository: Path, nothing_on_path: dict[str, str]) -> None:
    git(repository, "config", "amltool.strictHooks", "true")
    add(repository, "small.bin", b"1")

    said = tell_git(repository, "commit", "-q", "-m", "small", **nothing_on_path)

    assert said.exit_code == 1
    assert said.lines[-1] == "amltool: pre-commit refuses what it cannot check, because strict_hooks is set."


def test_the_setting_strict_hooks_is_recorded_when_hooks_are_installed(
    repository: Path, nothing_on_path: dict[str, str]
) -> None:
    write_files(repository, {"pyproject.toml": "[tool.amltool]\nstrict_hooks = true\n" + LIMITS})
    install_hooks(repository)
    git(repository, "config", "amltool.hookPython", "/gone")

    assert tell_git(repository, "commit", "-am", "settings", **nothing_on_path).exit_code == 1


def test_an_interpreter_that_is_gone_gives_way_to_amltool_on_path(
    repository: Path, nothing_on_path: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = tmp_path / "only git" / "amltool"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path / "program.py"}" "$@"\n')
    command.chmod(0o755)
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-m", "big", **nothing_on_path)

    assert said.exit_code == 1
    assert REFUSED in said.text


def test_an_interpreter_that_is_gone_gives_way_to_python3(
    repository: Path, nothing_on_path: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "only git" / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "only git" / "python3").chmod(0o755)
    add(repository, "big.bin", HEAVY)

    said = tell_git(repository, "commit", "-m", "big", **nothing_on_path)

    assert said.exit_code == 1
    assert REFUSED in said.text


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """An amltool that fails while it weighs, as a fault of ours would."""
    package = tmp_path / "broken"
    shutil.copytree(ROOT / "amltool", package / "amltool", ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "amltool/commands/weighing.py").open("a") as file:
        file.write("\n\ndef weigh_and_judge(*given):\n    raise KeyError('planted\\nfault')\n")
    return {"PYTHONPATH": str(package)}


def test_a_fault_of_ours_lets_a_commit_pass_and_says_so_in_one_line(repository: Path, broken: dict[str, str]) -> None:
    add(repository, "small.bin", b"1")

    said = tell_git(repository, "commit", "-q", "-m", "small", **broken)

    assert said.exit_code == 0
    assert "pre-commit was not checked: KeyError" in said.lines[0]
    assert "a fault of amltool's" in said.lines[0]
    assert "Traceback" not in said.text


def test_a_fault_of_ours_is_refused_where_the_hooks_are_strict(repository: Path, broken: dict[str, str]) -> None:
    install_hooks(repository, strict=True)
    add(repository, "small.bin", b"1")

    assert tell_git(repository, "commit", "-q", "-m", "small", **broken).exit_code == 1


def test_nothing_is_imported_from_the_repository(repository: Path) -> None:
    """Python looks into the current folder first, where a user's module may be called like one of its own."""
    trap = b"raise SystemExit('imported from the repository')\n"
    write_files(repository, dict.fromkeys(("re.py", "subprocess.py", "amltool/__init__.py", "msgspec.py"), trap))
    git(repository, "add", "-A")

    said = tell_git(repository, "commit", "-q", "-m", "modules")

    assert said.exit_code == 0
    assert "imported from" not in said.text
    assert "weighs" in said.lines[0]


def test_a_repository_that_git_dir_names_is_not_mistaken_for_another(repository: Path, tmp_path: Path) -> None:
    """Dotfiles are kept so: what Git works on is not what the folder lies in."""
    apart = tmp_path / "apart.git"
    git(tmp_path, "init", "-q", "--bare", str(apart))
    shutil.copy(repository / ".git/hooks/pre-commit", apart / "hooks/pre-commit")
    git(apart, "config", "amltool.hookPython", sys.executable)
    add(repository, "big.bin", HEAVY)
    there = [f"--git-dir={apart}", f"--work-tree={repository}", "-c", "core.bare=false"]
    git(repository, *there, "add", "train.py")

    said = tell_git(repository, *there, "commit", "-q", "-m", "apart")

    assert said.exit_code == 0
    assert "pre-commit was not checked: GIT_DIR names" in said.lines[0]


def test_a_commit_from_a_folder_below_is_judged_by_the_whole_project(repository: Path) -> None:
    add(repository, "data/big.bin", HEAVY)

    assert tell_git(repository / "data", "commit", "-m", "big").exit_code == 1


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_script_is_for_any_shell(repository: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    words = {"bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}.get(shell, (shell,))
    add(repository, "big.bin", HEAVY)

    said = run(repository, *words, str(repository / ".git/hooks/pre-commit"))

    assert said.exit_code == 1
    assert REFUSED in said.text


@pytest.mark.parametrize("hook", ["pre-commit", "post-commit", "pre-push", "post-rewrite"])
def test_no_heavy_module_is_loaded(repository: Path, hook: str) -> None:
    """It stands before every commit: Invoke alone costs ten times what Python's own start does."""
    script = str(repository / ".git/hooks" / hook)

    said = run(repository, script, input=b"", variables={"PYTHONPROFILEIMPORTTIME": "1"})

    loaded = {line.split("|")[2].strip().partition(".")[0] for line in said.text.splitlines() if line.count("|") == 2}
    assert said.exit_code == 0
    assert "amltool" in loaded
    assert not loaded & set(HEAVY_MODULES)
