"""Ctrl-C that waits until an import is over.

A KeyboardInterrupt in the midst of an import may leave Python's import lock taken (it is swallowed where a weak
reference's callback holds that lock). Another thread that imports then waits for ever, and with it whoever waits for
that thread: of 24 submits that were interrupted at random moments one hung.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.01
IMPORTING = "<frozen importlib"


@contextmanager
def interrupts_after_imports() -> Iterator[None]:
    """Within it a Ctrl-C during an import comes when the import is over; no effect where somebody else handles it."""
    taken = _take_over()
    try:
        yield
    finally:
        if taken and signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_over() -> bool:
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, _interrupt)
    except ValueError:  # not the main thread, which gets all signals
        return False
    return True


def _interrupt(_: int, frame: FrameType | None) -> None:
    """As Python's own handler; during an import it asks to be called again soon."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(IMPORTING):
            signal.signal(signal.SIGALRM, _interrupt)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        frame = frame.f_back
    raise KeyboardInterrupt
