"""Every artifact store passes the one contract suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.stores.directory import DirectoryStore
from amltool.testing.stores import ArtifactStoreContract, FakeStore


class TestFakeStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self):
        return FakeStore()

    def damage(self, store, sha256, content):
        store.contents[sha256] = content

    def add(self, store, name, content):
        store.foreign_names.append(name)


class TestDirectoryStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path):
        return DirectoryStore(tmp_path / "a folder" / "store")

    def damage(self, store, sha256, content):
        path = store.folder / "objects" / sha256[:2] / sha256
        path.chmod(0o644)
        path.write_bytes(content)

    def add(self, store, name, content):
        folder = store.folder / "objects/ab"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
