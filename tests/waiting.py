"""What comes true in its time, on a machine that may have much else to do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PAUSE_S = 0.02


def wait_until(condition: Callable[[], object], within_s: float = 120.0) -> None:
    """Look again and again, and fail when it does not come true in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"it did not come true within {within_s:g} s"
        time.sleep(PAUSE_S)


def promised(seconds: float) -> float:
    """A bound that a quiet machine keeps; a busy one has as much longer as it has work in line for each processor.

    Seconds; the exact bounds are looked at by ``make torture``, which has a machine of its own.
    """
    return seconds * (1.0 + os.getloadavg()[0] / (os.cpu_count() or 1))
