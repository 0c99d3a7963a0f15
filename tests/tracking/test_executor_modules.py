"""Zip files with which executors import the project's modules and what travels with runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amltool.tracking import travel

HELPER = (
    "from amltool import tracking\nfrom azureml.logging import get_azureml_logger\n\ndef double(n):\n    return 2 * n\n"
)
PACK = """
import sys
sys.path.insert(0, sys.argv[1])
sys.path += sys.argv[4:]
from amltool.tracking.executor_modules import pack_for_executors
print("\\n".join(pack_for_executors(sys.argv[2], sys.argv[3])))
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """What travels with runs, as it lies on a host."""
    for path, content in travel.files().items():
        place = tmp_path / "lib" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return tmp_path / "lib/path"


def _python(*words: str, path: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-S", *words], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _packed(library: Path, folder: Path, *more: str, path: str = "") -> list[str]:
    (folder / "work/outputs").mkdir(parents=True)
    (folder / "work/parts").mkdir()
    (folder / "work/parts/helper.py").write_text(HELPER)
    (folder / "work/outputs/result.py").write_text("")
    (folder / "zips").mkdir()
    return _python("-c", PACK, str(library), str(folder / "work"), str(folder / "zips"), *more, path=path).split()


def test_an_executor_imports_a_module_that_uses_tracking(library: Path, tmp_path: Path) -> None:
    zips = _packed(library, tmp_path)

    assert _python("-c", "from parts.helper import double; print(double(4))", path=os.pathsep.join(zips)) == "8\n"
    assert "outputs" not in _python("-m", "zipfile", "-l", zips[0])


def test_a_real_package_of_the_environment_wins(library: Path, tmp_path: Path) -> None:
    (tmp_path / "real/azureml").mkdir(parents=True)
    (tmp_path / "real/azureml/__init__.py").write_text("")

    zips = _packed(library, tmp_path, str(tmp_path / "real"))

    listed = _python("-m", "zipfile", "-l", zips[1])
    assert "amltool/tracking/__init__.py" in listed
    assert "azureml" not in listed


def test_what_the_drivers_pythonpath_adds_is_no_package_of_the_executors(library: Path, tmp_path: Path) -> None:
    (tmp_path / "real/azureml").mkdir(parents=True)
    (tmp_path / "real/azureml/__init__.py").write_text("")

    zips = _packed(library, tmp_path, path=str(tmp_path / "real"))

    assert "azureml/logging.py" in _python("-m", "zipfile", "-l", zips[1])
