"""Placing once more: what the other machine keeps of earlier snapshots, and what becomes of it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.snapshot import Snapshot
from tests.targets.placing_project import (  # noqa: F401 (pytest finds fixtures by name)
    FILES,
    MEGABYTE,
    Project,
    is_placed,
    project_fixture,
    with_git_fixture,
)


class TestCache:
    def test_it_can_be_deleted_at_any_time(self, project: Project) -> None:
        snapshot = project.commit(FILES)
        project.place(snapshot)
        shutil.rmtree(project.objects)

        assert is_placed(snapshot, project.place(snapshot))

    def test_damage_in_it_is_found_and_sent_anew(self, project: Project) -> None:
        snapshot = project.commit({"a.bin": random.Random(8).randbytes(50_000)})
        project.place(snapshot)
        for path in [*project.objects.rglob("*.pack"), *(project.objects / "blobs").rglob("*")]:
            if path.is_file():
                path.chmod(0o644)
                content = bytearray(path.read_bytes())
                content[len(content) // 2] ^= 1
                path.write_bytes(content)

        folder = project.place(snapshot)

        assert is_placed(snapshot, folder)
        assert project.machine.opened == 3

    def test_it_keeps_what_the_last_few_trees_hold(self, project: Project) -> None:
        source = random.Random(9)
        for _ in range(8):
            snapshot = project.commit({"a.bin": source.randbytes(10_000)})
            project.place(snapshot)

        assert len(list((project.objects / "lists").iterdir())) == 5
        if (project.objects / "blobs").exists():
            assert len([path for path in (project.objects / "blobs").rglob("*") if path.is_file()]) == 5

    def test_the_users_repository_is_not_written_to(self, with_git: Project) -> None:
        with_git.place(with_git.commit({"a.txt": "a\n" * 1000}))
        snapshot = with_git.commit({"a.txt": "a\n" * 1000 + "b\n"})
        before = sorted(with_git.folder.joinpath(".git").rglob("*"))

        with_git.place(snapshot)

        assert sorted(with_git.folder.joinpath(".git").rglob("*")) == before


class TestLargeBlobs:
    """What is large and came by itself lies in the run's folder only, where later placings find it."""

    @pytest.fixture
    def content(self) -> bytes:
        return random.Random(14).randbytes(300_000)

    def test_they_are_written_once(self, project: Project, content: bytes) -> None:
        snapshot = project.commit({"big.bin": content})

        folder = project.place(snapshot)

        assert is_placed(snapshot, folder)
        assert [path for path in project.objects.rglob("*") if path.is_file() and path.stat().st_size > 200_000] == []

    def test_their_modes_are_those_of_the_snapshot(self, project: Project, content: bytes) -> None:
        snapshot = project.commit({"big.sh": content, "big.bin": content[::-1]})

        folder = project.place(snapshot)

        assert is_placed(snapshot, folder)
        mask = os.umask(0)
        os.umask(mask)
        assert (Path(folder.work) / "big.bin").stat().st_mode & 0o777 == 0o666 & ~mask

    def test_one_that_stands_in_two_places_is_in_both(self, project: Project, content: bytes) -> None:
        snapshot = project.commit({"big.bin": content, "d/again.bin": content})

        assert is_placed(snapshot, project.place(snapshot))

    @pytest.mark.parametrize("spoil", ["change", "link", "remove"])
    def test_what_a_run_did_to_its_copy_is_of_no_harm(self, project: Project, content: bytes, spoil: str) -> None:
        snapshot = project.commit({"big.bin": content, "other.bin": content[::-1]})
        place = Path(project.place(snapshot).work) / "big.bin"
        times = place.stat()
        if spoil == "change":
            with place.open("r+b") as stream:
                stream.write(b"changed")
            os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
        else:
            place.unlink()
        if spoil == "link":
            place.symlink_to("other.bin")

        folder = project.place(snapshot)

        assert is_placed(snapshot, folder)
        assert 300_000 < project.machine.sent < 320_000


class TestTakingOver:
    def test_the_folder_of_a_released_run_is_used_again(self, project: Project) -> None:
        source = random.Random(10)
        folder = project.place(project.commit({"big.bin": source.randbytes(MEGABYTE), "train.py": "1\n"}))
        (Path(folder.work) / "outputs" / "model").write_text("left by the run")
        project.release(folder, "mine")
        shutil.rmtree(project.objects)
        snapshot = project.commit({"train.py": "2\n"})

        new = project.place(snapshot, key="mine")

        assert is_placed(snapshot, new)
        assert project.machine.sent < 2000
        assert not Path(folder.path).exists()

    def test_that_of_another_project_is_not(self, project: Project) -> None:
        snapshot = project.commit({"train.py": "1\n"})
        folder = project.place(snapshot)
        project.release(folder, "theirs")

        project.place(snapshot, key="mine")

        assert is_placed(snapshot, folder)


class TestLargeFiles:
    @pytest.fixture
    def content(self) -> bytes:
        return random.Random(11).randbytes(300_000)

    @pytest.fixture
    def snapshot(self, project: Project, content: bytes) -> Snapshot:
        sha256 = hashlib.sha256(content).hexdigest()
        place = project.folder / ".git/lfs/objects" / sha256[:2] / sha256[2:4] / sha256
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
        return project.commit({"model.bin": pointer, "a": "a"})

    def test_their_content_is_placed(self, project: Project, snapshot: Snapshot, content: bytes) -> None:
        folder = project.place(snapshot)

        assert (Path(folder.work) / "model.bin").read_bytes() == content

    def test_their_content_is_sent_once(self, project: Project, snapshot: Snapshot, content: bytes) -> None:
        project.place(snapshot)

        folder = project.place(snapshot)

        assert project.machine.sent < 2000
        assert (Path(folder.work) / "model.bin").read_bytes() == content

    def test_content_that_is_not_what_the_pointer_says_is_refused(self, project: Project, snapshot: Snapshot) -> None:
        place = Path(snapshot.large_files["model.bin"].place)
        place.write_bytes(b"x" + place.read_bytes()[1:])

        with pytest.raises(UserError, match="cannot be placed on there"):
            project.place(snapshot)
