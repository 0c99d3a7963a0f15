"""Placing on another machine: the snapshot to the byte, and only what that machine lacks goes over the line."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from amltool.errors import TargetError, UserError
from amltool.git.command import Git
from amltool.git.snapshots import survey, take
from amltool.layout import HostLayout, RunFolder
from amltool.limits import Profile
from amltool.snapshot import Snapshot, tree_id
from amltool.targets import sending
from amltool.targets.placing import release
from amltool.targets.placing_there import make_place, objects_folder
from amltool.tracking import travel
from amltool.tracking.framing import message, read_message
from tests.repositories import commit_all, git, make_repository, write_files
from tests.targets.machine_there import MachineThere, tree_on_disk
from tests.tracking.run_folder import python_of

MEGABYTE = 1 << 20


class Project:
    """A repository here, and the machine its snapshots are placed on."""

    def __init__(
        self, folder: Path, *, has_git: bool = True, object_format: str = "sha1", python: str = sys.executable
    ) -> None:
        self.folder = make_repository(folder / "project", None, f"--object-format={object_format}")
        self.machine = MachineThere(folder / "there", has_git=has_git, python=python)
        self.tracking = travel.install(self.machine)
        self.runs = 0

    def commit(self, files: dict[str, bytes | str]) -> Snapshot:
        write_files(self.folder, files)
        commit_all(self.folder)
        return self.snapshot()

    def snapshot(self) -> Snapshot:
        return take(self.git, survey(self.git, "", ".", Profile.SDK))

    @property
    def git(self) -> Git:
        return Git.at(self.folder)

    def new_folder(self) -> RunFolder:
        self.runs += 1
        return HostLayout(self.machine.root).run(f"run-{self.runs:03}")

    def place(self, snapshot: Snapshot, folder: RunFolder | None = None, *, key: str = "") -> RunFolder:
        """Place in a new run's folder; what goes over the line is counted from nothing."""
        folder = folder or self.new_folder()
        self.machine.forget_counts()
        make_place(self.machine, self.tracking, key=key)(self.git, folder, snapshot, None)
        self.settle()
        return folder

    @property
    def objects(self) -> Path:
        return Path(HostLayout(self.machine.root).cache / "objects" / objects_folder(self.git))

    def settle(self) -> None:
        """Wait until the tidying that goes on there in the background is done."""
        if (self.objects / "lock").exists():
            with (self.objects / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)


def is_placed(snapshot: Snapshot, folder: RunFolder) -> bool:
    return tree_on_disk(Path(folder.work)) == snapshot.tree


@pytest.fixture(params=[True, False], ids=["git there", "no git there"])
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    return Project(tmp_path, has_git=request.param)


@pytest.fixture
def with_git(tmp_path: Path) -> Project:
    return Project(tmp_path)


FILES: dict[str, bytes | str] = {
    "train.py": "print('hello')\n" * 50,
    "run.sh": "#!/bin/sh\n",
    "data/a b.csv": "1,2\r\n",
    "data/deep/er/x.bin": bytes(range(256)) * 40,
    "empty": "",
    "line\nbreak": "x",
    os.fsdecode(b"caf\xe9.txt"): "not UTF-8",
    ".gitattributes": "*.csv text eol=lf\n* ident\n",
}


def test_the_folder_there_is_the_tree_to_the_byte(project: Project) -> None:
    write_files(project.folder, FILES)
    (project.folder / "link").symlink_to("data/a b.csv")
    snapshot = project.commit({})

    folder = project.place(snapshot)

    assert is_placed(snapshot, folder)
    assert (Path(folder.work) / "link").is_symlink()


def test_the_folders_a_run_needs_are_there(project: Project) -> None:
    folder = project.place(project.commit(FILES))

    assert Path(folder.outputs).is_dir()
    assert Path(folder.logs).is_dir()


def test_it_takes_one_channel_and_two_round_trips(project: Project) -> None:
    project.place(project.commit(FILES))

    assert (project.machine.opened, project.machine.round_trips) == (1, 2)


def test_what_was_begun_is_gone_on_with(project: Project) -> None:
    snapshot, folder = project.commit(FILES), project.new_folder()
    place = make_place(project.machine, project.tracking)
    counted: list[int] = []

    place.begin(project.git, folder, snapshot)
    place(project.git, folder, snapshot, lambda size, _: counted.append(size))

    assert is_placed(snapshot, folder)
    assert project.machine.opened == 1
    assert sum(counted) == project.machine.sent
    project.settle()


