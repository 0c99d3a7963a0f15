"""Walk folders in which processes are at work: what goes meanwhile is passed over (`Path.rglob` fails of it)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Iterable, Iterator
from pathlib import Path


def paths_below(*folders: Path, without: Container[str] = ()) -> Iterator[Path]:
    """All files and folders below these, and no link is followed; what has a name of ``without`` is left out whole."""
    for top in folders:
        for place, inner, names in os.walk(top):
            inner[:] = [name for name in inner if name not in without]
            yield from (Path(place, name) for name in (*inner, *names) if name not in without)


def files_below(*folders: Path) -> Iterator[Path]:
    """Regular files below these."""
    return (path for path in paths_below(*folders) if path.is_file() and not path.is_symlink())


def contents(paths: Iterable[Path]) -> Iterator[bytes]:
    """What files hold, of those that are there and can be read."""
    for path in paths:
        with contextlib.suppress(OSError):
            yield path.read_bytes()
