"""A short command is heard to its end. What it prints is held in memory, so it may print only so much."""

import os
import selectors
import subprocess
import time
from typing import Dict, List, Optional, Tuple  # noqa: F401 (types of values stand in comments)

from amltool.hosts.there.answers import BLOCK


class TooMuchError(Exception):
    """The command printed more than may be held of it."""


def heard(
    process: "subprocess.Popen[bytes]", content: bytes, timeout_s: Optional[float], limit: int
) -> Tuple[bytes, bytes]:
    """Feed a command; what it printed and what it complained of, once it has ended.

    As ``Popen.communicate``, but of both streams together no more than ``limit`` bytes are taken, while they come.

    Raises:
        subprocess.TimeoutExpired: it did not end within its time.
        TooMuchError: it printed more.
    """
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - they are pipes
    until = None if timeout_s is None else time.monotonic() + timeout_s
    sink = process.stdin.fileno()
    said = {process.stdout.fileno(): [], process.stderr.fileno(): []}  # type: Dict[int, List[bytes]]
    view = memoryview(content)
    with selectors.DefaultSelector() as selector:
        for handle in said:
            selector.register(handle, selectors.EVENT_READ)
        os.set_blocking(sink, False)
        selector.register(sink, selectors.EVENT_WRITE)
        while selector.get_map():
            for key, _ in selector.select(left_of(process, until)):
                if key.fd == sink:
                    view = fed(sink, view)
                    if not view:
                        selector.unregister(sink)
                        process.stdin.close()
                    continue
                block = os.read(key.fd, BLOCK)
                limit -= len(block)
                if limit < 0:
                    raise TooMuchError
                if block:
                    said[key.fd].append(block)
                else:
                    selector.unregister(key.fd)
    process.wait(left_of(process, until))
    stdout, stderr = (b"".join(blocks) for blocks in said.values())
    return stdout, stderr


def left_of(process: "subprocess.Popen[bytes]", until: Optional[float]) -> Optional[float]:
    """Seconds that a command still has."""
    if until is None:
        return None
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise subprocess.TimeoutExpired(process.args, 0)
    return left_s


def fed(sink: int, view: memoryview) -> memoryview:
    """What a command has still to read after it took some; nothing when it reads no more."""
    try:
        return view[os.write(sink, view[:BLOCK]) :]
    except BlockingIOError:
        return view
    except BrokenPipeError:
        return view[:0]
