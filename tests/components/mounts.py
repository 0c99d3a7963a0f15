"""Folders with mounts, processes and network interfaces of a daemon in them, removed without a trace (Linux)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def found(program: str) -> str | None:
    """The path of a system program, also where the user's PATH has no ``sbin``."""
    return shutil.which(program, path=SYSTEM_PATH)


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted at or below a folder, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = [line.split()[4].decode("unicode_escape") for line in lines]
    below = f"{folder.resolve()}/"
    for point in sorted((p for p in points if f"{p}/".startswith(below)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names a folder; one that is over and not yet reaped has none."""
    named = os.fsencode(folder)
    process_ids = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if named in line.read_bytes() and int(line.parent.name) != os.getpid():
                process_ids.append(int(line.parent.name))
    return process_ids


def kill(process_ids: list[int], patience_s: float = 10) -> None:
    """Kill processes, and wait until they are gone."""
    for process_id in process_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    until = time.monotonic() + patience_s
    while any(is_alive(each) for each in process_ids) and time.monotonic() < until:
        time.sleep(0.02)


def is_alive(process_id: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def remove(folder: Path) -> None:
    """Remove a folder and all that is mounted in it (what is mounted is left as it is)."""
    unmount_below(folder)
    if any(f" {folder.resolve()}/" in line for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        raise OSError(f"something is still mounted below {folder}: it is not removed")
    shutil.rmtree(folder, ignore_errors=True)
