"""Every test has its own HOME, Git configuration and temporary folder, and never sees the developer's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

IDENTITY = {"name": "Ada Lovelace", "email": "ada@example.org"}


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        f"[user]\n\tname = {IDENTITY['name']}\n\temail = {IDENTITY['email']}\n"
        '[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n[gc]\n\tauto = 0\n'
    )
    for name in [n for n in os.environ if n.startswith(("GIT_", "AMLTOOL_", "AZUREML_", "INVOKE_"))]:
        if name != "AMLTOOL_REQUIRE":
            monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return home
