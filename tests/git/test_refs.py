"""Moving refs: what must survive a power cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.git import refs
from amltool.git.command import Git
from amltool.layout import HISTORY_REF, NOTES_REF, SNAPSHOTS_REF
from tests.repositories import make_repository


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    found: list[Path] = []
    monkeypatch.setattr(refs, "sync_folder", found.append)
    return found


def test_the_folder_of_each_ref_is_synced_once_and_those_above_it_where_it_is_new(
    tmp_path: Path, synced: list[Path]
) -> None:
    git = Git.at(make_repository(tmp_path, {"a": "a"}))
    top = git.common_dir / "refs"

    def move(name: str) -> refs.Move:
        return refs.Move(name, git.head, None)

    assert refs.move_refs(git, [move(SNAPSHOTS_REF), move(NOTES_REF)], "amltool: test")
    assert sorted(synced) == [top, top / "amltool", top / "notes", top / "notes" / "amltool"]
    synced.clear()
    assert refs.move_refs(git, [move(HISTORY_REF)], "amltool: test")
    assert synced == [top / "amltool"]
