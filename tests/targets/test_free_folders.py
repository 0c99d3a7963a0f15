"""Which folders may be used again is what a clone knows, not what lies on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.history.journal import PlacedFolder
from amltool.hosts.local import LocalHost
from amltool.layout import LocalLayout
from amltool.targets.free_folders import FreeFolder, FreeFolders
from amltool.targets.proof import marks_of
from amltool.tracking.processes import LEAST_MARK

KNOWN = PlacedFolder("0" * 64, 7)


@pytest.fixture
def free(tmp_path: Path) -> FreeFolders:
    found = FreeFolders(LocalLayout(tmp_path / ".git"), LocalHost(tmp_path / "root"))
    for run_id in ("1", "3", "2"):
        found.add(run_id, FreeFolder("mine", KNOWN))
    return found


def test_the_newest_is_given_first_and_each_once(free: FreeFolders) -> None:
    assert [free.claim("mine") for _ in range(4)] == [("3", KNOWN), ("2", KNOWN), ("1", KNOWN), None]


def test_those_of_another_project_are_not_given(free: FreeFolders) -> None:
    assert free.claim("theirs") is None


def test_those_of_another_host_are_not_given(free: FreeFolders, tmp_path: Path) -> None:
    assert FreeFolders(LocalLayout(tmp_path / ".git"), LocalHost(tmp_path / "other")).claim("mine") is None


def test_the_older_ones_are_forgotten_and_named(free: FreeFolders) -> None:
    assert free.forget_older("mine", 1) == ["2", "1"]
    assert [free.claim("mine"), free.claim("mine")] == [("3", KNOWN), None]


def test_what_is_damaged_is_passed_over(free: FreeFolders, tmp_path: Path) -> None:
    (folder,) = (tmp_path / ".git/amltool/folders").iterdir()
    (folder / "3").write_bytes(b"\xff{")
    (folder / ".4.tmp").write_bytes(b"half")
    assert free.claim("mine") == ("2", KNOWN)


def test_what_a_run_is_known_by_can_be_made_again_and_only_by_its_clone(tmp_path: Path) -> None:
    one, other = LocalLayout(tmp_path / "one"), LocalLayout(tmp_path / "other")
    assert marks_of(one, "run") == marks_of(one, "run")
    assert len({marks_of(one, "run"), marks_of(one, "other run"), marks_of(other, "run")}) == 3
    assert LEAST_MARK <= marks_of(one, "run").mark < 1 << 61
    assert one.key.stat().st_mode & 0o077 == 0
