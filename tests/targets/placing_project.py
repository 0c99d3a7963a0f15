"""A project whose snapshots are placed on another machine, and what went over the line."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest

from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.history.journal import PlacedFolder
from amltool.layout import HostLayout, RunFolder
from amltool.limits import Profile
from amltool.snapshot import Snapshot
from amltool.targets.free_folders import FreeFolder
from amltool.targets.placing import release
from amltool.targets.placing_there import make_place, objects_folder
from amltool.tracking import travel
from tests.repositories import commit_all, make_repository, write_files
from tests.targets.machine_there import MachineThere, tree_on_disk

MEGABYTE = 1 << 20


class Project:
    """A repository here, and the machine its snapshots are placed on."""

    def __init__(
        self, folder: Path, *, has_git: bool = True, object_format: str = "sha1", python: str = sys.executable
    ) -> None:
        self.folder = make_repository(folder / "project", None, f"--object-format={object_format}")
        self.machine = MachineThere(folder / "there", has_git=has_git, python=python)
        self.tracking = travel.install(self.machine)
        self.runs = 0
        self.placed: dict[RunFolder, PlacedFolder] = {}

    def commit(self, files: dict[str, bytes | str]) -> Snapshot:
        write_files(self.folder, files)
        commit_all(self.folder)
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        return take(self.git, survey(self.git, "", ".", Profile.SDK))

    @property
    def git(self) -> Git:
        return Git.at(self.folder)

    def new_folder(self) -> RunFolder:
        self.runs += 1
        return HostLayout(self.machine.root).run(f"run-{self.runs:03}")

    def place(self, snapshot: Snapshot, folder: RunFolder | None = None, *, key: str = "") -> RunFolder:
        """Place in a new run's folder; what goes over the line is counted from nothing."""
        folder = folder or self.new_folder()
        self.machine.forget_counts()
        done = make_place(self.machine, self.tracking, key=key)(self.git, folder, snapshot, None)
        self.placed[folder] = done.placed
        self.settle()
        return folder

    def release(self, folder: RunFolder, key: str, keep: int = 3) -> None:
        """As after the record of a run."""
        release(self.git, self.machine, folder, FreeFolder(key, self.placed[folder]), "2026-11-21T08:15:02.123Z", keep)

    @property
    def objects(self) -> Path:
        return Path(HostLayout(self.machine.root).cache / "objects" / objects_folder(self.git))

    def settle(self) -> None:
        """Wait until the tidying that goes on there in the background is done."""
        if (self.objects / "lock").exists():
            with (self.objects / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)


def is_placed(snapshot: Snapshot, folder: RunFolder) -> bool:
    return tree_on_disk(Path(folder.work)) == snapshot.tree


@pytest.fixture(params=[True, False], ids=["git there", "no git there"], name="project")
def project_fixture(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    return Project(tmp_path, has_git=request.param)


@pytest.fixture(name="with_git")
def with_git_fixture(tmp_path: Path) -> Project:
    return Project(tmp_path)


FILES: dict[str, bytes | str] = {
    "train.py": "print('hello')\n" * 50,
    "run.sh": "#!/bin/sh\n",
    "data/a b.csv": "1,2\r\n",
    "data/deep/er/x.bin": bytes(range(256)) * 40,
    "empty": "",
    "line\nbreak": "x",
    os.fsdecode(b"caf\xe9.txt"): "not UTF-8",
    ".gitattributes": "*.csv text eol=lf\n* ident\n",
}
