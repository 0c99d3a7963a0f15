"""Whose turn it is where a compute target takes so many runs at once; kept on its host, under a lock.

    ask FOLDER RUNS RUN_ID LIMIT MARK    (MARK 0: the run is one in a container)
    begun FOLDER RUN_ID
    leave FOLDER RUN_ID

``FOLDER`` is the compute target's: ``turns.json`` holds the runs that wait or have their turn, ``lock`` is locked
while one is asked for. ``RUNS`` holds the folders of runs. What a run says in its own folder is a hint to look: whether
it is over is seen by its processes, which its mark tells, or is known to who runs its container. Nothing is killed
here, and no clock but the host's counts. Standard library, Python 3.6.
"""

import fcntl
import os
import sys
import time

from . import lock_holder, processes
from .quick_json import dumps, loads
from .run_state import EXIT, START, said_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional

    Turn = Dict[str, Any]
    Turns = Dict[str, Turn]

TURNS, LOCK = "turns.json", "lock"
WAITING_S = 20.0
"""A waiting run whose client asked no more for so long does not hold up those behind it; it keeps its number."""
STARTING_S = 60.0
"""A run that has its turn and was not started in this time after its client's last word has to wait again."""
FORGOTTEN_S = 7 * 86400.0
MOST_NAMED = 3
LONGEST_TURNS = 1 << 24
ASKED_S = 2.0
"""How long another one may take while it is asked whose turn it is; the answer then names it."""
LOCKED_S = 10.0
"""The same while a change is written down."""
LOCK_PAUSE_S = 0.01


def ask(folder: str, runs: str, run_id: str, limit: int, mark: int) -> "Dict[str, Any]":
    """Ask for the turn of a run that is placed, and is counted as waiting from then on; asking again has no effect.

    First come, first served: a run has its turn when those that have theirs and those that wait before it are fewer
    than ``limit``. ``mark`` is what its processes will be known by; 0 for a container's. The answer: ``has_turn``;
    ``under_way``, how many others have theirs; ``ahead``, how many wait before it, both ``None`` where another one
    takes too long over it; ``behind``, the first of these runs by name; ``elsewhere``, those under way of which only
    who runs containers can say whether they are over; ``hinted``, those of them whose folder says so;
    ``locked_by``, who takes too long.
    """
    os.makedirs(folder, exist_ok=True)
    lock = _locked(folder, ASKED_S)
    if lock is None:
        nobody = {"has_turn": False, "under_way": None, "ahead": None, "behind": "", "elsewhere": "", "hinted": ""}
        return dict(nobody, locked_by=lock_holder.said(os.path.join(folder, LOCK)) or "another program")
    try:
        now = time.time()
        turns = _read(folder)
        _bring_up_to_date(turns, runs, run_id, now)
        mine = turns.pop(run_id, None) or {"number": _next_number(turns), "has_turn": False, "begun": False}
        mine["mark"] = mark
        begun = _state(runs, run_id, mine)
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
    elsewhere = [] if mine["has_turn"] else [each for each in under_way if _is_elsewhere(runs, each, turns[each])]
    hinted = [each for each in elsewhere if os.path.lexists(os.path.join(runs, each, EXIT))]
    return {
        "has_turn": mine["has_turn"],
        "under_way": len(under_way),
        "ahead": len(ahead),
        "behind": " ".join((behind[0] + behind[1])[:MOST_NAMED]),
        "elsewhere": " ".join(elsewhere),
        "hinted": " ".join(hinted),
    }


def leave(folder: str, run_id: str) -> None:
    """A run is over, or waits no longer: whoever is next may have its turn. One that is not known is fine."""
    _change(folder, run_id, lambda turns: turns.pop(run_id))


def begun(folder: str, run_id: str) -> None:
    """A run that has its turn was started: from now on it goes on until its processes or its container are gone."""
    _change(folder, run_id, lambda turns: turns[run_id].update(begun=True))


def _change(folder: str, run_id: str, change: "Callable[[Turns], Any]") -> None:
    if not os.path.exists(os.path.join(folder, TURNS)):
        return
    lock = _locked(folder, LOCKED_S)
    if lock is None:
        return  # who asks sees it, too
    try:
        turns = _read(folder)
        if run_id in turns:
            change(turns)
            _write(folder, turns)
    finally:
        os.close(lock)


