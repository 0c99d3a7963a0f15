"""A project of an exact number of files and bytes, with a script that does next to nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from surroundings import Surroundings

MEGABYTE = 1024**2
"""As in the limits of a snapshot."""

FOLDERS = 20
SCRIPT = "s.py"
SCRIPT_TEXT = """import os

with open("data/00/0000.bin", "rb") as file:
    content = file.read()
os.makedirs("outputs", exist_ok=True)
with open("outputs/result.bin", "wb") as file:
    file.write((content * (2**20 // len(content) + 1))[: 2**20])
"""
"""Reads a file and writes 1 MB that differs from snapshot to snapshot, as the file it reads is the one that changes."""


@dataclass(slots=True)
class SizedProject:
    """A committed project whose next snapshot differs from the last in one file."""

    folder: Path
    surroundings: Surroundings
    changes: int = 0

    @property
    def changing_file(self) -> Path:
        return self.folder / "data" / "00" / "0000.bin"

    def commit_a_change(self) -> None:
        """Give one file new content of the same size, and commit it."""
        self.changes += 1
        size = self.changing_file.stat().st_size
        self.changing_file.write_bytes(random.Random(f"change {self.changes}").randbytes(size))
        self.surroundings.git(self.folder, "commit", "--quiet", "--all", "--message", f"change {self.changes}").run()


def make_sized_project(surroundings: Surroundings, files: int, megabytes: int, *, packed: bool) -> SizedProject:
    """Make what ``amltool init`` makes, the script, and seeded incompressible files up to ``files`` and ``megabytes``.

    The snapshot has exactly that many files and bytes. Objects not ``packed`` lie loose, as ``git add`` leaves them.
    """
    folder = surroundings.folder / "project"
    folder.mkdir()
    surroundings.git(folder, "init", "--quiet").run()
    (folder / SCRIPT).write_text(SCRIPT_TEXT)
    _commit(surroundings, folder, "a script")
    surroundings.program(folder, "amltool", "init").run()
    _commit(surroundings, folder, "a project")
    sizes = _sizes_of_committed(surroundings, folder)
    _fill(folder / "data", files - len(sizes), megabytes * MEGABYTE - sum(sizes))
    _commit(surroundings, folder, "data")
    if packed:
        surroundings.git(folder, "gc", "--quiet").run()
    return SizedProject(folder, surroundings)


def _commit(surroundings: Surroundings, folder: Path, message: str) -> None:
    surroundings.git(folder, "add", "--all").run()
    surroundings.git(folder, "commit", "--quiet", "--message", message).run()


def _sizes_of_committed(surroundings: Surroundings, folder: Path) -> list[int]:
    listed = surroundings.git(folder, "ls-tree", "-r", "-l", "-z", "HEAD").run()
    return [int(entry.split(b"\t")[0].split()[3]) for entry in listed.split(b"\0") if entry]


def _fill(folder: Path, files: int, size: int) -> None:
    source = random.Random(f"{files} files of {size} bytes")
    for number in range(files):
        place = folder / f"{number % FOLDERS:02}" / f"{number:04}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.randbytes(size // files + (number < size % files)))
