"""Placing: exactly the snapshot's bytes, and of a used folder only what differs is written."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from amltool.git.command import Git, scrubbed_environment
from amltool.git.trees import list_tree
from amltool.tracking.placing import File, GitCommand, Large, PlacingError, place, remove_tree
from amltool.tracking.run_folders import Root, open_run
from tests.repositories import commit_all, git, make_repository, write_files


class Placed:
    def __init__(self, repository: Path, folder: Path) -> None:
        self.repository = repository
        self.work = folder / "runs/R/work"
        self.note = folder / "marks/R/placed.json"

    def place(self, commit: str = "HEAD") -> tuple[int, int]:
        found = Git.at(self.repository)
        entries = list_tree(found, git(self.repository, "rev-parse", commit), "")
        files = [(file.path, file.mode, file.object_id, file.size) for file in entries]
        command = (["git", f"--git-dir={found.git_dir}"], scrubbed_environment())
        return self.place_files(files, command)

    def place_files(
        self, files: list[File], command: GitCommand, large: dict[str, Large] | None = None
    ) -> tuple[int, int]:
        """Files and bytes that were written."""
        with Root(str(self.note.parents[2])) as root:
            opened = open_run(root, self.note.parent.name)
            done = place(opened.work, opened.placed, files, command, large)
        return done.files, done.bytes

    def tree(self) -> str:
        """The id Git gives to what lies in the folder."""
        scratch = self.note.parent / "scratch"
        if not scratch.exists():
            make_repository(scratch)
        environment = {**scrubbed_environment(), "GIT_DIR": str(scratch / ".git"), "GIT_WORK_TREE": str(self.work)}
        import subprocess

        (scratch / ".git/info/attributes").write_text("* -text -ident -filter -eol\n")
        subprocess.run(["git", "add", "-A", "-f"], env=environment, cwd=self.work, check=True)
        return subprocess.check_output(["git", "write-tree"], env=environment, cwd=self.work, text=True).strip()


FILES = {"a.txt": "a\n", "run.sh": "#!/bin/sh\n", "d/e/f.bin": bytes(range(256)) * 50, "empty": "", "d/g": "g\r\n"}


@pytest.fixture
def placed(tmp_path: Path) -> Placed:
    repository = make_repository(tmp_path / "repository", FILES)
    (repository / "link").symlink_to("d/g")
    write_files(repository, {".gitattributes": "*.txt text eol=crlf\n* ident\n"})
    commit_all(repository)
    (tmp_path / "run").mkdir()
    return Placed(repository, tmp_path / "run")


def test_the_folder_is_the_tree_to_the_byte(placed: Placed) -> None:
    placed.place()
    assert placed.tree() == git(placed.repository, "rev-parse", "HEAD^{tree}")
    assert os.access(placed.work / "run.sh", os.X_OK)
    assert (placed.work / "link").is_symlink()


def test_a_second_placing_writes_nothing(placed: Placed) -> None:
    placed.place()
    assert placed.place() == (0, 0)


def test_only_what_a_commit_changed_is_written(placed: Placed) -> None:
    placed.place()
    write_files(placed.repository, {"a.txt": "changed\n"})
    (placed.repository / "empty").unlink()
    commit_all(placed.repository)
    assert placed.place() == (1, len("changed\n"))
    assert placed.tree() == git(placed.repository, "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_script_did_to_the_folder_is_put_right(placed: Placed, seed: int) -> None:
    placed.place()
    generator = random.Random(seed)
    for _ in range(generator.randrange(1, 8)):
        spoil(placed.work, generator)
    placed.place()
    assert placed.tree() == git(placed.repository, "rev-parse", "HEAD^{tree}")


def spoil(work: Path, generator: random.Random) -> None:
    """One thing a script may do to its folder."""
    files = sorted(path for path in work.rglob("*") if not path.is_symlink() and path.is_file())
    chosen = generator.choice(files) if files else work / "a.txt"
    action = generator.randrange(8)
    if action == 0 and chosen.exists():
        content = bytearray(chosen.read_bytes() or b"x")
        content[0] ^= 1  # same size, and the times put back as they were
        times = chosen.stat()
        chosen.write_bytes(bytes(content))
        os.utime(chosen, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif action == 1 and chosen.exists():
        chosen.unlink()
    elif action == 2:
        (work / "new" / "deep").mkdir(parents=True, exist_ok=True)
        (work / "new" / "deep" / "x").write_text("x")
    elif action == 3 and chosen.exists():
        chosen.chmod(0o600 if chosen.stat().st_mode & 0o100 else 0o755)
    elif action == 4 and chosen.exists():
        chosen.unlink()
        chosen.symlink_to("/etc/hostname")
    elif action == 5 and chosen.exists():
        chosen.unlink()
        chosen.mkdir()
        (chosen / "inside").write_text("x")
    elif action == 6 and (work / "d").is_dir() and not (work / "d").is_symlink():
        (work / "d").chmod(0o555)
    elif action == 7 and not (work / "pipe").exists():
        os.mkfifo(work / "pipe")


def test_a_folder_replaced_by_a_link_is_not_written_through(placed: Placed, tmp_path: Path) -> None:
    placed.place()
    remove_tree(str(placed.work / "d"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (placed.work / "d").symlink_to(outside)
    placed.place()
    assert list(outside.iterdir()) == []
    assert placed.tree() == git(placed.repository, "rev-parse", "HEAD^{tree}")


def test_a_damaged_or_missing_note_only_means_more_work(placed: Placed) -> None:
    count, _ = placed.place()
    for spoiled in (b"{", b"[]", b'{"v":1,"tick":"x","files":[[1]]}', b""):
        placed.note.write_bytes(spoiled)
        assert placed.place()[0] == count


def test_a_damaged_object_is_found(placed: Placed) -> None:
    object_id = git(placed.repository, "rev-parse", "HEAD:a.txt")
    other = git(placed.repository, "hash-object", "-w", "--stdin", input=b"b\n")
    objects = placed.repository / ".git/objects"
    (objects / object_id[:2] / object_id[2:]).chmod(0o644)
    (objects / object_id[:2] / object_id[2:]).write_bytes((objects / other[:2] / other[2:]).read_bytes())
    with pytest.raises(PlacingError, match="damaged"):
        placed.place()


def test_a_missing_object_is_named(placed: Placed) -> None:
    entries = [("a.txt", 0o100644, "0" * 39 + "1", 3)]
    with pytest.raises(PlacingError, match=r"missing.*repository"):
        placed.place_files(entries, (["git", f"--git-dir={placed.repository / '.git'}"], None))


def test_names_that_are_one_on_this_file_system_are_refused(placed: Placed) -> None:
    object_id = git(placed.repository, "rev-parse", "HEAD:a.txt")
    entries = [("twice", 0o100644, object_id, 2), ("twice", 0o100644, object_id, 2)]
    with pytest.raises(PlacingError, match="twice"):
        placed.place_files(entries, (["git", f"--git-dir={placed.repository / '.git'}"], None))


def test_git_lfs_content_is_placed_and_checked(placed: Placed, tmp_path: Path) -> None:
    import hashlib

    content = tmp_path / "content"
    content.write_bytes(b"large" * 1000)
    good = (str(content), hashlib.sha256(content.read_bytes()).hexdigest(), 5000)
    entries = [("model.bin", 0o100644, "0" * 40, 130)]
    command: GitCommand = (["git", f"--git-dir={placed.repository / '.git'}"], None)
    placed.place_files(entries, command, {"model.bin": good})
    assert (placed.work / "model.bin").read_bytes() == content.read_bytes()
    (placed.work / "model.bin").unlink()
    with pytest.raises(PlacingError, match="LFS content"):
        placed.place_files(entries, command, {"model.bin": (good[0], "0" * 64, 5000)})


def test_a_tree_of_any_modes_and_depth_can_be_removed(tmp_path: Path) -> None:
    deep = tmp_path / "tree"
    for _ in range(400):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (tmp_path / "tree" / "d" / "locked").mkdir(mode=0o000)
    (tmp_path / "tree" / "to").symlink_to(tmp_path)
    remove_tree(str(tmp_path / "tree"))
    assert list(tmp_path.iterdir()) == []
