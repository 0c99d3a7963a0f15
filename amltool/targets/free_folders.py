"""Folders of finished runs that the next run of the same project may take over, as their client knows them.

Nothing on a host says which: a run can write there. A clone keeps a file for each, with what it knew of the folder
before the run began; who removes the file has the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from amltool.files import read_regular, write_whole
from amltool.history.journal import PlacedFolder
from amltool.hosts.base import Host
from amltool.layout import LocalLayout


class FreeFolder(msgspec.Struct, frozen=True):
    """The folder of a finished run: whose project's, and what was known of its ``work`` when it was placed."""

    project: str
    placed: PlacedFolder


class FreeFolders:
    """Those of one clone on one host."""

    def __init__(self, layout: LocalLayout, host: Host) -> None:
        name = hashlib.sha256(f"{host.name}:{host.root}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._folder = layout.free_folders(name)

    def add(self, run_id: str, free: FreeFolder) -> None:
        """Offer a folder to the next run.

        Raises:
            OSError: the disk is full.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / run_id, msgspec.json.encode(free))

    def claim(self, project: str) -> tuple[str, PlacedFolder] | None:
        """Take the newest of a project: its run, and what was known of it. No other client gets it any more."""
        for path, free in self._newest_first(project):
            with contextlib.suppress(OSError):
                path.unlink()
                return path.name, free.placed
        return None

    def forget_older(self, project: str, keep: int) -> list[str]:
        """The runs of all but the newest so many folders of a project; they are not offered any more."""
        forgotten = []
        for path, _ in list(self._newest_first(project))[keep:]:
            with contextlib.suppress(OSError):
                path.unlink()
                forgotten.append(path.name)
        return forgotten

    def _newest_first(self, project: str) -> Iterator[tuple[Path, FreeFolder]]:
        try:
            paths = sorted(self._folder.iterdir(), reverse=True)
        except FileNotFoundError:
            return
        for path in paths:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                if not path.name.startswith("."):
                    free = msgspec.json.decode(read_regular(path), type=FreeFolder)
                    if free.project == project:
                        yield path, free
