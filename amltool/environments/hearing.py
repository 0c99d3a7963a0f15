"""Hear a build that may be silent for long: whoever follows it can change their mind meanwhile."""

from __future__ import annotations

import os
import queue
import select
import threading
from collections.abc import Iterable, Iterator

from amltool.environments.base import Progress

SILENT_S = 0.5
CHUNK = 1 << 16
WAITS = "building", 0, None
_End = tuple[BaseException | None]


def heard(pieces: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    """The pieces as they come; in between, ``progress`` is told of nothing that was done, and may end it by raising.

    What is left unheard then goes on in a thread: whoever gives the pieces has to be closed.
    """
    coming: queue.SimpleQueue[bytes | _End] = queue.SimpleQueue()

    def listen() -> None:
        try:
            for piece in pieces:
                coming.put(piece)
        except BaseException as error:  # raised where it is heard
            coming.put((error,))
        else:
            coming.put((None,))

    threading.Thread(target=listen, daemon=True).start()
    while True:
        try:
            got = coming.get(timeout=SILENT_S)
        except queue.Empty:
            progress.progress(*WAITS)
            continue
        if isinstance(got, bytes):
            yield got
            continue
        if got[0] is not None:
            raise got[0]
        return


def heard_here(handle: int, progress: Progress) -> Iterator[bytes]:
    """As `heard`, what comes out of a pipe of this machine."""
    while True:
        if not select.select([handle], [], [], SILENT_S)[0]:
            progress.progress(*WAITS)
            continue
        piece = os.read(handle, CHUNK)
        if not piece:
            return
        yield piece
