"""Every launcher keeps the contract of a launcher."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import amltool.tracking.bootstrap
from amltool.containers.daemon import DockerDaemon
from amltool.environments.login import Login
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.hosts.ssh import SshHost
from amltool.launchers.base import Launcher
from amltool.launchers.container import ContainerLauncher
from amltool.launchers.container_spec import ContainerSettings
from amltool.launchers.copying import read_file
from amltool.launchers.process import ProcessLauncher
from amltool.launchers.spark_submit import SparkSubmitLauncher
from amltool.layout import RUN_IN_CONTAINER, RunFolder, container_name
from amltool.testing.hosts import FakeHost
from amltool.testing.launchers import (
    Commands,
    FakeLauncher,
    LauncherContract,
    RealCommands,
    Runs,
    WordCommands,
)
from amltool.testing.processes import ProcessContract
from amltool.tracking import travel
from tests.components.ssh_machine import SshMachine

BOOTSTRAP = PurePosixPath(amltool.tracking.bootstrap.__file__)


class TestFakeLauncher(LauncherContract):
    @pytest.fixture
    def host(self) -> Host:
        return FakeHost()

    @pytest.fixture
    def launcher(self, host: Host) -> Launcher:
        return FakeLauncher()

    @pytest.fixture
    def commands(self) -> Commands:
        return WordCommands()

    def lose(self, run: Runs, folder: RunFolder) -> None:
        assert isinstance(run.launcher, FakeLauncher)
        run.launcher.lose(run.host, folder)


class TestProcessLauncher(ProcessContract):
    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        return LocalHost(tmp_path / "root")

    @pytest.fixture
    def launcher(self, host: Host) -> Launcher:
        return ProcessLauncher(BOOTSTRAP)

    @pytest.fixture
    def commands(self) -> RealCommands:
        return RealCommands(sys.executable)

    def lose(self, run: Runs, folder: RunFolder) -> None:
        os.kill(json.loads(run.host.read(folder.start))["pid"], signal.SIGKILL)


class TestProcessLauncherOnAnyHost(TestProcessLauncher):
    """The same through the bootstrap's command line."""

    @pytest.fixture
    def launcher(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> Launcher:
        monkeypatch.setattr("amltool.launchers.process.LocalHost", type("NoHost", (), {}))
        return ProcessLauncher(BOOTSTRAP, sys.executable)


class TestProcessLauncherOverSsh(ProcessContract):
    """On another machine, which has no file of this one."""

    @pytest.fixture
    def host(self, ssh_host: SshHost) -> Host:
        return ssh_host

    @pytest.fixture
    def launcher(self, host: Host) -> Launcher:
        return ProcessLauncher(lambda: PurePosixPath(travel.install(host).bootstrap))

    @pytest.fixture
    def commands(self) -> RealCommands:
        return RealCommands("python3")

    @pytest.fixture
    def given(self) -> Mapping[str, Any]:
        return {"environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"}}

    def lose(self, run: Runs, folder: RunFolder) -> None:
        run.host.run(["sh", "-c", 'kill -KILL "$0"', str(json.loads(run.host.read(folder.start))["pid"])])

    def work_in_run(self, folder: RunFolder) -> str:
        return str(folder.work)


class TestSparkSubmitLauncher(TestProcessLauncherOverSsh):
    """On the head node of a Hadoop cluster; tests/components/test_cluster_ends.py has the ends of applications."""

    @pytest.fixture
    def host(self, head_node: SshHost) -> Host:
        return head_node

    @pytest.fixture
    def launcher(self, host: Host) -> Launcher:
        def bootstrap() -> PurePosixPath:
            return PurePosixPath(travel.install(host).bootstrap)

        return SparkSubmitLauncher(ProcessLauncher(bootstrap), Login(host), bootstrap)


class TestContainerLauncher(ProcessContract):
    """In containers that see the run's folder."""

    lost_reason = "killed with docker kill"
    shared_volumes = True

    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        return LocalHost(tmp_path / "root")

    @pytest.fixture
    def launcher(self, host: Host, docker_daemon: DockerDaemon) -> Launcher:
        self.daemon = docker_daemon
        library = travel.install(host).folder
        return ContainerLauncher(
            docker_daemon, ContainerSettings(library=library, shared_volumes=self.shared_volumes, network="none")
        )

    @pytest.fixture
    def commands(self) -> RealCommands:
        return RealCommands("python3")

    @pytest.fixture
    def given(self, python_image: str) -> Mapping[str, Any]:
        return {
            "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
            "image": python_image,
            "python": ["python3"],
            "accounts": "root:x:0:0:root:/root:/bin/bash\n",
        }

    def lose(self, run: Runs, folder: RunFolder) -> None:
        self.daemon.signal(container_name(folder.path.name), "SIGKILL")

    def is_gone(self, run: Runs, folder: RunFolder, pid: int) -> bool:
        """A container that is over holds no process; one whose run is over is over at once."""
        until = time.monotonic() + 60
        while (state := self.daemon.state(container_name(folder.path.name))) and state.is_running:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return state is not None

    def read_work(self, run: Runs, folder: RunFolder, name: str) -> bytes:
        content = read_file(self.daemon, container_name(folder.path.name), RUN_IN_CONTAINER.work / name)
        if content is None:
            raise FileNotFoundError(name)
        return content

    def wake(self, run: Runs, folder: RunFolder, pid: int) -> None:
        with contextlib.suppress(UserError):  # it woke the time before, and its container is over by now
            self.daemon.execute(container_name(folder.path.name), ["sh", "-c", f"kill -CONT {pid}"])

    def work_in_run(self, folder: RunFolder) -> str:
        return str(RUN_IN_CONTAINER.work)

    def added_variables(self) -> dict[str, str]:
        name = "root" if os.getuid() == 0 else "amltool"
        return {"HOME": str(RUN_IN_CONTAINER.home), "USER": name, "LOGNAME": name}


class TestContainerLauncherOverSsh(TestContainerLauncher):
    """In containers of another machine's daemon, which is asked over SSH."""

    @pytest.fixture
    def host(self, ssh_host: SshHost) -> Host:
        return ssh_host

    @pytest.fixture
    def launcher(self, host: Host, ssh_docker: SshMachine) -> Launcher:
        self.daemon = DockerDaemon(host)
        settings = ContainerSettings(library=travel.install(host).folder, network="none")
        return ContainerLauncher(self.daemon, settings)

    def added_variables(self) -> dict[str, str]:
        return {"HOME": str(RUN_IN_CONTAINER.home), "USER": "amltool", "LOGNAME": "amltool"}


class TestContainerLauncherCopying(TestContainerLauncher):
    """In containers that see nothing of this machine."""

    shared_volumes = False
