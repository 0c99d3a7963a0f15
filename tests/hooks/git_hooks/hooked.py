"""Repositories with Git hooks in them, and Git run in them as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from amltool.git.command import Git
from amltool.history.history import History
from amltool.run import RunRecord, RunStatus, new_run_id, timestamp
from tests.repositories import git, make_repository, write_files

ROOT = Path(__file__).resolve().parents[3]
NAME = 'Ada\'s "own" models'
"""A folder's name that a careless script would trip over."""

LIMITS = '[tool.amltool.limits]\nwarn_size = "4 KB"\nmax_size = "8 KB"\nmax_files = 20\n'
HEAVY = b"x" * 10_000
NEARLY = b"x" * 5_000
REFUSED = "Your total snapshot size exceeds the limit"

PROGRAM = """
import sys
from amltool.tasks.startup import import_invoke
import_invoke()
from invoke.collection import Collection
from amltool.tasks.hooks import hooks
from amltool.tasks.program import AmltoolProgram
AmltoolProgram(Collection(hooks=hooks)).run(["amltool", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Said:
    """How a command ended, and all that it printed."""

    exit_code: int
    text: str

    @property
    def lines(self) -> list[str]:
        """What amltool said, a line each."""
        return [line for line in self.text.splitlines() if line.startswith("amltool")]


def run(folder: Path, *command: str, input: bytes | None = None, variables: dict[str, str] | None = None) -> Said:
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(
        command, cwd=folder, env=environment, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    return Said(done.returncode, done.stdout.decode("utf-8", "replace"))


def tell_git(folder: Path, *words: str, **variables: str) -> Said:
    return run(folder, "git", *words, variables=variables)


def amltool(folder: Path, *words: str) -> Said:
    return run(folder, sys.executable, "-c", PROGRAM, *words)


def make_limited(folder: Path) -> Path:
    """A repository with one commit and limits that a few kilobytes pass."""
    return make_repository(folder, {"pyproject.toml": LIMITS, "train.py": "print(1)\n"})


def write_hook(folder: Path, name: str, content: str, mode: int = 0o755) -> Path:
    place = folder / ".git" / "hooks" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(content)
    place.chmod(mode)
    return place


def head(folder: Path) -> str:
    return tell_git(folder, "rev-parse", "HEAD").text.strip()


def record_run(folder: Path, number: int = 1) -> RunRecord:
    """A finished run of HEAD, recorded as a submit would, with its snapshot kept."""
    git = Git.at(folder)
    commit, now = str(git.head), datetime(2026, 11, 21, 8, 15, number, tzinfo=timezone.utc)
    record = RunRecord(
        run_id=new_run_id(commit, now), run_number=number, status=RunStatus.COMPLETED, exit_code=0, script="train.py",
        arguments=[], target="local", commit=commit, tree="b" * 40, base_commit=commit, created=timestamp(now),
        started=timestamp(now), ended=timestamp(now), duration_s=0.5,
    )  # fmt: skip
    History(git).record([record], keep=[commit])
    return record


def add(folder: Path, name: str, content: bytes) -> None:
    write_files(folder, {name: content})
    git(folder, "add", "--", name)


def commit_unchecked(folder: Path, name: str, content: bytes) -> str:
    add(folder, name, content)
    git(folder, "commit", "-q", "--no-verify", "-m", name)
    return head(folder)
