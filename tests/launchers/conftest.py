"""Runs in containers, forgotten after the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.testing.launchers import Runs
from tests.components.private_docker import PrivateDocker
from tests.launchers.container_client import Making, container_runs


@pytest.fixture
def making(tmp_path: Path, python_image: str) -> Iterator[Making]:
    (tmp_path / "root").mkdir()
    made = Making(tmp_path / "root", python_image)
    yield made
    made.forget()


@pytest.fixture
def run(making: Making) -> Runs:
    return making()


@pytest.fixture
def private(private_docker: PrivateDocker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Runs]:
    """Runs of a daemon that a test may stop and kill."""
    monkeypatch.setenv("DOCKER_HOST", private_docker.host)
    (tmp_path / "root").mkdir()
    runs = container_runs(tmp_path / "root", private_docker.image)
    yield runs
    private_docker.start()
    runs.forget()
