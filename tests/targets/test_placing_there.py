"""Placing on another machine: the snapshot to the byte, and only what that machine lacks goes over the line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest

from amltool.errors import TargetError, UserError
from amltool.snapshot import tree_id
from amltool.targets.placing_there import make_place
from tests.repositories import git, write_files
from tests.targets.placing_project import (  # noqa: F401 (pytest finds fixtures by name)
    FILES,
    MEGABYTE,
    Project,
    is_placed,
    project_fixture,
    with_git_fixture,
)
from tests.tracking.run_folder import python_of


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
    while not Path(folder.marks, "placing.attempt").exists():
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


def test_progress_is_told_in_bytes_sent(project: Project) -> None:
    snapshot = project.commit({"big.bin": random.Random(13).randbytes(MEGABYTE), "a": "a"})
    told: list[tuple[int, int]] = []
    place = make_place(project.machine, project.tracking)

    place(project.git, project.new_folder(), snapshot, lambda size, files: told.append((size, files)))

    assert sum(size for size, _ in told) == project.machine.sent
    assert sum(files for _, files in told) == 2
    assert len(told) > 5
    project.settle()
