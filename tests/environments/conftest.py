"""Environments are built in a root of the test's own, and no setting of the developer's pip reaches them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from amltool.environments.base import EnvironmentRequest
from amltool.hosts.local import LocalHost


class Told:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.logged: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def log(self, line: str) -> None:
        self.logged.append(line)

    def progress(self, what: str, size: int, total: int | None) -> None:
        if size:  # of nothing that was done, which says that one still waits, nobody is told
            self.said.append(what)


@pytest.fixture(autouse=True)
def no_pip_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith(("PIP_", "UV_", "CONDA_", "MAMBA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "root")


def asking(dependencies: str, files: dict[str, bytes] | None = None, lock: bytes | None = None) -> EnvironmentRequest:
    """A request whose conda file has this text."""
    project = {"aml_config/conda_dependencies.yml": dependencies.encode(), **(files or {})}
    return EnvironmentRequest(read=project.get, conda_file="aml_config/conda_dependencies.yml", lock=lock)


PLANTS = ("fifo", "link", "folder")


def plant_at(path: Path, plant: str, folder: Path) -> Path:
    """Put something else in the place of a file of ours; the file of the user's that a link leads to."""
    victim = folder / "victim"
    victim.write_text("precious")
    path.unlink(missing_ok=True)
    if plant == "fifo":
        os.mkfifo(path)
    elif plant == "link":
        path.symlink_to(victim)
    else:
        path.mkdir()
    return victim


@pytest.fixture
def ask():
    return asking
