"""What comes true in its time."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_S = 0.02


def wait_until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Look again and again, and fail when it does not come true in time."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"it did not come true within {within_s:g} s"
        time.sleep(PAUSE_S)
