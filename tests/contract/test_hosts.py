"""Every host keeps the contract of a host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

from amltool.hosts.base import CommandResult, Host
from amltool.hosts.local import LocalHost
from amltool.hosts.ssh import SshHost
from amltool.testing.hosts import FakeHost, HostContract


class TestLocalHost(HostContract):
    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        return LocalHost(tmp_path / "root")

    @pytest.fixture
    def place(self, tmp_path: Path) -> PurePosixPath:
        (tmp_path / "place").mkdir()
        return PurePosixPath(tmp_path / "place")


class TestSshHost(HostContract):
    @pytest.fixture
    def host(self, ssh_host: SshHost) -> Host:
        return ssh_host

    @pytest.fixture
    def place(self, ssh_host: SshHost) -> PurePosixPath:
        folder = ssh_host.root / os.urandom(4).hex()
        ssh_host.make_folder(folder)
        return folder


class TestHeadNode(HostContract):
    """The head node of a Hadoop cluster."""

    @pytest.fixture
    def host(self, head_node: SshHost) -> Host:
        return head_node

    @pytest.fixture
    def place(self, head_node: SshHost) -> PurePosixPath:
        folder = head_node.root / "contract" / os.urandom(4).hex()
        head_node.make_folder(folder)
        return folder


class TestFakeHost(HostContract):
    @pytest.fixture
    def host(self) -> Host:
        host = FakeHost()

        def keep(command: Sequence[str], content: bytes) -> CommandResult:
            host.write(PurePosixPath(command[1]), content)
            return CommandResult(0, b"", b"")

        host.programs["print"] = lambda command, content: CommandResult(0, content, b"")
        host.programs["exit"] = lambda command, content: CommandResult(int(command[1]), b"said\n", b"complained\n")
        host.programs["keep"] = keep
        return host

    @pytest.fixture
    def place(self, host: Host) -> PurePosixPath:
        host.make_folder(host.root / "place")
        return host.root / "place"

    def prints_its_input(self) -> list[str]:
        return ["print"]

    def exits(self, code: int) -> list[str]:
        return ["exit", str(code)]

    def keeps_its_input(self, path: PurePosixPath) -> list[str]:
        return ["keep", str(path)]

    def plant_link(self, host: Host, path: PurePosixPath, to: str) -> None:
        assert isinstance(host, FakeHost)
        host.link(path, to)

    def plant_fifo(self, host: Host, path: PurePosixPath) -> None:
        assert isinstance(host, FakeHost)
        host.special(path)
