"""Random sequences of what Git and its users do: the snapshot is what plain Git would have committed, at every door.

The oracle knows nothing of ours but the ignore file's reading: ``git add -A && git write-tree`` in a copy.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amltool.commands.checking import check
from amltool.commands.checks.subject import open_subject
from amltool.commands.opening import open_project
from amltool.git.command import Git
from amltool.git.snapshots import take
from amltool.git.survey import survey
from amltool.hooks.checks import Options, check_limits
from amltool.ignore import IGNORE_FILES, IgnoreFile, select
from amltool.limits import Profile
from amltool.snapshot import SUBMODULE_MODE
from tests.repositories import commit_all, git, make_repository, state_of, write_files

NAMES = (
    "a.txt",
    "b.csv",
    "d",
    "d/x.txt",
    "d/y.bin",
    "d/e/z.txt",
    "B.csv",
    "ü n.txt",
    os.fsdecode(b"\xff.txt"),
    "*.txt",
)
LIMITS = '[tool.amltool.limits]\nmax_files = 9\nmax_size = "600 B"\nwarn_size = "300 B"\n'
OF_LIMITS = ("size", "files", "link-out", "logs-file")
SETTINGS = (
    ("core.fileMode", "false"), ("core.autocrlf", "input"), ("core.ignoreCase", "true"), ("core.quotePath", "true"),
    ("status.showUntrackedFiles", "no"), ("status.renames", "copies"), ("diff.ignoreSubmodules", "all"),
    ("submodule.lib.ignore", "all"), ("core.untrackedCache", "true"), ("index.version", "4"),
)  # fmt: skip


class Hand:
    """Does to a repository what its users do, in an order that a seed decides."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.done: list[str] = []

    def git(self, *arguments: str) -> None:
        """A command that may fail: a user tries much."""
        subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, env={**os.environ, **LITERAL})

    def content(self) -> str:
        return "".join(self.random.choice(("one\n", "two\n", "three\n")) for _ in range(self.random.randrange(9)))

    def act(self) -> None:
        action: Callable[[str], None] = self.random.choice(ACTIONS)
        name = self.random.choice(NAMES)
        self.done.append(f"{action.__name__} {name!r}")
        action(self, name)  # type: ignore[call-arg, arg-type]

    def clear(self, name: str) -> Path:
        place = self.folder / name
        for above in list(place.relative_to(self.folder).parents)[-2::-1]:
            if (self.folder / above).is_symlink() or (self.folder / above).is_file():
                (self.folder / above).unlink()
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def write(self, name: str) -> None:
        self.clear(name).write_text(self.content())

    def delete(self, name: str) -> None:
        self.clear(name)

    def link(self, name: str) -> None:
        self.clear(name).symlink_to(self.random.choice(("a.txt", "nowhere", "d", "/etc/hostname")))

    def make_executable(self, name: str) -> None:
        if (self.folder / name).is_file() and not (self.folder / name).is_symlink():
            (self.folder / name).chmod(0o755)

    def add(self, name: str) -> None:
        self.git("add", "-f", "--", name)

    def add_all(self, _: str) -> None:
        self.git("add", "-u")

    def announce(self, name: str) -> None:
        self.git("add", "-f", "-N", "--", name)

    def forget(self, name: str) -> None:
        self.git("rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", name)

    def forget_and_ignore(self, name: str) -> None:
        self.forget(name)
        self.ignore(name)

    def ignore(self, name: str) -> None:
        self._append(self.random.choice((".gitignore", ".git/info/exclude")), name)

    def leave_out(self, name: str) -> None:
        self._append(self.random.choice((".amlignore", ".amlignore", "d/.amlignore")), name)

    def ignore_ignore_file(self, _: str) -> None:
        self._append(".gitignore", ".amlignore")

    def _append(self, file: str, name: str) -> None:
        place = self.folder / file
        if not place.parent.is_dir() or place.parent.is_symlink():
            self.clear(file)
        with place.open("ab") as stream:
            stream.write(b"/" + os.fsencode(name.replace("*", "\\*")) + b"\n")

    def hide(self, name: str) -> None:
        self.git("update-index", self.random.choice(("--assume-unchanged", "--skip-worktree")), "--", name)

    def make_sparse(self, _: str) -> None:
        self.git("sparse-checkout", "set", "--no-cone", "/*", "!/d/")

    def rename(self, name: str) -> None:
        self.git("mv", "-f", "--", name, self.random.choice(("renamed.txt", "A.TXT", "d/moved")))

    def commit(self, _: str) -> None:
        self.git("commit", "-q", "-m", "more", "--allow-empty")

    def configure(self, _: str) -> None:
        self.git("config", *self.random.choice(SETTINGS))

    def edit_submodule(self, name: str) -> None:
        if (self.folder / "lib/.git").exists():
            (self.folder / "lib" / Path(name).name).write_text(self.content())

    def commit_submodule(self, name: str) -> None:
        if (self.folder / "lib/.git").exists():
            self.edit_submodule(name)
            subprocess.run(["git", "add", "-A"], cwd=self.folder / "lib", check=True)
            subprocess.run(["git", "commit", "-q", "-m", "x", "--allow-empty"], cwd=self.folder / "lib", check=True)

    def nest(self, _: str) -> None:
        if not (self.folder / "nested").exists():
            make_repository(self.folder / "nested", {"n.txt": "n"})

    def run_before(self, _: str) -> None:
        write_files(self.folder, {"outputs/model.bin": self.content(), "logs/old.log": "x"})


LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
ACTIONS: tuple[Any, ...] = (
    Hand.write, Hand.write, Hand.write, Hand.delete, Hand.link, Hand.make_executable, Hand.add, Hand.add, Hand.add_all,
    Hand.announce, Hand.forget, Hand.forget_and_ignore, Hand.ignore, Hand.leave_out, Hand.ignore_ignore_file, Hand.hide,
    Hand.make_sparse, Hand.rename, Hand.commit, Hand.commit, Hand.configure, Hand.edit_submodule, Hand.commit_submodule,
    Hand.nest, Hand.run_before,
)  # fmt: skip


Entries = dict[str, tuple[int, str, int]]
"""Mode, blob id and size of each file."""


def made_by_git(repository: Path, copy: Path) -> tuple[Entries, str | None] | None:
    """What ``git add -A && git write-tree`` makes in a copy, less the ignore rules; and the ignore file that rules.

    ``None`` where Git adds nothing, for two names differ in case only and ``core.ignoreCase`` is set.
    """
    shutil.copytree(repository, copy, symlinks=True)
    added = subprocess.run(["git", "add", "-A", "--sparse"], cwd=copy, capture_output=True)
    if added.returncode:
        assert b"will not add file alias" in added.stderr
        return None
    git(copy, "update-index", "--force-remove", "nested")
    whole = listed(copy, git(copy, "write-tree"))
    ruling = next((name for name in IGNORE_FILES if name in whole), None)
    rules = None
    if ruling is not None:
        content = subprocess.run(["git", "cat-file", "blob", whole[ruling][1]], cwd=copy, capture_output=True).stdout
        rules = IgnoreFile(ruling, content)
    kept = select(whole, rules, Profile.SDK).included
    entries: Entries = {}
    for path in kept:
        mode, object_id, size = whole[path]
        if mode != SUBMODULE_MODE:
            entries[path] = (mode, object_id, size)
            continue
        inner = listed(copy / path, object_id)
        expanded = {f"{path}/{name}": entry for name, entry in inner.items()}
        entries.update((name, expanded[name]) for name in select(expanded, rules, Profile.SDK).included)
    return entries, ruling


def listed(folder: Path, tree: str) -> Entries:
    entries: Entries = {}
    for line in git(folder, "ls-tree", "-r", "-l", "-z", "--full-tree", tree).split("\0"):
        if line:
            header, _, path = line.partition("\t")
            mode, _, object_id, size = header.split()
            entries[path] = (int(mode, 8), object_id, 0 if size == "-" else int(size))
    return entries


def make(tmp_path: Path, seed: int) -> Hand:
    library = make_repository(tmp_path / "library", {"lib.py": "v1\n"})
    folder = make_repository(tmp_path / "project", {"a.txt": "one\n", "d/x.txt": "x\n", "d/y.bin": "y\n"})
    write_files(folder, {"pyproject.toml": LIMITS, "d/e/z.txt": "z\n", "b.csv": "b\n", "*.txt": "star\n"})
    if seed % 2:  # then what Git ignores and what a snapshot leaves out differ
        write_files(folder, {".amlignore": "/never\n"})
    git(folder, "submodule", "--quiet", "add", str(library), "lib")
    commit_all(folder)
    hand = Hand(folder, seed)
    for _ in range(hand.random.randrange(4, 14)):
        hand.act()
    if seed % 4 == 1:  # chance alone seldom leaves a forgotten file that is still there at the end
        hand.forget_and_ignore("b.csv")
        hand.write("b.csv")
    return hand


def weight(document: dict[str, Any]) -> tuple[Any, ...]:
    """What a door says: size, number of files, the limits and other facts of a commit that are not kept."""
    problems = {each["id"]: each["level"] for each in document["problems"] if each["id"] in OF_LIMITS}
    return document["size"], document["files"], document["ignore_file"], problems


def test_the_snapshot_is_what_git_would_commit_and_every_door_says_the_same(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = make(tmp_path, seed)
    repository, story = hand.folder, "\n".join(hand.done)
    made = made_by_git(repository, tmp_path / "copy")
    if made is None:
        return
    expected, ruling = made
    before = state_of(repository)

    found = survey(Git.at(repository), "", ".", Profile.SDK)
    seen = {"now": check(open_project(repository), paths=True)}
    refused = [each for each in found.notices if each.level.value == "error"]
    snapshot = None if refused else take(Git.at(repository), found)

    assert state_of(repository) == before, story
    assert set(found.sizes) == set(expected), story
    assert {each.id for each in refused} <= {"link-out"}, story
    if snapshot is not None:
        placed = {file.path: (file.mode, file.object_id, file.size) for file in snapshot.files}
        assert placed == expected, story
        seen["commit"] = check(open_project(repository), commit=snapshot.commit)

    committed = tmp_path / "copy"  # its index is what the next commit holds
    monkeypatch.chdir(committed)
    seen["staged"] = check(open_project(committed), staged=True)
    seen["pre-commit"] = dict(check_limits(open_subject(), Options(json=True)).weighed)
    size, files = sum(each[2] for each in expected.values()), len(expected)
    for door, document in seen.items():
        assert weight(document)[:3] == (size, files, ruling), f"{door}\n{story}"
        assert weight(document) == weight(seen["now"]), f"{door}\n{story}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    tortured = [pytest.param(seed, marks=pytest.mark.torture) for seed in range(40, 540)]
    metafunc.parametrize("seed", [*range(40), *tortured])
