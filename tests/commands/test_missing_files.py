"""A run that failed for want of a file which lies in the working folder: one sentence says why, with what helps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from amltool.commands.missing_files import missing_file
from amltool.commands.opening import Opened, open_project
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.snapshot import Snapshot
from amltool.targets.watcher import TAIL, Silent, TailWatcher
from tests.amltool_command import amltool, make_project
from tests.repositories import commit_all, make_repository, write_files
from tests.waiting import wait_until

PROJECT = {"train.py": "print(1)\n", "aml_config/local.compute": "type: local\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project", dict(PROJECT))


def look(folder: Path) -> tuple[Opened, Snapshot]:
    opened = open_project(folder)
    return opened, take(opened.git, survey(opened.git, "", ".", opened.profile))


def said(folder: Path, tail: str) -> str:
    return missing_file(*look(folder), tail.encode())


PYTHON = "FileNotFoundError: [Errno 2] No such file or directory: {!r}"


@pytest.mark.parametrize(
    "line",
    [
        PYTHON.format("data/a.csv"),
        PYTHON.format("./data/a.csv"),
        PYTHON.format("/azureml-run/work/data/a.csv"),
        "cat: data/a.csv: No such file or directory",
        "Error in file(file, 'rt') : cannot open file 'data/a.csv': No such file or directory",
        "OSError: data/a.csv not found.",
    ],
)
def test_a_file_that_git_ignores_is_named_and_the_remedy_helps(repository: Path, line: str) -> None:
    write_files(repository, {".gitignore": "data/\n", ".amlignore": "", "data/a.csv": "1"})
    commit_all(repository)
    sentence = said(repository, f"Traceback (most recent call last):\n{line}\n")
    assert "data/a.csv is in your folder" in sentence
    found = re.search(r"`(git add [^`]*)`", sentence)
    assert found is not None
    subprocess.run(["bash", "-c", found[1]], cwd=repository, check=True)
    assert said(repository, line) == ""


def test_a_folder_and_a_module_count_too(repository: Path) -> None:
    write_files(repository, {".gitignore": "/data/\n/mine/\n", ".amlignore": "", "data/a": "1", "mine/__init__.py": ""})
    assert "Git ignores it" in said(repository, PYTHON.format("data"))
    assert "mine is in your folder" in said(repository, "ModuleNotFoundError: No module named 'mine.part'")


@pytest.mark.parametrize("name", [".amlignore", ".gitignore"])
def test_the_line_of_the_ignore_file_that_rules_is_named(repository: Path, name: str) -> None:
    write_files(repository, {name: "# large\n/data/\n", "data/a.csv": "1"})
    assert f"({name}:2: /data/ leaves out data/a.csv)" in said(repository, PYTHON.format("data/a.csv"))
    (repository / name).write_text("# large\n")
    assert said(repository, PYTHON.format("data/a.csv")) == ""


def test_outputs_are_in_no_snapshot(repository: Path) -> None:
    write_files(repository, {"outputs/model.bin": "x"})
    assert "outputs/ is in no snapshot" in said(repository, PYTHON.format("outputs/model.bin"))


@pytest.mark.parametrize(
    "tail",
    [
        "ValueError: train.py is wrong",
        PYTHON.format("train.py"),
        PYTHON.format("nowhere.csv"),
        PYTHON.format("../project/secret"),
        PYTHON.format("/etc/passwd"),
        PYTHON.format("a\0b"),
        PYTHON.format("x" * 9000),
        "secret: fine",
        "",
        "No such file or directory: " + "a " * 5000,
    ],
)
def test_of_other_failures_nothing_is_said(repository: Path, tail: str) -> None:
    write_files(repository, {".gitignore": "secret\n", "secret": "x"})
    assert said(repository, tail) == ""


@pytest.mark.parametrize("end", ["'BlockBlobService' from 'azure.storage.blob' (/x/__init__.py)", "BlockBlobService"])
def test_the_snippet_of_2018_is_answered_with_what_to_write_today(repository: Path, end: str) -> None:
    sentence = said(repository, f"ImportError: cannot import name {end}\n")
    assert "from amltool.tracking import storage" in sentence
    assert "docs/large-files.md" in sentence


def test_only_the_end_of_the_console_is_kept() -> None:
    watcher = TailWatcher(Silent())
    for _ in range(100):
        watcher.console(b"x" * 1000)
    watcher.console(b"y" * 3 * TAIL + b"end")
    assert len(watcher.tail) == TAIL
    assert watcher.tail.endswith(b"yend")


def test_a_failed_submit_says_it(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", {"train.py": "open('data/a.csv')\n", ".amlignore": "data/\n"})
    write_files(project, {"data/a.csv": "1"})
    done = amltool(project, "submit", "train.py", check=False)
    assert done.returncode == 1
    assert ".amlignore:1: data/ leaves out data/a.csv" in done.stderr


WANTING = """
import os, sys, time
print("begun", flush=True)
until = time.monotonic() + 120
while os.path.exists(sys.argv[1]) and time.monotonic() < until:
    time.sleep(0.02)
open("data/a.csv")
"""


@pytest.mark.parametrize("command", [("wait",), ("logs", "-f")], ids=["wait", "logs -f"])
@pytest.mark.parametrize("is_over", [True, False], ids=["over", "under way"])
def test_who_comes_back_to_a_detached_run_that_failed_is_told_it(
    tmp_path: Path, command: tuple[str, ...], is_over: bool
) -> None:
    project = make_project(tmp_path / "project", {"train.py": WANTING, ".amlignore": "data/\n"})
    write_files(project, {"data/a.csv": "1"})
    hold = tmp_path / "hold"
    hold.touch()
    done = amltool(project, "submit", "--detach", "train.py", "--", str(hold))
    found = re.search(r"RunId: (\S+)", done.stderr)
    assert found is not None
    if is_over:
        hold.unlink()
        wait_until(lambda: not (project / ".git/amltool/runs" / found[1]).exists())
    with subprocess.Popen(
        [sys.executable, "-m", "amltool", *command, found[1].rsplit("-", 1)[-1]],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        if not is_over:
            assert following.stdout.readline() == "begun\n"
            hold.unlink()
        said = following.communicate(timeout=240)[1]
    assert said.count(".amlignore:1: data/ leaves out data/a.csv") == 1
