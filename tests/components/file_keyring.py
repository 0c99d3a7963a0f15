"""A keyring in a file, as a desktop's is in a service: it is there for every process of the user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TOP = str(Path(__file__).parents[2])
FILE = "keyring.json"
KEYRING = """
import json, keyring.backend, os, pathlib
class Keyring(keyring.backend.KeyringBackend):
    priority = 1
    file = pathlib.Path(os.environ["TEST_KEYRING"])
    def _all(self): return json.loads(self.file.read_text()) if self.file.exists() else {}
    def _keep(self, found): self.file.write_text(json.dumps(found))
    def get_password(self, service, user): return self._all().get(f"{service} {user}")
    def set_password(self, service, user, password): self._keep({**self._all(), f"{service} {user}": password})
    def delete_password(self, service, user):
        found = self._all(); del found[f"{service} {user}"]; self._keep(found)
class Locked(Keyring):
    def get_password(self, service, user): raise RuntimeError("Failed to unlock the collection!")
    def set_password(self, service, user, password): raise RuntimeError(f"locked, and would not keep {password}")
"""


@pytest.fixture(name="keyring")
def keyring_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file where the keyring of this user keeps what it is given."""
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends/file_keyring.py").write_text(KEYRING)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "file_keyring.Keyring")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'backends'}{os.pathsep}{TOP}")
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / FILE))
    return tmp_path / FILE
