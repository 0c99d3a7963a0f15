"""How a run is, and its end before its time: read from its folder by anybody; standard library, Python 3.6."""

import os
import time

from . import processes
from .processes import signal
from .quick_json import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

START, EXIT = "start.json", "exit.json"
GRACE_S = 10.0
"""From SIGTERM to SIGKILL when a run is canceled or its time is over."""
LONGEST_GRACE_S = 12.0
"""A cancel is over within 15 seconds, whatever grace was asked for."""
LONGEST_FILE = 1 << 16


def state(folder: str, mark: "Optional[int]" = None) -> "Dict[str, Any]":
    """How a run is: ``{"state": "absent" | "running" | "ended" | "lost", "exit": {...}}``.

    A run is lost when its bootstrap is gone without an ``exit.json``. Whatever of it is alive is killed first, so that
    a lost run leaves no orphan: what has its ``mark``, as its client knows it, or its id in its environment. The folder
    says nothing of which processes those are, for the run can write there.
    """
    start = {}  # type: Dict[str, Any]
    for _ in range(2):  # it may have ended between the first look's two questions
        end = said_of(os.path.join(folder, EXIT))
        if end:
            return {"state": "ended", "exit": end}
        found = said_of(os.path.join(folder, START))
        if found is None:
            return {"state": "absent"}
        start = found
        if _bootstrap_lives(start):
            return {"state": "running"}
    end_all(folder, mark)
    reason = "the bootstrap was killed" if start.get("boot") == processes.boot_id() else "host restarted"
    return {"state": "lost", "exit": {"reason": reason, "started": start.get("started")}}


def end_all(folder: str, mark: "Optional[int]", spared: "Optional[int]" = None) -> None:
    """Kill whatever there is of a run but one process."""
    processes.kill_marked(mark, os.path.basename(folder), spared)


def cancel(folder: str, grace: float = GRACE_S, mark: "Optional[int]" = None) -> None:
    """Terminate a run, kill what is left after ``grace`` seconds, and return when nothing is left (15 s at most).

    One that ended is left as it ended; one that was not started is not touched. One whose folder does not lead to its
    bootstrap any more is killed at once.
    """
    kill_at = time.monotonic() + min(max(grace, 0.0), LONGEST_GRACE_S)
    start = said_of(os.path.join(folder, START))
    if start is None or state(folder, mark)["state"] != "running":
        return
    if not processes.is_bootstrap(start.get("pid"), start.get("process_started"), folder, mark):
        end_all(folder, mark)
        return
    processes.send(start["pid"], signal.SIGTERM, signal.SIGCONT)
    pause = 0.002
    while _bootstrap_lives(start):
        now = time.monotonic()
        if now > kill_at + processes.GIVE_UP_S:  # nobody to do it for us; the bootstrap may still wait for a full disk
            end_all(folder, mark, spared=start["pid"])
            return
        if now > kill_at:
            processes.send(start["pid"], signal.SIGQUIT, signal.SIGCONT)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    state(folder, mark)  # a bootstrap that died over it is a lost run: this kills the rest


def _bootstrap_lives(start: "Dict[str, Any]") -> bool:
    if start.get("boot") != processes.boot_id():
        return False
    if start.get("pid_namespace") != processes.pid_namespace():
        return True  # in a container: its number says nothing here, and whoever runs the container knows
    found = processes.process(start["pid"]) if isinstance(start.get("pid"), int) else None
    return found is not None and found.is_alive and found.started == start.get("process_started")


def said_of(name: str) -> "Optional[Dict[str, Any]]":
    """A JSON object; None where there is no file, empty where it is damaged (a power cut can do that)."""
    try:
        stream = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError:  # a link, a socket: not what our bootstrap wrote
        return {}
    try:
        found = loads(os.read(stream, LONGEST_FILE))
    except (ValueError, OSError, RecursionError):
        return {}
    finally:
        os.close(stream)
    return {name: found[name] for name in found if _is_plain(found[name])} if isinstance(found, dict) else {}


def _is_plain(value: "Any") -> bool:
    """Return True for what the answer to a client can hold: a text, a finite number, true, false or null."""
    return value is None or isinstance(value, (str, int)) or (isinstance(value, float) and abs(value) < float("inf"))
