"""What tests share may be full: a test that fails then says so, for its failure may say nothing about the code."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.components import places

LITTLE_BYTES = 512 << 20
LITTLE_INODES = 2000
SIGNS = ("No space left on device", "no space left on device", "Disk quota exceeded", "Cannot allocate memory")
TITLE = "what the tests share"
DOCKER_ROOT = Path("/var/lib/docker")


def shared() -> dict[str, Path]:
    """The folders that tests share, by what a person calls them."""
    return {
        "the disk of the temporary folder": Path(tempfile.gettempdir()),
        "the disk of Docker": DOCKER_ROOT,
        "the disk of the base images": places.state(),
        "the disk of the clone": Path(__file__).parent,
    }


def full(folders: dict[str, Path] | None = None) -> list[str]:
    """A sentence for each that has little room left, in bytes or in files."""
    said: dict[int, str] = {}
    for name, folder in (shared() if folders is None else folders).items():
        try:
            found, device = os.statvfs(folder), folder.stat().st_dev
        except OSError:
            continue
        free = found.f_bavail * found.f_frsize
        if free < LITTLE_BYTES:
            said.setdefault(device, f"{name} ({folder}) has {free >> 20} MB left")
        elif found.f_files and found.f_favail < LITTLE_INODES:
            said.setdefault(device, f"{name} ({folder}) has room for {found.f_favail} more files")
    return list(said.values())


def explanation(failure: str, now_full: Iterable[str]) -> str:
    """What to add to a failure: what is full now, or that its own text says that something was; nothing else."""
    lines = [f"{sentence}: this failure may say nothing about the code." for sentence in now_full]
    sign = next((sign for sign in SIGNS if sign in failure), None)
    if not lines and sign is not None:
        lines.append(f"The failure says {sign!r}. What tests share has room now; it may have been full then.")
    return "\n".join(lines)
