"""The bytes of a file as soon as there are any."""

import os
import time
from typing import Optional  # noqa: F401 (types of values stand in comments)

from amltool.hosts.there.answers import Answer
from amltool.hosts.there.tree import check_regular, open_below

GATHER_S = 0.02
"""What follows the first bytes so soon comes with them."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.04


def read_soon(answer: Answer, path: bytes, offset: int, limit: int, until: bytes, wait_s: float) -> None:
    """Up to ``limit`` bytes from an offset on: as soon as there are some, none when the time is over.

    ``is_all`` says that these were the last: something lay at ``until`` before they were read.
    """
    begun, pause_s = time.monotonic(), FIRST_PAUSE_S
    seen = None  # type: Optional[float]
    while True:
        is_over = os.path.lexists(until)
        content = read_at(path, offset, limit)
        now = time.monotonic()
        if content and seen is None:
            seen, pause_s = now, FIRST_PAUSE_S
        has_gathered = seen is not None and (now - seen >= GATHER_S or len(content) == limit)
        if is_over or has_gathered or now - begun >= wait_s:
            answer.end(content, is_all=is_over and len(content) < limit)
            return
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)


def read_at(path: bytes, offset: int, limit: int) -> bytes:
    try:
        handle = open_below(*os.path.split(path))
    except FileNotFoundError:
        return b""
    try:
        check_regular(handle)
        return os.pread(handle, limit, offset)
    finally:
        os.close(handle)
