"""A folder in ``cases`` is an end-to-end test: its files are a project, ``train.py`` is run, ``verify.py`` looks."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool, make_project
from tests.repositories import git

CASES = Path(__file__).parent / "cases"


class RunCase:
    """What ``verify`` looks at."""

    def __init__(self, folder: Path, record: dict[str, Any], exit_code: int, stderr: str) -> None:
        self.folder = folder
        self.record = record
        self.exit_code = exit_code
        self.stderr = stderr

    def paths(self) -> list[str]:
        listed = json.loads(amltool(self.folder, "outputs", self.record["run_id"], "--json").stdout)
        return [artifact["path"] for artifact in listed]

    def artifact(self, path: str) -> bytes:
        base = self.folder.parent / "downloaded"
        if not (base / path).exists():
            amltool(self.folder, "outputs", self.record["run_id"], f"--path={path}", f"--download={base}")
        return (base / path).read_bytes()


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir() if (path / "verify.py").exists()))
def test_project(name: str, tmp_path: Path) -> None:
    case = CASES / name
    files: dict[str, bytes | str] = {
        str(path.relative_to(case)): path.read_bytes()
        for path in case.rglob("*")
        if path.is_file() and path.name != "verify.py" and "__pycache__" not in path.parts
    }
    folder = make_project(tmp_path / "a project", files)
    done = amltool(folder, "submit", "train.py", "--target", "local", "--json", check=False)
    assert done.stdout, done.stderr
    record = json.loads(done.stdout)
    assert record["run_id"] in git(folder, "log", "--notes=amltool/runs", "-1", "--format=%N")
    assert list((folder / ".git/amltool/runs").iterdir()) == []
    assert git(folder, "status", "--porcelain") == ""
    runpy.run_path(str(case / "verify.py"))["verify"](RunCase(folder, record, done.returncode, done.stderr))
