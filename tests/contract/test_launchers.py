"""Every launcher keeps the contract of a launcher."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path, PurePosixPath

import pytest

import amltool.tracking.bootstrap
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Launcher
from amltool.launchers.process import ProcessLauncher
from amltool.layout import RunFolder
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
