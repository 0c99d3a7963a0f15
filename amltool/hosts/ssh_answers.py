"""What a host answers to a request, part by part: as much is taken of it as can have been asked for, and no more.

A machine may be broken, or somebody else's. What it sends is counted as it comes, before it is kept; whoever waits for
an answer that has become too large hears of it in a sentence, and the rest goes nowhere.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator

from amltool.errors import TargetError
from amltool.hosts.ssh_failures import error_of, lost, too_much, understood
from amltool.hosts.there.answers import BLOCK, Header

LARGEST_HEADER = 1 << 16
"""Of an honest one: the errors of 500 pieces, of 40 bytes each, or a path of 4 KB that JSON makes six times as long."""
LARGEST_BODY = 2 << 20
"""Of one part of an answer: some pieces (a block and the largest piece), or 500 entries of a walk (`there.operations`
sends fewer where their paths are long)."""
PART = 160
"""Bytes that a part takes in memory beside what is in it."""
LARGEST_RESULT = 8 << 20
"""What a small program tells, or the names in a folder: 30,000 run folders, where a project keeps three; or 100,000
names. In Python's own values it may be 25 times as much, which is why it is not more."""
LARGEST_OUTPUT = 16 << 20
"""Output and complaints of a short command: the longest that we ask for are the packages of an environment (some
100 KB) and where 200 links lead (2 MB, were every path as long as Linux allows)."""
LARGEST_FILE = 128 << 20
"""A file that is read whole into memory: a record of amltool's, or a console that somebody wants whole. What is
collected is never read that way."""
MOST_FILES = 2_000_000
"""Files, folders and links below one folder. A snapshot has 2,000 (docs/limits.md), and outputs seldom more; a shared
folder may hold a data set such as ImageNet, 1.3 million images."""
LARGEST_WALK = MOST_FILES * 128
"""Bytes that tell of them: 60 and the path, for each."""


def most_for(size: int) -> int:
    """The most that an answer with so many bytes of content takes, whose parts are blocks."""
    return size + (size // BLOCK + 1) * 2 * PART + LARGEST_HEADER


MOST_WITHOUT = most_for(0)
"""An answer that says no more than that something is done, or why not."""


class Pending:
    """The answer to a request; ``most`` bytes are taken, `PART` of them for each part of it."""

    def __init__(self, address: str, most: int = MOST_WITHOUT) -> None:
        self._address = address
        self._left = most
        self._is_over = False
        self._parts: queue.SimpleQueue[tuple[bytes, bytes, bool] | TargetError] = queue.SimpleQueue()
        self._is_whole = threading.Event()

    def wait(self, timeout_s: float) -> bool:
        """Whether within this time all of it was here."""
        return self._is_whole.wait(timeout_s)

    def put(self, header: bytes, body: bytes, *, is_last: bool) -> None:
        """One part more. It is kept as it came: what JSON makes of a hostile header is larger by far."""
        if self._is_over:
            return
        self._left -= len(header) + len(body) + PART
        if self._left < 0:
            self._fail(too_much(self._address))
            return
        self._parts.put((header, body, is_last))
        if is_last:
            self._is_whole.set()

    def lose(self) -> None:
        """Nothing more comes: the connection ended."""
        self._fail(lost(self._address))

    def forget(self) -> None:
        """Nobody waits for the rest of it."""
        self._is_over = True

    def parts(self) -> Iterator[tuple[Header, bytes]]:
        """Every part, as it comes.

        Raises:
            OSError: what the operation came to there.
            TargetError: it failed there, or the host said more than it can have been asked for.
            LostError: the connection ended first.
        """
        while True:
            part = self._parts.get()
            if isinstance(part, TargetError):
                raise part
            text, body, is_last = part
            with understood(self._address):
                header = json.loads(text)
            if "errno" in header:
                raise error_of(str(header["errno"]), str(header.get("strerror")), header.get("filename"))
            if "failed" in header:
                raise TargetError(
                    f"amltool's part on {self._address} failed: {header['failed']}.", "Run the same command again."
                )
            yield header, body
            if is_last:
                return

    def whole(self) -> tuple[Header, bytes]:
        """All of it: the last header, and the bodies joined."""
        last: Header = {}
        bodies = []
        for header, body in self.parts():
            last = header
            bodies.append(body)
        return last, b"".join(bodies)

    def _fail(self, error: TargetError) -> None:
        self._is_over = True
        self._parts.put(error)
        self._is_whole.set()
