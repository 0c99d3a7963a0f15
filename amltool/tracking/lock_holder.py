"""Which process holds the lock of a file, where the kernel tells it, and waiting for one; Python 3.6."""

import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

PROCESSES = "/proc"
LONGEST_COMMAND = 80
LOCKED_S = 30.0
"""How long a lock is waited for that is held for a moment only."""
LOCK_PAUSE_S = 0.01


class HeldError(Exception):
    """A lock was not free in time; says which, and who holds it."""


def pid_of(path: str) -> "Optional[int]":
    """The process that holds the lock (``flock``) of a file. Raises OSError where the kernel does not tell (macOS).

    A line of ``/proc/locks``: ``1: FLOCK ADVISORY WRITE 708 08:01:131 0 EOF`` (man 5 proc_locks).
    """
    found = os.stat(path)
    with open(os.path.join(PROCESSES, "locks")) as stream:
        lines = stream.read().splitlines()
    device = "%02x:%02x:" % (os.major(found.st_dev), os.minor(found.st_dev))
    others = None
    for line in lines:
        words = line.split()
        if len(words) < 6 or words[1] != "FLOCK" or not words[5].endswith(":%d" % found.st_ino):
            continue
        if words[5].startswith(device):
            return int(words[4])
        others = int(words[4])  # some file systems (btrfs, overlay) have another number for the device here
    return others


def described(pid: int) -> "Tuple[str, bool]":
    """The command of a process, in short, and whether it is stopped (Ctrl-Z). Raises OSError where it is gone."""
    folder = os.path.join(PROCESSES, str(pid))
    with open(os.path.join(folder, "cmdline"), "rb") as stream:
        words = [os.fsdecode(word) for word in stream.read().split(b"\0") if word]
    with open(os.path.join(folder, "stat"), "rb") as stream:
        state = stream.read().rpartition(b")")[2].split()[:1]
    return short(words), state in ([b"T"], [b"t"])


def short(words: "List[str]") -> str:
    """A command line in short: ours by the name a user knows it by, and never what follows ``--``."""
    for at, word in enumerate(words):
        if word == "amltool.tasks.background":
            words = ["amltool", "in", "the", "background"]
            break
        if word == "amltool" or word.endswith("/amltool"):
            words = ["amltool", *words[at + 1 :]]
            break
    told = words[: words.index("--")] if "--" in words else words
    text = "".join(each if each.isprintable() else "?" for each in " ".join(told))
    return text if len(text) <= LONGEST_COMMAND else text[: LONGEST_COMMAND - 1] + "…"


def said(path: str) -> str:
    """The holder for people, ``process 708 (amltool clean), which is stopped``; empty where it cannot be told."""
    try:
        pid = pid_of(path)
        if not pid:
            return ""
        command, is_stopped = described(pid)
    except (OSError, ValueError):
        return ""
    return "process %d (%s)%s" % (pid, command, ", which is stopped" if is_stopped else "")


def wait_for(lock: int, kind: int, path: str, what: str) -> None:
    """Wait for a lock that others hold for a moment; where the file system knows none, nothing is waited for.

    Raises HeldError where it is not free in time.
    """
    until = time.monotonic() + LOCKED_S
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                holder = said(path) or "another program"
                raise HeldError("%s was kept locked by %s for %d s" % (what, holder, LOCKED_S)) from None
            time.sleep(LOCK_PAUSE_S)
        except OSError:
            return
