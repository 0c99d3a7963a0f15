"""A run folder as a target makes it, and the Pythons of this machine to run scripts in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amltool.tracking import travel

_PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
"""Looked up at import: a test has a home of its own."""


def python_of(version: str) -> str | None:
    """A Python of a version (``3.6``) on this machine, if there is one."""
    for folder in sorted(_PYENV.glob(f"{version}.*")):
        if (folder / "bin" / "python").exists():
            return str(folder / "bin" / "python")
    return shutil.which(f"python{version}")


def place(lib: Path) -> Path:
    """Put what travels below a folder; gives the one for PYTHONPATH."""
    for path, content in travel.files().items():
        (lib / path).parent.mkdir(parents=True, exist_ok=True)
        (lib / path).write_bytes(content)
    return lib / "site"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run: ``path`` holds ``work`` and ``metrics.jsonl``; ``site`` is in front of PYTHONPATH."""

    path: Path
    site: Path

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def environment(self, **changes: str | None) -> dict[str, str]:
        """Variables of the run; ``None`` takes one away, ``PYTHONPATH`` is what the user had."""
        variables: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "AMLTOOL_METRICS_FILE": str(self.metrics),
            "AMLTOOL_RUN_ID": "20261121T081502-3f9c2ab-k4qd",
            "PYTHONDONTWRITEBYTECODE": "1",
            **changes,
        }
        theirs = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.site), theirs]))
        return {name: value for name, value in variables.items() if value is not None}

    def python(
        self, script: str, *, python: str = sys.executable, **changes: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in the run's folder."""
        (self.work / "script.py").write_text(script)
        command = [python, "script.py"]
        return subprocess.run(
            command, cwd=self.work, env=self.environment(**changes), capture_output=True, text=True, timeout=300
        )

    def says(self, script: str, **arguments: Any) -> str:
        """What a script that must end well prints."""
        ended = self.python(script, **arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def entries(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, each checked to be strict JSON."""
        content = self.metrics.read_bytes()
        assert content.endswith(b"\n")
        return [strict(line) for line in content.split(b"\n")[:-1]]

    def logged(self) -> list[tuple[str, str, Any, Any]]:
        """Kind, name, value and step of each line."""
        return [(entry["kind"], entry["name"], entry["value"], entry["step"]) for entry in self.entries()]


def strict(line: bytes) -> dict[str, Any]:
    """A line read as strict JSON: no NaN, and all of it in ASCII."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(line.decode("ascii"), parse_constant=refuse)
    assert list(found)[:6] == ["v", "at", "kind", "name", "value", "step"]
    return found
