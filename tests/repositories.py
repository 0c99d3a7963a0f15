"""Small real repositories for tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.walking import paths_below


def git(folder: Path, *arguments: str, input: bytes | None = None) -> str:
    """Run git as a person would, with the test's own configuration."""
    result = subprocess.run(["git", *arguments], cwd=folder, input=input, capture_output=True, check=True)
    return os.fsdecode(result.stdout).rstrip("\n")


def make_repository(folder: Path, files: dict[str, bytes | str] | None = None, *options: str) -> Path:
    """A repository with one commit of these files (``run.sh`` is executable)."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", *options)
    if files is not None:
        write_files(folder, files)
        commit_all(folder)
    return folder


def write_files(folder: Path, files: dict[str, bytes | str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if name.endswith(".sh"):
            path.chmod(0o755)


def commit_all(folder: Path, message: str = "work") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def state_of(folder: Path) -> tuple[str, ...]:
    """All that amltool promises not to touch: HEAD, branches, index, status and files."""
    files = sorted(
        (str(path.relative_to(folder)), path.lstat().st_mtime_ns, path.lstat().st_mode)
        for path in paths_below(folder, without=(".git",))
    )
    return (
        git(folder, "rev-parse", "--verify", "HEAD"),
        git(folder, "for-each-ref", "refs/heads", "refs/tags"),
        git(folder, "ls-files", "--stage"),
        git(folder, "status", "--porcelain"),
        repr(files),
    )
