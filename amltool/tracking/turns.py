"""Whose turn it is where a compute target takes so many runs at once; kept on its host, under a lock.

    ask FOLDER RUNS RUN_ID LIMIT
    leave FOLDER RUN_ID

``FOLDER`` is the compute target's: ``turns.json`` holds the runs that wait or have their turn, ``lock`` is locked
while one is asked for. ``RUNS`` holds the folders of runs. Whether a run that has its turn is over is seen in its own
folder, whoever looks, and no clock but the host's counts. Standard library, Python 3.6.
"""

import fcntl
import os
import sys
import time

from . import processes
from .quick_json import dumps, loads
from .run_state import EXIT, START, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    Turn = Dict[str, Any]
    Turns = Dict[str, Turn]

TURNS, LOCK = "turns.json", "lock"
WAITING_S = 20.0
"""A waiting run whose client asked no more for so long does not hold up those behind it; it keeps its number."""
STARTING_S = 60.0
"""A run that has its turn and was not started in this time after its client's last word has to wait again."""
FORGOTTEN_S = 7 * 86400.0
MOST_NAMED = 3
LOCKED_S = 10.0
"""How long another one who asks may take."""
LOCK_PAUSE_S = 0.01


def ask(folder: str, runs: str, run_id: str, limit: int) -> "Dict[str, Any]":
    """Ask for the turn of a run that is placed, and is counted as waiting from then on; asking again has no effect.

    First come, first served: a run has its turn when those that have theirs and those that wait before it are fewer
    than ``limit``. The answer: ``has_turn``; ``under_way``, how many others have theirs; ``ahead``, how many wait
    before it, both ``None`` where another one takes too long over it; ``behind``, the first of these runs by name;
    ``elsewhere``, those under way of which only who runs containers can say whether they are over.
    """
    os.makedirs(folder, exist_ok=True)
    lock = _locked(folder)
    if lock is None:
        return {"has_turn": False, "under_way": None, "ahead": None, "behind": "", "elsewhere": ""}
    try:
        now = time.time()
        turns = _read(folder)
        _bring_up_to_date(turns, runs, run_id, now)
        begun = _state(runs, run_id)
        mine = turns.pop(run_id, None) or {"number": _next_number(turns), "has_turn": False}
        under_way = [each for each in turns if turns[each]["has_turn"]]
        ahead = [each for each in turns if _is_before(turns[each], mine, now)]
        behind = [sorted(some, key=lambda each: turns[each]["number"]) for some in (under_way, ahead)]
        mine["asked"] = now
        mine["has_turn"] = begun != "absent" or mine["has_turn"] or len(under_way) + len(ahead) < limit
        if begun in ("absent", "running"):
            turns[run_id] = mine
        _write(folder, turns)
    finally:
        os.close(lock)
    elsewhere = [] if mine["has_turn"] else [each for each in under_way if _is_elsewhere(runs, each)]
    return {
        "has_turn": mine["has_turn"],
        "under_way": len(under_way),
        "ahead": len(ahead),
        "behind": " ".join((behind[0] + behind[1])[:MOST_NAMED]),
        "elsewhere": " ".join(elsewhere),
    }


def leave(folder: str, run_id: str) -> None:
    """A run is over, or waits no longer: whoever is next may have its turn. One that is not known is fine."""
    if not os.path.exists(os.path.join(folder, TURNS)):
        return
    lock = _locked(folder)
    if lock is None:
        return  # it is seen in its folder, too
    try:
        turns = _read(folder)
        if turns.pop(run_id, None) is not None:
            _write(folder, turns)
    finally:
        os.close(lock)


def _bring_up_to_date(turns: "Turns", runs: str, asking: str, now: float) -> None:
    """Drop what is over, and take their turns from those that did not start in time."""
    for run_id, turn in list(turns.items()):
        turn["asked"] = min(turn["asked"], now)  # the clock may have been set back
        unheard_s = now - turn["asked"]
        begun = _state(runs, run_id)
        if begun == "running":
            turn["has_turn"] = True
        elif begun != "absent" or (unheard_s > FORGOTTEN_S and run_id != asking):
            del turns[run_id]
        elif unheard_s > STARTING_S:
            turn["has_turn"] = False


def _state(runs: str, run_id: str) -> str:
    """How a run is, as `run_state.state`; ``nowhere`` when its folder is gone.

    One in a container goes on until it says that it ended: what its ``start.json`` says of processes, and of when the
    machine was started, may mean nothing here (Docker on macOS has a machine of its own).
    """
    folder = os.path.join(runs, run_id)
    if not os.path.isdir(folder):
        return "nowhere"
    if os.path.exists(os.path.join(folder, EXIT)):
        return "ended"
    return "running" if _is_elsewhere(runs, run_id) else str(state(folder)["state"])


def _is_before(turn: "Turn", mine: "Turn", now: float) -> bool:
    """Whether another run waits, and longer than mine."""
    return not turn["has_turn"] and turn["number"] < mine["number"] and now - turn["asked"] <= WAITING_S


def _next_number(turns: "Turns") -> int:
    numbers = [turn["number"] for turn in turns.values()]  # type: List[int]
    return 1 + max(numbers or [0])


def _is_elsewhere(runs: str, run_id: str) -> bool:
    """Whether a run goes on where processes have other numbers: in a container."""
    try:
        with open(os.path.join(runs, run_id, START), "rb") as stream:
            return bool(loads(stream.read()).get("pid_namespace") != processes.pid_namespace())
    except (OSError, ValueError, AttributeError):
        return False


def _locked(folder: str) -> "Optional[int]":
    """The lock, which the kernel opens again when we die; None where another one has held it for too long."""
    lock = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    until = time.monotonic() + LOCKED_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                return None
            time.sleep(LOCK_PAUSE_S)
        except BaseException:
            os.close(lock)
            raise


def _read(folder: str) -> "Turns":
    """The runs that wait or have their turn; none where the file is damaged (a power cut can do that)."""
    try:
        with open(os.path.join(folder, TURNS), "rb") as stream:
            found = loads(stream.read())
        return {
            str(run_id): {
                "number": int(turn["number"]),
                "has_turn": bool(turn["has_turn"]),
                "asked": float(turn["asked"]),
            }
            for run_id, turn in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(folder: str, turns: "Turns") -> None:
    """Write it whole; a file about nobody is removed."""
    place = os.path.join(folder, TURNS)
    if not turns:
        if os.path.exists(place):
            os.unlink(place)
        return
    beside = os.path.join(folder, "." + TURNS)
    with open(beside, "wb") as stream:
        stream.write(dumps(turns).encode("ascii"))
    os.replace(beside, place)


def main(arguments: "List[str]") -> None:
    """The command line of a host that is another machine; the answer goes to standard output, as JSON."""
    if arguments[0] == "ask":
        folder, runs, run_id, limit = arguments[1:]
        sys.stdout.write(dumps(ask(folder, runs, run_id, int(limit))) + "\n")
    else:
        folder, run_id = arguments[1:]
        leave(folder, run_id)
