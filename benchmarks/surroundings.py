"""Where measuring happens: a disk of its own, an installed amltool, a home that is not the developer's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring import DONE, BenchmarkError, Command

REPOSITORY = Path(__file__).resolve().parent.parent
GITCONFIG = """[user]
\tname = Ada
\temail = ada@example.org
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[maintenance]
\tauto = false
[advice]
\tdetachedHead = false
"""
"""``gc.auto = 0``: a collection in the background would be measured with whatever runs at that moment."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A folder on the disk to measure on, what that disk is, and the ``bin`` folder of an installed amltool."""

    folder: Path
    disk: str
    programs: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables: this HOME, and ``python``, ``invoke`` and ``amltool`` of the installed amltool."""
        return {
            "HOME": str(self.home),
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def program(self, folder: Path, name: str, *arguments: str, exit_codes: frozenset[int] = DONE) -> Command:
        """A command that is installed beside amltool: ``amltool``, ``invoke`` or ``python``."""
        return Command((str(self.programs / name), *arguments), folder, self.environment, exit_codes)

    def git(self, folder: Path, *arguments: str) -> Command:
        return Command(("git", *arguments), folder, self.environment)


@contextmanager
def installed(repository: Path = REPOSITORY) -> Iterator[Path]:
    """amltool as a user has it: a wheel, installed in a fresh virtual environment, compiled by pip."""
    with tempfile.TemporaryDirectory(prefix="amltool-installed-") as folder:
        python = Path(folder) / "bin" / "python"
        for arguments in (
            (sys.executable, "-m", "venv", folder),
            (
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                f"{repository}[docker,ssh]",
            ),
        ):
            Command(arguments, Path(folder), os.environ).run()
        yield python.parent


@contextmanager
def surroundings(programs: Path, gigabytes: int) -> Iterator[Surroundings]:
    """A fresh ext4 on a loop device where that is allowed, else a temporary folder; with an empty home."""
    with tempfile.TemporaryDirectory(prefix="amltool-benchmark-") as scratch, _disk(Path(scratch), gigabytes) as made:
        folder, disk = made
        found = Surroundings(folder, disk, programs)
        found.home.mkdir()
        (found.home / ".gitconfig").write_text(GITCONFIG)
        yield found


@contextmanager
def _disk(scratch: Path, gigabytes: int) -> Iterator[tuple[Path, str]]:
    folder = scratch / "disk"
    folder.mkdir()
    reason = _mount(scratch / "disk.ext4", folder, gigabytes)
    if reason:
        yield folder, f"a temporary folder ({reason})"
        return
    try:
        yield folder, f"a fresh ext4 of {gigabytes} GB on a loop device"
    finally:
        _unmount(folder)


def _mount(image: Path, folder: Path, gigabytes: int) -> str:
    """Mount a new ext4; gives the reason where that cannot be done."""
    if os.geteuid() != 0:
        return "a loop-mounted ext4 needs root"
    if not (shutil.which("mkfs.ext4") and shutil.which("mount")):
        return "mkfs.ext4 is not installed"
    with image.open("wb") as file:
        file.truncate(gigabytes * 1024**3)
    # Nothing of the file system is left to be initialised while something is measured.
    eager = "lazy_itable_init=0,lazy_journal_init=0"
    for arguments in (
        ("mkfs.ext4", "-q", "-F", "-E", eager, str(image)),
        ("mount", "-o", "loop,noatime", str(image), str(folder)),
    ):
        done = subprocess.run(arguments, capture_output=True, text=True)
        if done.returncode != 0:
            return f"{arguments[0]}: {(done.stderr.strip().splitlines() or ['failed'])[0]}"
    shutil.rmtree(folder / "lost+found")
    return ""


def _unmount(folder: Path) -> None:
    for _ in range(50):
        done = subprocess.run(("umount", str(folder)), capture_output=True, text=True)
        if done.returncode == 0:
            return
        time.sleep(0.2)
    raise BenchmarkError(f"{folder} stays mounted: {done.stderr.strip()}\nUnmount it by hand.")
