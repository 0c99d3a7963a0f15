"""Run a check as pre-commit or a person does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.repositories import commit_all, git

ROOT = Path(__file__).resolve().parents[2]
MB = 1024 * 1024


def check(folder: Path, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The check's exit code and what it said; standard error beside it."""
    command = [sys.executable, "-m", "amltool.hooks", name, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def install_hook(folder: Path, name: str, *checks: str) -> None:
    """Make Git run checks as a hook of this name."""
    lines = [f"PYTHONPATH='{ROOT}' '{sys.executable}' -m amltool.hooks {each} || exit 1" for each in checks]
    common = Path(git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir"))
    script = common / "hooks" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    script.chmod(0o755)


def sized_tree(folder: Path, sizes: dict[str, int]) -> str:
    """Commit files of so many noughts, without ever writing them to disk as such."""
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as stream:
            stream.truncate(size)
    commit = commit_all(folder)
    for name in sizes:
        (folder / name).unlink()
    git(folder, "read-tree", "HEAD")
    return commit