def test_what_was_begun_and_waited_for_too_long_is_begun_anew(project: Project) -> None:
    snapshot, folder = project.commit(FILES), project.new_folder()
    place = make_place(project.machine, project.tracking)

    place.begin(project.git, folder, snapshot)
    project.machine.kill_receivers()
    place(project.git, folder, snapshot)

    assert is_placed(snapshot, folder)
    assert project.machine.opened == 2
    project.settle()


def test_what_was_begun_for_another_folder_is_withdrawn(project: Project) -> None:
    snapshot, folder, other = project.commit(FILES), project.new_folder(), project.new_folder()
    place = make_place(project.machine, project.tracking)

    place.begin(project.git, other, snapshot)
    place(project.git, folder, snapshot)

    assert is_placed(snapshot, folder)
    project.settle()


def test_nothing_is_written_any_more_after_a_withdrawal(project: Project) -> None:
    snapshot = project.commit(FILES)
    project.place(snapshot)
    folder, place = project.new_folder(), make_place(project.machine, project.tracking)

    place.begin(project.git, folder, snapshot)
    place.withdraw()

    assert project.machine.streams[-1].has_ended
    project.settle()


def test_a_placing_that_another_overtook_is_not_begun_anew(project: Project) -> None:
    snapshot, folder = project.commit(FILES), project.new_folder()
    place = make_place(project.machine, project.tracking)

    place.begin(project.git, folder, snapshot)
    while not Path(folder.path, "placing.attempt").exists():
        time.sleep(0.01)
    make_place(project.machine, project.tracking)(project.git, folder, snapshot)
    with pytest.raises(TargetError, match="Another process"):
        place(project.git, folder, snapshot)
    project.settle()


def test_what_is_there_is_not_sent_again(project: Project) -> None:
    snapshot = project.commit({"big.bin": random.Random(1).randbytes(MEGABYTE), **FILES})
    project.place(snapshot)

    folder = project.place(snapshot)

    assert is_placed(snapshot, folder)
    assert project.machine.sent < 2000
    assert project.machine.round_trips == 1


def test_one_changed_file_of_2000_sends_that_file(project: Project) -> None:
    source = random.Random(2)
    files: dict[str, bytes | str] = {f"d{n % 20}/{n}.bin": source.randbytes(12 * 1024) for n in range(1999)}
    project.place(project.commit({**files, "big.bin": source.randbytes(MEGABYTE)}))
    snapshot = project.commit({"big.bin": source.randbytes(MEGABYTE)})

    folder = project.place(snapshot)

    assert is_placed(snapshot, folder)
    assert MEGABYTE < project.machine.sent < 1.2 * MEGABYTE
    assert project.machine.round_trips == 2


def test_a_changed_line_of_a_long_text_sends_the_difference(with_git: Project) -> None:
    source = random.Random(3)
    lines = [source.randbytes(30).hex() for _ in range(20_000)]
    with_git.place(with_git.commit({"data.csv": "\n".join(lines), "train.py": "pass\n"}))
    lines[777] = "changed"
    snapshot = with_git.commit({"data.csv": "\n".join(lines)})

    folder = with_git.place(snapshot)

    assert is_placed(snapshot, folder)
    assert with_git.machine.sent < 5000


def test_a_text_that_both_sides_knew_in_another_project_folder_is_no_base(with_git: Project) -> None:
    """What the ignore file kept away from the host is never taken for something the host has."""
    lines = [random.Random(n).randbytes(30).hex() for n in range(5000)]
    with_git.place(with_git.commit({"data.csv": "\n".join(lines), ".amlignore": "data.csv\n", "a": "a"}))
    lines[7] = "changed"
    snapshot = with_git.commit({"data.csv": "\n".join(lines), ".amlignore": ""})

    assert is_placed(snapshot, with_git.place(snapshot))


def test_loose_and_packed_objects_are_placed_alike(project: Project) -> None:
    project.commit(FILES)
    git(project.folder, "gc", "-q")
    snapshot = project.commit({"train.py": "print('bye')\n" * 50})

    assert is_placed(snapshot, project.place(snapshot))


def test_text_is_sent_compressed_where_there_is_git(with_git: Project) -> None:
    snapshot = with_git.commit({"log.txt": "the same line\n" * 100_000})

    with_git.place(snapshot)

    assert with_git.machine.sent < 100_000


