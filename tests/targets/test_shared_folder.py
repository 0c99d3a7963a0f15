"""The shared folder, which every run can write: its list is one that a record can hold."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from amltool.hosts.base import FileKind, FileOnHost
from amltool.hosts.local import LocalHost
from amltool.targets.shared_folder import list_shared_folder
from amltool.testing.hosts import FakeHost


class Dated(FakeHost):
    """A host whose one file is of any time."""

    def __init__(self, mtime_ns: int) -> None:
        super().__init__()
        self._mtime_ns = mtime_ns

    def walk(self, folder, below=""):  # type: ignore[no-untyped-def]
        yield FileOnHost("x", FileKind.FILE, 1, self._mtime_ns)


@pytest.mark.parametrize("mtime_ns", [1 << 80, -(1 << 62), -(1 << 90), 253402300800 * 10**9])
def test_a_time_that_no_calendar_has_is_left_out(mtime_ns: int) -> None:
    (found,) = list_shared_folder(Dated(mtime_ns), PurePosixPath("/share"), with_hash=False)
    assert (found.path, found.mtime) == ("x", None)


def test_a_usual_time_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    os.utime(tmp_path / "x", (10**9, 10**9))
    (found,) = list_shared_folder(LocalHost(tmp_path), PurePosixPath(tmp_path), with_hash=False)
    assert found.mtime == "2001-09-09T01:46:40.000Z"
