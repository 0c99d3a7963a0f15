"""Odd words in every place of every task: a sentence, never a bug of ours, and nothing harmful on the terminal."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.tasks_in_process import faults, run_task

SCRIPT = "open('outputs/x.txt', 'w').write('x')\n"
WORDS = (
    "", " ", "@", "@0", "@99999999999999999999", "-", "--", "-x", "--x=", "\udcff", "a\udcffb", "a\nb", "\x1b[2J",
    "\u202e", "\U000e0041", "x" * 300, "x" * 50_000, "a/" * 3000, "/dev/zero", ".", "..", "../x", ":", "HEAD:x",
    "*", "[", "%s", "$(id)", "=", "a=b", "1" * 400, "-1", "0", "1e400", "nan", "\u00b2", "HEAD", "main", "SIG",
    "a,b", ",", "[?a > `1`]", "20261121T081502-3f9c2ab-k4qd", "\U0001f40d", "a b", "a;b", "~", "~nobody", "\x7f",
    "\x9b31m",
)  # fmt: skip
TASKS = (
    ("show", "{}"), ("logs", "{}"), ("logs", "--path", "{}"), ("wait", "{}"), ("cancel", "{}"), ("outputs", "{}"),
    ("outputs", "--path", "{}"), ("compare", "{}"), ("compare", "@", "{}"), ("rerun", "{}"),
    ("rerun", "@", "--target", "{}"), ("rerun", "--all", "{}"), ("restore", "{}"), ("runs", "--status", "{}"),
    ("runs", "-n", "{}"), ("check", "--commit", "{}"), ("submit", "{}"), ("submit", "train.py", "--target", "{}"),
    ("submit", "train.py", "-c", "{}"), ("clean", "--target", "{}"), ("submit", "train.py", "--commit", "{}"),
    ("submit", "train.py", "--source-directory", "{}"), ("detach", "{}"), ("runconfig", "{}"),
    ("runconfig", "{}", "--delete"), ("runconfig", "new", "--target", "{}"), ("prepare", "--target", "{}"),
    ("prepare", "-c", "{}"), ("hooks.run", "{}"), ("{}",), ("runs", "{}"),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = make_project(tmp_path / "project", {"train.py": SCRIPT})
    submit(project)
    return project


def given(chance: random.Random, count: int) -> Iterator[tuple[str, ...]]:
    for _ in range(count):
        task, word = chance.choice(TASKS), chance.choice(WORDS)
        yield tuple(part.replace("{}", word) for part in task)


def try_words(project: Path, count: int) -> None:
    for words in given(random.Random(int(os.environ.get("AMLTOOL_SEED", "14"))), count):
        done = run_task(project, *words)
        assert faults(done, allowed=(0, 1, 2, 130), own_output=words[0] in ("logs", "submit")) == [], words


@pytest.mark.timeout(600)
def test_no_odd_word_is_our_bug(project: Path) -> None:
    try_words(project, 80)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_many_odd_words(project: Path) -> None:
    try_words(project, 2000)


@pytest.mark.parametrize("task", ["show", "wait", "rerun", "cancel", "outputs", "logs", "compare"])
def test_a_name_that_is_not_utf_8_names_no_run(project: Path, task: str) -> None:
    assert run_task(project, task, "\udcff").exit_code == 1


def test_a_link_as_the_folder_to_restore_to_is_a_sentence(project: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")

    done = amltool(project, "restore", "@", "--to", str(tmp_path / "link"), check=False)

    assert done.returncode in (0, 1)
    assert "bug of its own" not in done.stderr
