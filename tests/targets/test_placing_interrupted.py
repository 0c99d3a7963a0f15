"""Placing on another machine that is cut off, overtaken or killed, or meets a full disk."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.errors import TargetError, UserError
from amltool.layout import RunFolder
from amltool.snapshot import Snapshot
from amltool.targets import sending
from amltool.targets.placing_there import make_place
from amltool.tracking.framing import message, read_message
from tests.targets.placing_project import (  # noqa: F401 (pytest finds fixtures by name)
    Project,
    is_placed,
    project_fixture,
    with_git_fixture,
)


class TestCut:
    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sending, "PART_SIZE", 300_000)

    def test_nothing_is_half_placed_and_the_next_attempt_goes_on(self, project: Project) -> None:
        source = random.Random(4)
        snapshot = project.commit({f"{n}.bin": source.randbytes(200_000) for n in range(20)})
        project.machine.cut_after = 3_000_000
        folder = project.new_folder()
        with pytest.raises(TargetError, match="does not answer"):
            project.place(snapshot, folder)
        assert list(Path(folder.work).iterdir()) == []

        project.machine.cut_after = None
        project.place(snapshot, folder)

        assert is_placed(snapshot, folder)
        assert project.machine.sent < 2_000_000

    def test_a_folder_that_was_right_in_part_stays_so(self, project: Project) -> None:
        source = random.Random(5)
        first = project.commit({f"{n}.bin": source.randbytes(50_000) for n in range(20)})
        folder = project.place(first)
        shutil.rmtree(project.objects)
        snapshot = project.commit({"new.bin": source.randbytes(900_000)})
        project.machine.cut_after = 500_000
        with pytest.raises(TargetError):
            project.place(snapshot, folder)

        project.machine.cut_after = None
        project.place(snapshot, folder)

        assert is_placed(snapshot, folder)
        assert project.machine.sent < 920_000

    def test_nothing_that_came_in_part_is_left(self, project: Project) -> None:
        source = random.Random(6)
        snapshot = project.commit({f"{n}.bin": source.randbytes(500_000) for n in range(4)})
        project.machine.cut_after = 1_200_000
        with pytest.raises(TargetError):
            project.place(snapshot)
        project.machine.cut_after = None

        project.place(snapshot)

        assert list(project.objects.rglob("tmp_*")) == []


class TestTwoAtOnce:
    def test_many_clients_place_different_snapshots(self, project: Project) -> None:
        source = random.Random(7)
        snapshots = [
            project.commit({"same.bin": b"s" * 200_000, "own.bin": source.randbytes(200_000)}) for _ in range(4)
        ]
        folders = [project.new_folder() for _ in range(8)]
        failures: list[BaseException] = []

        def client(number: int) -> None:
            try:
                snapshot = snapshots[number % 4]
                make_place(project.machine, project.tracking)(project.git, folders[number], snapshot, None)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert all(is_placed(snapshots[n % 4], folders[n]) for n in range(8))

    def test_an_attempt_that_was_overtaken_writes_nothing(self, with_git: Project) -> None:
        snapshot = with_git.commit({"a.txt": "a"})
        folder = with_git.new_folder()
        slow = with_git.machine.open_stream(receiver_command(with_git))
        slow.write(request_of(with_git, folder, snapshot))
        assert read_message(slow.read)["blobs"] == [0]
        make_place(with_git.machine, with_git.tracking)(with_git.git, folder, snapshot, None)
        (Path(folder.work) / "a.txt").write_text("the run changed it")

        slow.write(message({"end": True}))

        assert read_message(slow.read) == {"overtaken": True}
        assert (Path(folder.work) / "a.txt").read_text() == "the run changed it"
        slow.close()

    def test_a_receiver_that_is_killed_at_any_point_leaves_nothing_in_the_way(self, project: Project) -> None:
        source = random.Random(16)
        snapshot = project.commit({f"{number}.bin": source.randbytes(90_000) for number in range(30)})
        folder = project.new_folder()
        for limit in (1, 100_000, 600_000, 1_200_000, 2_400_000):
            stop_after(project, snapshot, folder, limit)

        project.place(snapshot, folder)

        assert is_placed(snapshot, folder)
        assert list(project.objects.rglob("tmp_*")) == []

    def test_a_run_that_was_started_is_not_touched(self, project: Project) -> None:
        snapshot = project.commit({"a.txt": "a"})
        folder = project.place(snapshot)
        Path(folder.start).write_text("{}")
        (Path(folder.work) / "a.txt").write_text("the run changed it")

        with pytest.raises(UserError, match="started already"):
            project.place(snapshot, folder)

        assert (Path(folder.work) / "a.txt").read_text() == "the run changed it"


def stop_after(project: Project, snapshot: Snapshot, folder: RunFolder, limit: int) -> None:
    """Place, and kill what receives (with what it started) when so many bytes were sent."""
    project.machine.forget_counts()

    def kill(_size: int, _files: int) -> None:
        if project.machine.sent >= limit:
            project.machine.kill_receivers()

    with contextlib.suppress(TargetError):
        make_place(project.machine, project.tracking)(project.git, folder, snapshot, kill)


def receiver_command(project: Project) -> list[str]:
    return ["python3", "-I", "-S", str(project.tracking.bootstrap), "receive"]


def request_of(project: Project, folder: RunFolder, snapshot: Snapshot) -> bytes:
    return message(
        {
            "root": str(folder.root),
            "run": folder.run_id,
            "objects": str(project.objects),
            "tree": snapshot.tree,
            "files": [(file.path, file.mode, file.object_id, file.size) for file in snapshot.files],
            "large": {},
            "take": None,
            "folders": [],
            "attempt": 0,
        }
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "there" / "home"
    place.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a full disk needs the right to mount one: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("has_git", [True, False])
@pytest.mark.parametrize("size", [6_000_000, 2_500_000], ids=["while receiving", "while writing"])
def test_a_full_disk_there_is_a_sentence_and_not_the_end(
    small_disk: Path, tmp_path: Path, has_git: bool, size: int
) -> None:
    project = Project(tmp_path, has_git=has_git)
    source = random.Random(12)
    snapshot = project.commit({f"{number}.bin": source.randbytes(50_000) for number in range(size // 50_000)})
    folder = project.new_folder()

    with pytest.raises(UserError, match=r"on there: No space left on device"):
        project.place(snapshot, folder)

    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    project.place(snapshot, folder)
    assert is_placed(snapshot, folder)
