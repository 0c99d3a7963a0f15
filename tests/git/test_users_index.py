"""The user's index and files are byte for byte as they were, whatever kind of index it is."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.limits import Profile
from tests.repositories import git, make_repository, write_files


def configured(**keys: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        for key, value in keys.items():
            git(folder, "config", key.replace("__", "."), value)

    return do


def split(folder: Path) -> None:
    configured(core__splitIndex="true", splitIndex__sharedIndexExpire="now")(folder)
    git(folder, "update-index", "--split-index")


def untracked_cache(folder: Path) -> None:
    configured(core__untrackedCache="true")(folder)
    git(folder, "update-index", "--untracked-cache")


def file_monitor(folder: Path) -> None:
    """A monitor of the old kind (a hook) that says of everything that it may have changed."""
    hook = folder / ".git" / "monitor.sh"
    hook.write_text("#!/bin/sh\ntouch $(dirname $0)/monitored.$PPID 2>/dev/null\nprintf '/\\0'\n")
    hook.chmod(0o755)
    configured(core__fsmonitor=str(hook))(folder)


def index_hook(folder: Path) -> None:
    """A hook of Git's that is told of each index that is written: one of ours is none of its business."""
    hook = folder / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{folder.parent}/told'\n")
    hook.chmod(0o755)


FEATURES: dict[str, Callable[[Path], object]] = {
    "split": split,
    "untracked cache": untracked_cache,
    "version 4": lambda folder: git(folder, "update-index", "--index-version", "4"),
    "many files": configured(feature__manyFiles="true"),
    "skip-worktree": lambda folder: git(folder, "update-index", "--skip-worktree", "c.txt"),
    "assume-unchanged": lambda folder: git(folder, "update-index", "--assume-unchanged", "c.txt"),
    "intent to add": lambda folder: git(folder, "add", "-N", "new.txt"),
    "staged": lambda folder: git(folder, "add", "b.txt"),
    "sparse": lambda folder: git(folder, "sparse-checkout", "set", "--cone", "--sparse-index", "inside"),
    "monitor": file_monitor,
    "index hook": index_hook,
    "all reflogs": configured(core__logAllRefUpdates="always"),
    "read-only": lambda folder: (folder / ".git" / "index").chmod(0o444),
}
CHANCE = random.Random(os.environ.get("AMLTOOL_SEED", "9"))
TOGETHER = [(name,) for name in FEATURES] + CHANCE.sample(list(itertools.combinations(FEATURES, 3)), 7)


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The user's index, what belongs to it, HEAD, branches, and all files with their modes."""
    of_git = [path for path in (folder / ".git").iterdir() if path.name.startswith(("index", "sharedindex", "HEAD"))]
    of_git += (folder / ".git" / "refs" / "heads").rglob("*")
    files = [path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts]
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in sorted([*of_git, *files]) if path.is_file()}


@pytest.mark.parametrize("features", TOGETHER, ids="+".join)
def test_a_snapshot_leaves_it_alone(tmp_path: Path, features: tuple[str, ...]) -> None:
    files: dict[str, bytes | str] = {f"{name}.txt": name for name in "abc"}
    folder = make_repository(tmp_path / "repository", {**files, "inside/d.txt": "d", "outside/e.txt": "e"})
    for feature in sorted(features, key="sparse".__ne__):
        if feature == "sparse":
            FEATURES[feature](folder)
    write_files(folder, {"a.txt": "changed", "b.txt": "changed, too", "new.txt": "untracked"})
    for feature in features:
        if feature != "sparse":
            FEATURES[feature](folder)
    (tmp_path / "told").unlink(missing_ok=True)
    before = state(folder)

    found = Git.at(folder)
    taken = take(found, survey(found, "", ".", Profile.SDK))

    assert state(folder) == before
    assert not (tmp_path / "told").exists()
    assert taken.commit != found.head
    assert subprocess.run(["git", "status"], cwd=folder, capture_output=True).returncode == 0
    assert subprocess.run(["git", "fsck", "--no-dangling"], cwd=folder, capture_output=True).returncode == 0
    shown = subprocess.run(["git", "show", f"{taken.commit}:a.txt"], cwd=folder, capture_output=True).stdout
    assert shown == b"changed"
