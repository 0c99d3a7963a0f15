"""A machine that plays another one: its own root, programs found by their names, a line that counts and can be cut."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from amltool.errors import TargetError
from amltool.hosts.local import LocalHost
from amltool.snapshot import EXECUTABLE_MODE, FILE_MODE, LINK_MODE, SnapshotFile, tree_id


class CountedStream:
    """A command's streams; ``cut_after`` so many bytes the line is gone, as with a pulled cable."""

    def __init__(self, machine: MachineThere, command: Sequence[str]) -> None:
        self._machine = machine
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - goes with the stream
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            cwd="/",
            env={**os.environ, "PATH": str(machine.programs)},
            start_new_session=True,
        )
        self._is_asking = False
        self._is_cut = False

    def read(self, size: int = -1) -> bytes:
        self._require_line()
        if self._is_asking:
            self._machine.round_trips += 1
            self._is_asking = False
        return cast(IO[bytes], self._process.stdout).read(size)

    def write(self, content: bytes) -> None:
        self._is_asking = True
        machine = self._machine
        if machine.cut_after is not None and machine.sent + len(content) > machine.cut_after:
            self._is_cut = True
        self._require_line()
        machine.sent += len(content)
        view = memoryview(content)
        while view:
            view = view[cast(IO[bytes], self._process.stdin).write(view) :]

    def _require_line(self) -> None:
        if self._is_cut:
            raise TargetError("The machine does not answer.", "Try again.")

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close_writing(self) -> None:
        cast(IO[bytes], self._process.stdin).close()

    def wait(self, timeout_s: float | None = None) -> int:
        return self._process.wait(timeout_s)

    def stderr(self) -> bytes:
        self._process.wait(120)
        self._errors.seek(0)
        return self._errors.read()

    def kill(self) -> None:
        """With all that it started, as when the machine's memory ends."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                cast(IO[bytes], stream).close()
        self._process.wait(120)


class MachineThere(LocalHost):
    """``sent``, ``round_trips`` and ``opened`` count what went over the line."""

    def __init__(self, folder: Path, *, has_git: bool = True, python: str = sys.executable) -> None:
        super().__init__(folder / "home" / ".amltool")
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True, exist_ok=True)
        self.sent = self.round_trips = self.opened = 0
        self.cut_after: int | None = None
        self.streams: list[CountedStream] = []
        (self.programs / "python3").symlink_to(Path(python).resolve())
        git = shutil.which("git") if has_git else None
        if git is not None:
            (self.programs / "git").symlink_to(git)

    @property
    def name(self) -> str:
        return "there"

    def open_stream(self, command: Sequence[str]) -> CountedStream:
        self.opened += 1
        program = shutil.which(command[0], path=str(self.programs))
        if program is None:
            raise TargetError(f"There is no {command[0]} on {self.name}.", "Install it.")
        self.streams.append(CountedStream(self, [program, *command[1:]]))
        return self.streams[-1]

    def kill_receivers(self) -> None:
        for stream in self.streams:
            stream.kill()

    def forget_counts(self) -> None:
        self.sent = self.round_trips = self.opened = 0


def tree_on_disk(work: Path) -> str:
    """The id Git gives to what lies in a folder; empty folders are none of it."""
    files = []
    for path in sorted(work.rglob("*")):
        if path.is_symlink():
            content, mode = os.fsencode(path.readlink()), LINK_MODE
        elif path.is_file():
            content, mode = path.read_bytes(), EXECUTABLE_MODE if path.stat().st_mode & 0o100 else FILE_MODE
        else:
            continue
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        files.append(SnapshotFile(str(path.relative_to(work)), mode, blob, len(content)))
    return tree_id(files)
