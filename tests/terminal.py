"""Run the real `amltool` at a terminal of its own, with somebody who types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

CTRL_C = "\x03"
TOP = str(Path(__file__).parents[1])
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@dataclass(frozen=True, slots=True)
class Typed:
    """What a terminal showed, how the command ended, and all command lines of its session while it ran."""

    screen: str
    exit_code: int
    command_lines: str


def at_terminal(folder: Path, *arguments: str, answers: tuple[tuple[str, str], ...] = ()) -> Typed:
    """Run a task at a terminal, typing an answer to each prompt as it shows; keeps all command lines there were."""
    near, far = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, "-m", "amltool", *arguments],
        cwd=folder,
        env={"PYTHONPATH": TOP, **os.environ},
        stdin=far,
        stdout=far,
        stderr=far,
        start_new_session=True,
    )
    os.close(far)
    left, screen, seen, lines = list(answers), b"", 0, ""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if select.select([near], [], [], 0.05)[0]:
            try:
                block = os.read(near, 1 << 16)
            except OSError:
                break
            if not block:
                break
            screen += block
        if left and left[0][0].encode() in screen[seen:]:
            seen, text = len(screen), left.pop(0)[1]
            if text != CTRL_C:
                wait_for_silence(near, text)
            os.write(near, text.encode() if text == CTRL_C else f"{text}\n".encode())
        lines += command_lines(process.pid)
    os.close(near)
    return Typed(screen.decode(), process.wait(120), lines)


def wait_for_silence(terminal: int, text: str) -> None:
    """A password is typed when the echo is off, as a person does who sees the prompt."""
    until = time.monotonic() + 60
    while text != "yes" and text != "no" and termios.tcgetattr(terminal)[3] & termios.ECHO:
        assert time.monotonic() < until, "the terminal would show the password"
        time.sleep(0.01)


def command_lines(session: int) -> str:
    """Of all processes of a session that there are now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session:
                found.append((folder / "cmdline").read_bytes().decode())
        except OSError:
            continue
    return "\n".join(found)
