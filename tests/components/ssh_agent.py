"""The user's SSH agent: none, or one of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.required import missing


@pytest.fixture(autouse=True, name="no_agent")
def no_agent_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's is not seen, in a module that has this name."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(name="agent")
def agent_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that holds no key yet."""
    if shutil.which("ssh-agent") is None:
        missing("ssh", "ssh-agent is not installed")
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    process.terminate()
    process.wait(120)
