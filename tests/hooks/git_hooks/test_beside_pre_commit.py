"""Our hooks and those of pre-commit in one repository, in either order of installation."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from amltool.commands.hooks import install_hooks, uninstall_hooks
from amltool.git.hook_scripts import Done
from tests.hooks.git_hooks.hooked import HEAVY, NAME, REFUSED, add, make_limited, record_run, run, tell_git, write_hook
from tests.repositories import git

pytestmark = pytest.mark.skipif(find_spec("pre_commit") is None, reason="pre-commit is not installed")

CONFIGURATION = """
repos:
- repo: local
  hooks:
  - {id: no-word, name: no word, language: system, entry: sh -c '! grep -l FORBIDDEN "$@"' --, stages: [pre-commit]}
"""
ORDERS = ["pre-commit first", "amltool first", "amltool twice", "pre-commit twice"]


def pre_commit(folder: Path, *words: str) -> None:
    said = run(folder, sys.executable, "-m", "pre_commit", *words)
    assert said.exit_code == 0, said.text


def install_both(folder: Path, order: str) -> None:
    install_theirs = ["install", "-t", "pre-commit", "-t", "post-rewrite"]
    if order != "pre-commit first":
        install_hooks(folder)
    pre_commit(folder, *install_theirs)
    if order != "amltool first":
        install_hooks(folder)
    if order == "pre-commit twice":
        pre_commit(folder, *install_theirs)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    folder = make_limited(tmp_path / NAME)
    shutil.rmtree(folder / ".git/hooks")
    add(folder, ".pre-commit-config.yaml", CONFIGURATION.encode())
    git(folder, "commit", "-q", "-m", "configuration")
    return folder


@pytest.mark.parametrize("order", ORDERS)
def test_both_look_at_a_commit(plain: Path, order: str) -> None:
    install_both(plain, order)

    add(plain, "word.txt", b"FORBIDDEN\n")
    theirs = tell_git(plain, "commit", "-m", "word")
    git(plain, "rm", "-q", "--cached", "word.txt")
    add(plain, "big.bin", HEAVY)
    ours = tell_git(plain, "commit", "-m", "big")
    git(plain, "rm", "-q", "--cached", "big.bin")
    add(plain, "good.txt", b"good\n")
    good = tell_git(plain, "commit", "-m", "good")

    assert (theirs.exit_code, ours.exit_code, good.exit_code) == (1, 1, 0)
    assert "no word" in theirs.text
    assert REFUSED not in theirs.text
    assert REFUSED in ours.text
    assert good.text.count("no word") == 1
    assert good.text.count("weighs") == 1


@pytest.mark.parametrize("order", ORDERS)
def test_taking_ours_away_leaves_theirs(plain: Path, order: str) -> None:
    pre_commit(plain, "install", "-t", "pre-commit", "-t", "post-rewrite")
    theirs = {place.name: place.read_bytes() for place in (plain / ".git/hooks").iterdir()}
    pre_commit(plain, "uninstall", "-t", "pre-commit", "-t", "post-rewrite")
    install_both(plain, order)

    uninstall_hooks(plain)

    assert {place.name: place.read_bytes() for place in (plain / ".git/hooks").iterdir()} == theirs


@pytest.mark.parametrize("order", ORDERS)
def test_taking_theirs_away_leaves_ours(plain: Path, order: str) -> None:
    install_both(plain, order)
    pre_commit(plain, "uninstall", "-t", "pre-commit", "-t", "post-rewrite")
    add(plain, "word.txt", b"FORBIDDEN\n")
    without_theirs = tell_git(plain, "commit", "-m", "word")
    add(plain, "big.bin", HEAVY)

    with_ours = tell_git(plain, "commit", "-m", "big")

    assert without_theirs.exit_code == 0
    assert with_ours.exit_code == 1


def test_a_hook_that_both_found_is_run_once_and_restored(plain: Path) -> None:
    script = "#!/bin/sh\necho standing hook here >&2\n"
    write_hook(plain, "pre-commit", script)
    pre_commit(plain, "install")
    changes = install_hooks(plain)
    add(plain, "good.txt", b"good\n")

    said = tell_git(plain, "commit", "-m", "good")
    uninstall_hooks(plain)

    assert changes[0].done is Done.CHAINED
    assert said.text.count("standing hook here") == 1
    assert (plain / ".git/hooks/pre-commit.legacy").read_text() == script


def test_an_amended_run_is_named_though_pre_commit_hands_on_no_input(plain: Path) -> None:
    install_both(plain, "amltool first")
    record = record_run(plain)

    said = tell_git(plain, "commit", "-q", "--amend", "-m", "better")

    assert record.run_id in said.text
