"""Folders of runs are reached by descriptors: what a run made of them is set aside or removed, and nothing beside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from amltool.tracking.placing import Placed, place
from amltool.tracking.run_folders import (
    Folders,
    OddError,
    Root,
    Taken,
    open_folder,
    open_run,
    remove,
    require_in_place,
    run_action,
)
from tests.hostile_scripts import seen_program, victim_program
from tests.repositories import git, make_repository
from tests.targets.test_hostile_scripts import told

CONTENTS = {"train.py": "print('committed')\n", "data/a.txt": "a\n", "data/deep/b.txt": "b\n"}


class Host:
    """A root with one run that was placed, released and may be taken over; and a victim outside."""

    def __init__(self, top: Path) -> None:
        self.root, self.victim = top / "root", top / "victim"
        self.repository = make_repository(top / "repository", dict(CONTENTS))
        self.victim.mkdir()
        told(victim_program(), self.victim)
        self.before = told(seen_program(), self.victim)
        self.asides: list[str] = []
        done = self.place("old")
        inode = (self.root / "runs/old/work").stat().st_ino
        self.taken: Taken = {"run": "old", "placed": done.digest, "inode": inode}

    def place(self, run_id: str, taken: Taken | None = None) -> Placed:
        files = []
        for path, text in CONTENTS.items():
            object_id = git(self.repository, "rev-parse", f"HEAD:{path}")
            files.append((path, 0o100644, object_id, len(text)))
        command = (["git", f"--git-dir={self.repository}/.git"], None)
        with Root(str(self.root)) as root:
            opened = open_run(root, run_id, taken)
            done = place(opened.work, opened.placed, files, command)
            require_in_place(root, run_id, opened)
            self.asides = root.asides
        return done

    def is_right(self, run_id: str) -> bool:
        work = self.root / "runs" / run_id / "work"
        found = {str(path.relative_to(work)): path.read_text() for path in work.rglob("*") if path.is_file()}
        return found == CONTENTS and told(seen_program(), self.victim) == self.before


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_folder_that_is_as_it_was_left_is_used_again(host: Host) -> None:
    (host.root / "runs/old/work/outputs").mkdir()
    (host.root / "runs/old/work/data/deep").chmod(0o500)

    done = host.place("new", host.taken)

    assert (done.files, host.asides, host.is_right("new")) == (0, [], True)
    assert not (host.root / "runs/old").exists()
    assert not (host.root / "marks/old").exists()


def test_what_a_run_changed_in_it_is_written_anew(host: Host) -> None:
    work = host.root / "runs/old/work"
    (work / "train.py").unlink()
    (work / "train.py").symlink_to(host.victim / "train.py")
    (work / "data/deep/b.txt").unlink()
    os.link(host.victim / "keep.txt", work / "data/deep/b.txt")

    done = host.place("new", host.taken)

    assert (done.files, host.is_right("new")) == (2, True)


def link_in_place_of(path: str) -> Callable[[Host], None]:
    def change(host: Host) -> None:
        (host.root / path).rename(host.root / f"{path}.away")
        (host.root / path).symlink_to(host.victim)

    change.__name__ = f"link for {path}"
    return change


def file_in_place_of(path: str) -> Callable[[Host], None]:
    def change(host: Host) -> None:
        (host.root / path).rename(host.root / f"{path}.away")
        (host.root / path).write_text("")

    change.__name__ = f"file for {path}"
    return change


def no_work(host: Host) -> None:
    (host.root / "runs/old/work").rename(host.root / "runs/old/w2")


def other_work(host: Host) -> None:
    no_work(host)
    (host.root / "runs/old/work").mkdir()
    (host.root / "runs/old/work/train.py").write_text("print('EVIL')\n")


def forged_note(host: Host) -> None:
    """What lies there is said to be what was placed."""
    script, note = host.root / "runs/old/work/train.py", host.root / "marks/old/placed.json"
    script.write_text("print('EVIL')\n")
    content = json.loads(note.read_bytes())
    seen = script.stat()
    for file in content["files"]:
        if file[0] == "train.py":
            file[3] = [seen.st_size, seen.st_ctime_ns, seen.st_mtime_ns, seen.st_ino, seen.st_mode]
    content["tick"] = seen.st_ctime_ns + 1000
    note.write_text(json.dumps(content))


def pipe_as_note(host: Host) -> None:
    (host.root / "marks/old/placed.json").unlink()
    os.mkfifo(host.root / "marks/old/placed.json")


@pytest.mark.parametrize(
    "change",
    [
        *(link_in_place_of(path) for path in ("runs/old/work", "runs/old", "runs", "marks", "marks/old")),
        *(file_in_place_of(path) for path in ("runs/old/work", "runs/old", "runs", "marks")),
        no_work,
        other_work,
        forged_note,
        pipe_as_note,
    ],
    ids=lambda change: change.__name__,
)
def test_one_that_is_not_as_it_was_left_is_set_aside_and_a_fresh_one_made(
    host: Host, change: Callable[[Host], None]
) -> None:
    change(host)

    done = host.place("new", host.taken)

    assert (done.files, host.is_right("new")) == (len(CONTENTS), True)
    assert all(".set-aside-" in name for name in host.asides)
    assert told(seen_program(), host.victim) == host.before


def test_a_folder_below_that_becomes_a_link_meanwhile_leads_nowhere(host: Host) -> None:
    work = host.root / "runs/old/work"
    (work / "data").rename(work / "away")
    (work / "data").symlink_to(host.victim)
    top = os.open(work, os.O_RDONLY)
    folders = Folders(top)
    with pytest.raises(OddError):
        folders.at("data")
    folders.close()
    os.close(top)


def open_here() -> int:
    """How many descriptors this process has, where the system tells."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else 0


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 200])
def test_folders_far_down_are_reached_with_few_of_them_open(tmp_path: Path, depth: int) -> None:
    path = "/".join(["d"] * depth)
    (tmp_path / path).mkdir(parents=True)
    (tmp_path / "e").mkdir()
    top = os.open(tmp_path, os.O_RDONLY)
    before = open_here()
    folders = Folders(top)
    for wanted in (path, "d", path, "e", "", path, path):
        assert os.fstat(folders.at(wanted)).st_ino == (tmp_path / wanted).stat().st_ino
        assert open_here() <= before + 66
    folders.close()
    assert open_here() == before
    os.close(top)