def _bring_up_to_date(turns: "Turns", runs: str, asking: str, now: float) -> None:
    """Drop what is over, and take their turns from those that did not start in time."""
    for run_id, turn in list(turns.items()):
        turn["asked"] = min(turn["asked"], now)  # the clock may have been set back
        unheard_s = now - turn["asked"]
        begun = _state(runs, run_id, turn)
        if begun == "running":
            turn["has_turn"] = turn["begun"] = True
        elif begun != "absent" or (unheard_s > FORGOTTEN_S and run_id != asking):
            del turns[run_id]
        elif unheard_s > STARTING_S:
            turn["has_turn"] = False


def _state(runs: str, run_id: str, turn: "Turn") -> str:
    """How a run is: ``absent``, ``running`` or over: ``ended``, or ``nowhere`` when it has no folder and never began.

    One in a container that began goes on until whoever runs it says otherwise (`leave`), for its folder is its own to
    write. Of a process, its folder leads to its bootstrap; where that leads nowhere, its mark is looked for.
    """
    folder = os.path.join(runs, run_id)
    has_begun = turn["begun"] or any(os.path.lexists(os.path.join(folder, name)) for name in (START, EXIT))
    if not has_begun:
        return "absent" if os.path.isdir(folder) else "nowhere"
    if _is_elsewhere(runs, run_id, turn):
        return "ended" if turn["mark"] is None and os.path.lexists(os.path.join(folder, EXIT)) else "running"
    start = said_of(os.path.join(folder, START)) or {}
    mark = turn["mark"]
    if processes.is_bootstrap(start.get("pid"), start.get("process_started"), folder, mark):
        return "running"
    return "running" if processes.marked(mark, run_id) else "ended"


def _is_before(turn: "Turn", mine: "Turn", now: float) -> bool:
    """Whether another run waits, and longer than mine."""
    return not turn["has_turn"] and turn["number"] < mine["number"] and now - turn["asked"] <= WAITING_S


def _next_number(turns: "Turns") -> int:
    numbers = [turn["number"] for turn in turns.values()]  # type: List[int]
    return 1 + max(numbers or [0])


def _is_elsewhere(runs: str, run_id: str, turn: "Turn") -> bool:
    """Return True for a run that goes on where processes have other numbers, in a container."""
    if turn["mark"] is not None:
        return bool(turn["mark"] == 0)
    start = said_of(os.path.join(runs, run_id, START)) or {}  # all there is of one whose client did not say it
    return bool(start) and start.get("pid_namespace") != processes.pid_namespace()


def _locked(folder: str, within_s: float) -> "Optional[int]":
    """The lock, which the kernel opens again when we die; None where another one has held it for too long."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(os.path.join(folder, LOCK), flags, 0o644)
    until = time.monotonic() + within_s
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
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(os.path.join(folder, TURNS), flags), "rb") as stream:
            found = loads(stream.read(LONGEST_TURNS))
        return {
            str(run_id): {
                "number": int(turn["number"]),
                "has_turn": bool(turn["has_turn"]),
                "asked": float(turn["asked"]),
                "mark": None
                if turn.get("mark") is None
                else int(turn["mark"]),  # None: a client of an earlier version asked
                "begun": bool(turn.get("begun")),
            }
            for run_id, turn in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def _write(folder: str, turns: "Turns") -> None:
    """Write it whole; a file about nobody is removed."""
    place = os.path.join(folder, TURNS)
    if not turns:
        if os.path.exists(place):
            os.unlink(place)
        return
    beside = os.path.join(folder, "." + TURNS)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(beside, flags, 0o644), "wb") as stream:
        stream.write(dumps(turns).encode("ascii"))
    os.replace(beside, place)


def main(arguments: "List[str]") -> None:
    """The command line of a host that is another machine; the answer goes to standard output, as JSON."""
    if arguments[0] == "ask":
        folder, runs, run_id, limit, mark = arguments[1:]
        sys.stdout.write(dumps(ask(folder, runs, run_id, int(limit), int(mark))) + "\n")
    else:
        folder, run_id = arguments[1:]
        (begun if arguments[0] == "begun" else leave)(folder, run_id)
