"""Runs that go on, shown in the folder of an artifact store: ``runs/<account>/<workspace>/<project>/<run id>``."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.destination import Destination
from amltool.files import no_space, read_regular
from amltool.layout import BlobLayout
from amltool.run import RUN_ID
from amltool.stores.live import LARGEST_STATE, MovedError

if TYPE_CHECKING:
    from amltool.stores.base import Access

RUNS = "runs"


class LiveFolder:
    """Files that grow by writes at their end; below the store's folder no link is followed.

    A reader on another machine sees them late where its mount says so (NFS: up to a minute by default for names).
    """

    def __init__(self, folder: Path, access: Access) -> None:
        self._destination = Destination(folder, parents=False)
        self._layout = BlobLayout(RUNS, access.account, access.workspace, access.project)

    def publish(self, run_id: str, state: bytes) -> None:
        self._find()
        with self._sentences():
            self._destination.put(self._layout.run_file(run_id).split("/"), [state])

    def state(self, run_id: str) -> bytes | None:
        with contextlib.suppress(OSError):
            return read_regular(self._path(self._layout.run_file(run_id)), LARGEST_STATE)
        return None

    def runs(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._sentences():
            names = [each.name for each in self._path(self._layout.folder).iterdir()]
            return sorted(filter(RUN_ID.fullmatch, names), reverse=True)
        return []

    def append(self, run_id: str, path: str, position: int, content: bytes) -> int:
        parts = self._parts(run_id, path)
        self._find()
        with self._sentences():
            length = self._length(parts)
            if length is None and position == 0:
                self._destination.put(parts, [content])
            elif length != position:
                raise MovedError(length or 0)
            else:
                self._destination.write_at(parts, content, position)
        return position + len(content)

    def lengths(self, run_id: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for folder, _, names in os.walk(self._path(self._layout.live(run_id))):
            for path in (Path(folder, name) for name in names):
                file = self._layout.live_file(run_id, path.relative_to(self._destination.folder).as_posix())
                with contextlib.suppress(OSError):  # it is gone meanwhile
                    state = path.lstat()
                    if file is not None and stat.S_ISREG(state.st_mode):
                        found[file[0]] = state.st_size
        return found

    def read(self, run_id: str, path: str, position: int, most: int) -> bytes:
        parts = self._parts(run_id, path)
        with contextlib.suppress(FileNotFoundError), self._sentences(), self._destination.reading(parts) as stream:
            stream.seek(position)
            return stream.read(most)
        return b""

    def restart(self, run_id: str, path: str) -> None:
        with self._sentences():
            self._path(self._layout.live_part(run_id, path)).unlink(missing_ok=True)

    def finish(self, run_id: str) -> None:
        with self._sentences(), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._path(self._layout.live(run_id)))

    def remove(self, run_id: str) -> None:
        with self._sentences(), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._path(self._layout.run_file(run_id)).parent)

    def _find(self) -> None:
        """Make the folder, but not the one it lies in: that is the place of a disk that is not mounted."""
        try:
            self._destination.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise no_space(error, self._destination.folder) from error

    def _path(self, name: str) -> Path:
        return self._destination.folder / name

    def _parts(self, run_id: str, path: str) -> list[str]:
        return self._layout.live_part(run_id, path).split("/")

    def _length(self, parts: list[str]) -> int | None:
        with contextlib.suppress(FileNotFoundError), self._destination.reading(parts) as stream:
            return stream.seek(0, 2)
        return None

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise no_space(error, self._destination.folder) from error
