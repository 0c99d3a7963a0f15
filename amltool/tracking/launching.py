"""Starts a bootstrap that outlives us and says that it began: one question over a network, where looking would be many.

Standard library, Python 3.6.
"""

import os
import time

from .run_state import EXIT, START, state
from .supervision import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

BEGIN_S = 30.0
"""How long a bootstrap may take to claim its run."""
SHORT_S = 0.1
"""A run that is over so soon is told as over: nobody has to ask again."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 0.02


def launch(folder: str, spec: "Dict[str, Any]") -> "Dict[str, Any]":
    """Start a run as `supervision.run` in a process of its own; how it is then: as `run_state.state`.

    ``{"state": "nowhere"}`` where there is no such folder. A run that was started before goes on.
    """
    if not os.path.isdir(folder):
        return {"state": "nowhere"}
    child = os.fork()
    if child == 0:
        try:
            _let_go()
            run(folder, spec)
        finally:
            os._exit(0)
    _until_begun(folder, child)
    until = time.monotonic() + SHORT_S
    pause = FIRST_PAUSE_S
    while not os.path.exists(os.path.join(folder, EXIT)) and time.monotonic() < until:
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE_S)
    return state(folder, spec.get("mark"))


def _let_go() -> None:
    """Hold nothing of whoever asked: it waits for the end of our streams."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


def _until_begun(folder: str, child: int) -> None:
    """Wait until the run is claimed or is over; not longer than the bootstrap lives, or may take."""
    until = time.monotonic() + BEGIN_S
    pause = FIRST_PAUSE_S
    lives = True
    while lives and time.monotonic() < until:
        lives = os.waitpid(child, os.WNOHANG) == (0, 0)
        if any(os.path.exists(os.path.join(folder, name)) for name in (START, EXIT)):
            return
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE_S)
