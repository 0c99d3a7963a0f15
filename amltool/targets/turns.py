"""Wait for a run's turn where its compute target takes only so many at once (``maxConcurrentRuns``).

Who has a turn is kept on the host (`amltool.tracking.turns`), by the name of the compute target: two clones, and two
clients of one user, count together. A run asks once it is placed; one that has to wait is `Queued` and asks again, one
round trip each time. What it was made ready with is let go meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from amltool.configuration.compute import IN_CONTAINER, ComputeType
from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.history.journal import Step
from amltool.hosts.local import LocalHost
from amltool.layout import HostLayout
from amltool.locks import LOCKED_S, LockedError
from amltool.run import RunStatus
from amltool.targets.library import install_library
from amltool.tracking import travel

if TYPE_CHECKING:
    from amltool.hosts.base import CommandResult, Host
    from amltool.targets.drive import Drive

FIRST_PAUSE_S, LONGEST_PAUSE_NEXT_S, LONGEST_PAUSE_S = 0.5, 2.0, 5.0
"""Between two questions; whoever is next asks more often than those behind it."""
CANCEL_S = 0.2
"""How late it is seen, while a run waits, that somebody wants it canceled."""
LOOK_ELSEWHERE_S = 15.0
"""How seldom a client that waits looks whether containers of others are over: their own clients do, if they live."""
SURE_S = 20.0
"""How old the answer "it has its turn" may be when a run starts; it is taken from one not heard of for longer."""
KEEP_S = 10.0
"""How often a run that has its turn says that its start is still to come."""
ANSWER_S = 30.0


class Answer(msgspec.Struct, frozen=True):
    """What the host says; as `amltool.tracking.turns.ask`."""

    has_turn: bool
    under_way: int | None = None
    ahead: int | None = None
    behind: str = ""
    elsewhere: str = ""
    hinted: str = ""
    locked_by: str = ""


class Turn:
    """What the client that drives a run knows of its turn."""

    def __init__(self) -> None:
        self.is_queued = False
        self.pause_s = 0.0
        self.looked_elsewhere = 0.0
        self.had_at = float("-inf")
        self.keeping: threading.Thread | None = None
        self.locked_since: float | None = None

    @property
    def is_sure(self) -> bool:
        """By a clock that goes on while a laptop sleeps."""
        return abs(time.time() - self.had_at) < SURE_S


def has_turn(run: Drive, *, patient: bool = True) -> bool:
    """Whether a placed run may start now. If not, it is queued, and (when ``patient``) this took as long as it is to
    wait until it asks again, or until somebody wants it canceled.

    Raises:
        TargetError: the host does not answer.
        UserError: nothing can be written there.
    """
    turn = run.turn = run.turn or Turn()
    if turn.is_sure:
        return True
    answer = _ask(run)
    if answer.has_turn:
        turn.had_at = time.time()
        if turn.keeping is None:
            turn.keeping = threading.Thread(target=_keep, args=(run, turn), daemon=True)
            turn.keeping.start()
        return True
    _tell_locked(run, turn, answer.locked_by)
    if not turn.is_queued:
        _queue(run, answer)
        turn.is_queued = True
    run.waits_for(_its_turn(run, answer))
    if not _free_elsewhere(run, turn, answer) and patient:
        longest = LONGEST_PAUSE_S if answer.ahead else LONGEST_PAUSE_NEXT_S
        turn.pause_s = min(longest, 1.5 * turn.pause_s or FIRST_PAUSE_S)
        _pause(run, turn.pause_s)
    return False


def _tell_locked(run: Drive, turn: Turn, locked_by: str) -> None:
    """Say once who keeps the turns of a target locked on its host, and give up when that goes on for too long."""
    if not locked_by:
        turn.locked_since = None
        return
    turns = f"turns of {run.target.name} on {run.target.host.name}"
    if turn.locked_since is None:
        turn.locked_since = time.monotonic()
        run.watcher.say(f"Waiting for the {turns}, kept locked by {locked_by}.")
    elif time.monotonic() - turn.locked_since > LOCKED_S:
        raise LockedError(
            f"The {turns} were kept locked by {locked_by} for {LOCKED_S:.0f} s: given up.",
            "Let that process go on (kill -CONT) or end it there; then run the same command again.",
        )


def leave(run: Drive) -> None:
    """A run is over, or waits no longer. What is not heard now is seen in its folder later."""
    with contextlib.suppress(UserError, OSError):
        _leave(run.target.host, run.target.name, run.request.run_id)


def _queue(run: Drive, answer: Answer) -> None:
    if run.is_ready:  # what another client left, who died, may be the run itself
        run.is_ready = False
        run.target.launcher.forget(run.target.host, run.folder)
    run.begun_share = None  # whoever has its turn now writes there
    run.done(Step.PLACED, RunStatus.QUEUED)
    run.enter(RunStatus.QUEUED)
    if answer.under_way is not None:
        waiting = f", and {answer.ahead} wait before this one" if answer.ahead else ""
        of = f"{answer.under_way} of {run.target.max_concurrent_runs} runs of {run.target.name}"
        run.watcher.say(f"Queued: {of} are under way{waiting} (maxConcurrentRuns).")


def _its_turn(run: Drive, answer: Answer) -> str:
    """What a queued run waits for, for who looks at it meanwhile."""
    named = answer.behind.split()
    more = (answer.under_way or 0) + (answer.ahead or 0) - len(named)
    behind = f", behind {', '.join(named)}" if named else ""
    return f"its turn on {run.target.name} (maxConcurrentRuns){behind}" + (f" and {more} more" if more > 0 else "")


def _pause(run: Drive, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not run.entry.cancel_asked and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, CANCEL_S))


def _keep(run: Drive, turn: Turn) -> None:
    """Say every few seconds that the start of a run is still to come: a large shared folder may have to be listed."""
    while True:
        time.sleep(KEEP_S)
        if run.state.step is not Step.PLACED or not run.entry.is_there:
            return
        with contextlib.suppress(UserError, OSError):
            turn.had_at = time.time() if _ask(run).has_turn else float("-inf")


def _free_elsewhere(run: Drive, turn: Turn, answer: Answer) -> bool:
    """Whether a run in a container turned out to be over; those are looked at first whose folder says so."""
    looked_at = answer.hinted
    if time.monotonic() - turn.looked_elsewhere >= LOOK_ELSEWHERE_S:
        looked_at = answer.elsewhere
        turn.looked_elsewhere = time.monotonic()
    host, is_free = run.target.host, False
    for run_id in looked_at.split():
        with contextlib.suppress(TargetError):  # Docker is away: that says nothing
            if run.target.launcher.is_over(host, HostLayout(host.root).run(run_id)):
                _leave(host, run.target.name, run_id)
                is_free = True
    return is_free


def _ask(run: Drive) -> Answer:
    host, limit, run_id = run.target.host, run.target.max_concurrent_runs, run.request.run_id
    layout = HostLayout(host.root)
    folder, runs = os.fspath(layout.turns(run.target.name)), os.fspath(layout.runs)
    mark = 0 if ComputeType(run.target.type) in IN_CONTAINER else run.marks.mark
    if not isinstance(host, LocalHost):
        said = _said(host, ["ask", folder, runs, run_id, str(limit), str(mark)])
        try:
            return msgspec.json.decode(said, type=Answer)
        except msgspec.MsgspecError as error:
            raise TargetError(f"{host.name} does not say whose turn it is: {said[:200]!r}.", "Try again.") from error
    from amltool.tracking import turns

    try:
        return msgspec.convert(turns.ask(folder, runs, run_id, limit or 1, mark), Answer)
    except OSError as error:
        raise no_space(error, folder) from error


def say_begun(run: Drive) -> None:
    """Say, in the background, that a run was started: what becomes of its folder then does not free its turn."""
    host, name, run_id = run.target.host, run.target.name, run.request.run_id

    def say() -> None:
        with contextlib.suppress(UserError, OSError):
            folder = os.fspath(HostLayout(host.root).turns(name))
            if not isinstance(host, LocalHost):
                _said(host, ["begun", folder, run_id])
                return
            from amltool.tracking import turns

            turns.begun(folder, run_id)

    threading.Thread(target=say, daemon=True).start()


def _leave(host: Host, target: str, run_id: str) -> None:
    folder = os.fspath(HostLayout(host.root).turns(target))
    if not isinstance(host, LocalHost):
        _said(host, ["leave", folder, run_id])
        return
    from amltool.tracking import turns

    turns.leave(folder, run_id)


def _said(host: Host, words: list[str]) -> bytes:
    """What it says on another machine. The program came there with the snapshot; where it is gone, it comes again.

    Raises:
        TargetError: the machine does not answer, or the program fails there.
    """
    result = _run(host, words)
    if result.exit_code:
        install_library(host)
        result = _run(host, words)
    if result.exit_code == 0:
        return result.stdout
    said = result.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
    raise TargetError(
        f"{host.name} does not say which runs have their turn ({said}).",
        "Look whether its disk is full, then try again.",
    )


def _run(host: Host, words: list[str]) -> CommandResult:
    there = travel.at(HostLayout(host.root).tracking(_digest()))
    return host.run(["python3", "-I", "-S", str(there.bootstrap), "turns", *words], timeout_s=ANSWER_S)


@cache
def _digest() -> str:
    """The name of what travels with runs, of this amltool."""
    return travel.digest(travel.files())
