"""Fixtures of the tests of tracking: a run folder, and being in it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.tracking import outputs, recording
from tests.notebooks import environment_with_notebooks
from tests.tracking.run_folder import RunFolder, place

SHIMS = Path(recording.__file__).parent / "shims"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place(tmp_path_factory.mktemp("lib"))


@pytest.fixture
def run(tmp_path: Path, site: Path) -> RunFolder:
    for name in ("outputs", "logs"):
        (tmp_path / "run" / "work" / name).mkdir(parents=True)
    return RunFolder(tmp_path / "run", site)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was said once in one test is said again in the next."""
    monkeypatch.setattr(recording, "_said", set())
    monkeypatch.setattr(outputs, "_started_in", str(tmp_path))


@pytest.fixture
def inside(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """This process is in a run."""
    monkeypatch.setenv("AMLTOOL_METRICS_FILE", str(run.metrics))
    monkeypatch.setenv("AMLTOOL_RUN_ID", "20261121T081502-3f9c2ab-k4qd")
    monkeypatch.chdir(run.work)
    return run


@pytest.fixture
def azureml(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``azureml`` is the shim, as at the end of a run's module search path."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(SHIMS)])
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "azureml"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def notebook_python(tmp_path_factory: pytest.TempPathFactory, package_index: None) -> Path:
    """The Python of an environment that runs notebooks."""
    return environment_with_notebooks(tmp_path_factory)
