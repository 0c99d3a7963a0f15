"""Placing on a real machine, over its real SSH: no path of this machine is there."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from amltool.errors import TargetError
from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.hosts.base import FileKind
from amltool.hosts.ssh import SshHost
from amltool.layout import HostLayout, RunFolder
from amltool.limits import Profile
from amltool.snapshot import Snapshot
from amltool.targets import sending
from amltool.targets.placing_there import make_place
from amltool.tracking import travel
from tests.components.ssh_machine import SshMachine
from tests.repositories import commit_all, make_repository, write_files


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    source = random.Random(time.time_ns())  # else what another test brought there would be found
    files: dict[str, bytes | str] = {f"d/{number}.bin": source.randbytes(200_000) for number in range(40)}
    return make_repository(tmp_path / "project", {**files, "train.py": "print(1)\n", "run.sh": "#!/bin/sh\n"})


def snapshot_of(repository: Path) -> Snapshot:
    found = Git.at(repository)
    return take(found, survey(found, "", ".", Profile.SDK))


class There:
    """The remote machine, and how much went to it."""

    def __init__(self, host: SshHost) -> None:
        self.host = host
        self.tracking = travel.install(host)
        self.began = time.time_ns()
        self.sent = 0

    def folder(self, run: str) -> RunFolder:
        """Run ids are in the order of time, here as there."""
        return HostLayout(self.host.root).run(f"{self.began}-{run}")

    def place(self, repository: Path, run: str) -> RunFolder:
        folder = self.folder(run)
        self.sent = 0
        make_place(self.host, self.tracking)(Git.at(repository), folder, snapshot_of(repository), self.count)
        return folder

    def count(self, size: int, _files: int) -> None:
        self.sent += size

    def files(self, folder: RunFolder) -> dict[str, bytes]:
        found = [file.path for file in self.host.walk(folder.work) if file.kind is FileKind.FILE]
        return {path: self.host.read(folder.work / path) for path in found}


@pytest.fixture
def there(ssh_host: SshHost) -> There:
    return There(ssh_host)


def files_here(repository: Path) -> dict[str, bytes]:
    return {file.path: (repository / file.path).read_bytes() for file in snapshot_of(repository).files}


def test_every_byte_is_there(there: There, repository: Path) -> None:
    folder = there.place(repository, "1")

    assert there.files(folder) == files_here(repository)
    assert there.host.run([str(folder.work / "run.sh")]).exit_code == 0


def test_the_next_one_sends_what_changed(there: There, repository: Path) -> None:
    there.place(repository, "1")
    write_files(repository, {"train.py": "print(2)\n"})
    commit_all(repository)

    folder = there.place(repository, "2")

    assert there.files(folder) == files_here(repository)
    assert there.sent < 5000


def test_a_placing_asks_nothing_beside_its_stream(there: There, repository: Path) -> None:
    there.place(repository, "1")
    before = there.host.round_trips

    there.place(repository, "2")

    assert there.host.round_trips == before


def test_a_connection_that_goes_away_loses_only_what_was_on_its_way(
    there: There, repository: Path, ssh_machine: SshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PART_SIZE", 400_000)
    folder = there.folder("1")
    sent = 0

    def cut_later(size: int, _files: int) -> None:
        nonlocal sent
        sent += size
        if sent > 6_500_000:
            ssh_machine.execute(["pkill", "-KILL", "-x", "sshd"])

    with pytest.raises(TargetError):
        make_place(there.host, there.tracking)(Git.at(repository), folder, snapshot_of(repository), cut_later)
    ssh_machine.start_sshd()

    there.place(repository, "1")

    assert there.files(folder) == files_here(repository)
    assert there.sent < 5_000_000  # sshd's window, which is 2 MB, may be full of what did not arrive