def test_removing_a_run_leaves_what_its_links_lead_to(host: Host) -> None:
    work = host.root / "runs/old/work"
    (work / "link").symlink_to(host.victim)
    os.link(host.victim / "keep.txt", work / "hard")
    (work / "data").chmod(0)

    run_action(str(host.root), "other", {"remove": ["old"]})

    assert not (host.root / "runs/old").exists()
    assert told(seen_program(), host.victim) == host.before


@pytest.mark.parametrize("name", ["", ".", "..", "../victim", "a/b"])
def test_what_is_no_name_of_a_run_is_not_removed(host: Host, name: str) -> None:
    with pytest.raises(OSError, match="not the name of a run"):
        run_action(str(host.root), "other", {"remove": [name]})
    assert told(seen_program(), host.victim) == host.before


def test_the_user_may_have_made_the_root_a_link(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "large disk")
    run_action(
        str(tmp_path / "root"), "run", {"make": ["home"], "files": {"passwd": "x"}, "marks": {"uses.json": "{}"}}
    )
    assert (tmp_path / "large disk/runs/run/home").is_dir()
    assert (tmp_path / "large disk/runs/run/passwd").read_text() == "x"
    assert (tmp_path / "large disk/marks/run/uses.json").read_text() == "{}"


@pytest.mark.parametrize("odd", ["home", "folder", "runs"])
def test_before_a_run_began_nothing_is_set_aside(host: Host, odd: str) -> None:
    host.place("new")
    at = {"home": host.root / "runs/new/home", "folder": host.root / "runs/new", "runs": host.root / "runs"}[odd]
    if at.exists():
        at.rename(host.root / "elsewhere")
    at.symlink_to(host.root / "elsewhere" if odd != "home" else host.victim)

    with pytest.raises(OddError):
        run_action(str(host.root), "new", {"make": ["home"]})
    assert at.is_symlink()
    assert told(seen_program(), host.victim) == host.before


def test_runs_that_an_earlier_run_made_a_link_holds_no_snapshot_and_is_set_aside(host: Host) -> None:
    (host.root / "runs").rename(host.root / "elsewhere")
    (host.root / "runs").symlink_to(host.victim)

    [aside] = run_action(str(host.root), "new", {"make": ["home"]})

    assert (host.root / aside).is_symlink()
    assert (host.root / "runs/new/home").is_dir()
    assert told(seen_program(), host.victim) == host.before


@pytest.mark.parametrize("odd", ["link", "pipe", "folder"])
def test_a_mark_is_written_through_nothing(host: Host, odd: str) -> None:
    mark = host.root / "marks/old/released.json"
    if odd == "link":
        mark.symlink_to(host.victim / "keep.txt")
    elif odd == "pipe":
        os.mkfifo(mark)
    else:
        (mark / "inner").mkdir(parents=True)
    run_action(str(host.root), "old", {"marks": {"released.json": "{}"}})
    assert mark.read_text() == "{}"
    assert told(seen_program(), host.victim) == host.before


def test_what_is_on_another_disk_is_not_removed(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk")
    shm = os.open("/dev", os.O_RDONLY)
    try:
        with pytest.raises(OddError, match="another disk"):
            open_folder("shm", shm)
    finally:
        os.close(shm)


def test_the_note_of_what_was_placed_is_known_by_its_digest(host: Host) -> None:
    content = (host.root / "marks/old/placed.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == host.taken["placed"]


def test_a_name_that_is_gone_is_removed_already(tmp_path: Path) -> None:
    top = os.open(tmp_path, os.O_RDONLY)
    remove("nothing", top)
    os.close(top)
