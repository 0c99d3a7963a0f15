"""What the processes of a run, and its own end, are known by: made of a key that only its clone has.

The folder of a run says who its processes are and how it ended, but the run can write there. What is made here goes to
the bootstrap over its standard input, and can be made again by any later process of this clone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from functools import cache
from pathlib import Path

import msgspec

from amltool.files import no_space
from amltool.layout import LocalLayout
from amltool.tracking.processes import LEAST_MARK

KEY_SIZE = 32
"""In bytes."""


class RunMarks(msgspec.Struct, frozen=True):
    """``mark``: a number (a limit that limits nothing) on each process of a run; ``proof``: a word that its bootstrap
    puts into the end that it writes."""

    mark: int
    proof: str


def marks_of(layout: LocalLayout, run_id: str) -> RunMarks:
    """Those of a run of this clone.

    Raises:
        UserError: the key of the clone cannot be read or made.
    """
    try:
        key = _key(layout.key)
    except OSError as error:
        raise no_space(error, layout.key) from error
    made = hashlib.blake2b(run_id.encode(), key=key, digest_size=39).digest()
    return RunMarks(LEAST_MARK + int.from_bytes(made[:7], "big"), made[7:].hex())


@cache
def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) == KEY_SIZE:
        return key
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # of two that make it at once, the second takes what the first made
        key = os.pread(handle, KEY_SIZE, 0)
        if len(key) != KEY_SIZE:
            key = os.urandom(KEY_SIZE)
            os.pwrite(handle, key, 0)
            os.fsync(handle)
    finally:
        os.close(handle)
    return key
