"""Give a command line to the tasks in this process, as fast as thousands of them need."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u061c\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""What must not be in anything a task prints."""


class Done(NamedTuple):
    """How a task ended and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr


def run_task(folder: Path, *words: str) -> Done:
    """Run the program's front door in a folder; nothing of this process is changed when it returns."""
    from amltool.tasks import ns
    from amltool.tasks.program import AmltoolProgram

    streams = [_Stream(), _Stream()]
    before = Path.cwd()
    os.chdir(folder)
    try:
        with patch.multiple(sys, stdout=streams[0], stderr=streams[1], argv=["amltool", *words]):
            try:
                AmltoolProgram(ns).run(["amltool", *words])
                exit_code = 0
            except SystemExit as ended:
                exit_code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os.chdir(before)
    return Done(exit_code, *(stream.text() for stream in streams))


class _Stream(io.TextIOWrapper):
    """Text and bytes, with a file behind them for what asks for its number."""

    def __init__(self) -> None:
        super().__init__(tempfile.TemporaryFile(), "utf-8", "backslashreplace", newline="", write_through=True)  # noqa: SIM115

    def text(self) -> str:
        self.flush()
        self.seek(0)
        return self.buffer.read().decode("utf-8", "surrogateescape")


def faults(done: Done, *, allowed: Sequence[int] = (0, 1), own_output: bool = False) -> list[str]:
    """What no command may do, whatever it is given; with ``own_output`` standard output is the user's own."""
    found = []
    if done.exit_code not in allowed:
        found.append(f"exit code {done.exit_code}: {done.stderr[-600:]}")
    if "Traceback" in done.said or "bug of its own" in done.said:
        found.append(f"a bug: {done.stderr[-600:]}")
    harmful = HARMFUL.search(done.stderr if own_output else done.said)
    if harmful:
        found.append(f"{harmful[0]!r} is printed")
    if done.exit_code == 1 and not done.said.strip():
        found.append("nothing is said")
    return found