@pytest.mark.parametrize("has_git", [True, False])
def test_a_repository_of_sha256_ids_is_placed(tmp_path: Path, has_git: bool) -> None:
    project = Project(tmp_path, has_git=has_git, object_format="sha256")
    project.place(project.commit({"a": "a", "d/b": "b" * 5000}))

    folder = project.place(project.commit({"d/b": "b" * 5000 + "c"}))

    assert (Path(folder.work) / "d/b").read_text() == "b" * 5000 + "c"


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.13"])
def test_any_python_from_3_6_on_receives(tmp_path: Path, version: str) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    project = Project(tmp_path, python=python)
    project.place(project.commit({**FILES, "big.bin": random.Random(15).randbytes(100_000)}))
    snapshot = project.commit({"train.py": "print('bye')\n" * 50})

    assert is_placed(snapshot, project.place(snapshot))


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
    return ["python3", "-I", "-S", str(project.tracking.bootstrap.with_name("receiving.py"))]


def request_of(project: Project, folder: RunFolder, snapshot: Snapshot) -> bytes:
    return message(
        {
            "folder": str(folder.path),
            "work": str(folder.work),
            "placed": str(folder.placed),
            "objects": str(project.objects),
            "tree": snapshot.tree,
            "files": [(file.path, file.mode, file.object_id, file.size) for file in snapshot.files],
            "large": {},
            "runs": "",
            "key": "",
            "folders": [],
            "attempt": 0,
        }
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
        release(project.machine, folder, "mine", "2026-11-21T08:15:02.123Z", 3)
        shutil.rmtree(project.objects)
        snapshot = project.commit({"train.py": "2\n"})

        new = project.place(snapshot, key="mine")

        assert is_placed(snapshot, new)
        assert project.machine.sent < 2000
        assert not Path(folder.path).exists()

    def test_that_of_another_project_is_not(self, project: Project) -> None:
        snapshot = project.commit({"train.py": "1\n"})
        folder = project.place(snapshot)
        release(project.machine, folder, "theirs", "2026-11-21T08:15:02.123Z", 3)

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


class TestMistakes:
    def test_a_missing_object_is_named(self, project: Project) -> None:
        snapshot = project.commit({"a.txt": "a\n"})
        object_id = snapshot.files[0].object_id
        (project.folder / ".git/objects" / object_id[:2] / object_id[2:]).unlink()

        with pytest.raises(UserError, match=object_id):
            project.place(snapshot)

    def test_a_damaged_object_is_refused(self, project: Project) -> None:
        snapshot = project.commit({"a.txt": "a\n", "b.txt": "b\n"})
        ids = [project.folder / ".git/objects" / file.object_id[:2] / file.object_id[2:] for file in snapshot.files]
        ids[0].chmod(0o644)
        ids[0].write_bytes(ids[1].read_bytes())
        folder = project.new_folder()

        with pytest.raises(UserError, match="cannot be placed"):
            project.place(snapshot, folder)

        assert list(Path(folder.work).iterdir()) == []

    def test_a_file_where_the_run_needs_a_folder_is_a_sentence(self, project: Project) -> None:
        with pytest.raises(UserError, match="a file named logs"):
            project.place(project.commit({"logs": "a file"}))

    def test_a_machine_without_python_is_said(self, with_git: Project) -> None:
        (with_git.machine.programs / "python3").unlink()

        with pytest.raises(TargetError, match="python3"):
            with_git.place(with_git.commit({"a": "a"}))

    def test_something_else_that_speaks_on_the_line_is_no_answer(self, with_git: Project) -> None:
        python = with_git.machine.programs / "python3"
        python.unlink()
        python.write_text("#!/bin/sh\necho 'Welcome to this machine, friend'\necho 'no such luck' >&2\n")
        python.chmod(0o755)

        with pytest.raises(TargetError, match="no such luck"):
            with_git.place(with_git.commit({"a": "a"}))

    def test_a_list_that_is_not_the_trees_is_refused_there(self, project: Project) -> None:
        snapshot = project.commit({"a": "a", "b": "b"})
        lying = msgspec.structs.replace(snapshot, files=snapshot.files[:1])
        assert tree_id(lying.files) != lying.tree

        with pytest.raises(UserError, match="tree"):
            project.place(lying)


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


def test_progress_is_told_in_bytes_sent(project: Project) -> None:
    snapshot = project.commit({"big.bin": random.Random(13).randbytes(MEGABYTE), "a": "a"})
    told: list[tuple[int, int]] = []
    place = make_place(project.machine, project.tracking)

    place(project.git, project.new_folder(), snapshot, lambda size, files: told.append((size, files)))

    assert sum(size for size, _ in told) == project.machine.sent
    assert sum(files for _, files in told) == 2
    assert len(told) > 5
    project.settle()
