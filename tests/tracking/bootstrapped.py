"""Runs of the bootstrap by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.tracking import bootstrap

BOOTSTRAP = Path(bootstrap.__file__)
PATH = {"PATH": os.environ["PATH"]}
LINUX = sys.platform.startswith("linux")


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    (tmp_path / "run" / "work").mkdir(parents=True)
    return tmp_path / "run"


def spec(*command: str, **more: Any) -> bytes:
    content = {"run_id": f"R-{os.urandom(4).hex()}", "command": command, "environment": PATH, "work": "work", **more}
    return json.dumps(content).encode() + b"\n"


def call(*arguments: str | Path, content: bytes = b"", python: str = sys.executable) -> subprocess.CompletedProcess:
    command = [python, "-I", "-S", BOOTSTRAP, *arguments]
    return subprocess.run(command, input=content, capture_output=True, timeout=300)


def background(folder: Path, content: bytes, **more: Any) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-I", "-S", BOOTSTRAP, "run", folder], stdin=subprocess.PIPE, **more)
    assert process.stdin is not None
    process.stdin.write(content)
    process.stdin.close()
    until = time.monotonic() + 120
    while not (folder / "start.json").exists() and time.monotonic() < until:
        time.sleep(0.0005)
    return process


def end_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "exit.json").read_text())
