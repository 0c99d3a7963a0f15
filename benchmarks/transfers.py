"""What `submit` to another machine costs beside ``rsync -a`` of the same files, and beside ``ssh HOST python3 SCRIPT``.

Everything that is timed is whole processes that log in anew: rsync and ssh over OpenSSH's client, ours over paramiko.
A submit also takes the snapshot, checks every byte there, runs the script, brings its console back and records it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from another_machine import SLOW, SLOWER, Way, another_machine, change_a_megabyte, clear, settle
from measuring import Figure, Pair, pair
from overhead import require_runs
from sized_project import MEGABYTE

NAME = "ssh-300MB"
FILES, MEGABYTES = 2000, 299
"""Of 300 MB: what the project itself has, and the file that changes, are the rest."""
FIRST_TARGET, AGAIN_TARGET, NOTHING_TARGET = 1.3, 1.5, 3.0
MOST_SENT = 2 * MEGABYTE
MOST_ROUND_TRIPS = 12
ROUNDS = 5


def measure(programs: Path, rounds: int) -> Iterator[tuple[Figure, str]]:
    """Figures of the bridge network as it is and of the slow line, each with the disk it was measured on."""
    with another_machine(programs, FILES - 1, MEGABYTES - 1) as ways:
        project = ways["bridge"].project
        submits = 0
        for way in (ways["bridge"], ways["slow"]):
            for figure in _transfers(way, rounds):
                yield figure, project.surroundings.disk
            submits += 2 * (rounds + 1)
        for way in (ways["bridge"], ways["slow"]):
            pairs = [pair(way.run_there, way.submit, number) for number in range(2 * rounds + 1)][1:]
            yield Figure(f"nothing changed, {way}", NOTHING_TARGET, tuple(pairs)), project.surroundings.disk
            submits += 2 * rounds + 1
        yield _round_trips(ways, 2 * rounds), project.surroundings.disk
        require_runs(project, submits + 4 * rounds)


def _transfers(way: Way, rounds: int) -> Iterator[Figure]:
    first, again, with_run, sent = [], [], [], []
    for number in range(rounds + 1):
        clear(way)
        change_a_megabyte(way.project)
        first.append(pair(way.copy, way.submit, number))
        change_a_megabyte(way.project)
        settle(way)
        before = _Sent(way)
        one = pair(way.copy, before.submit, number)
        again.append(one)
        with_run.append(Pair(one.floor + way.run_there(), one.ours))
        sent.append(Pair(MOST_SENT / MEGABYTE, before.bytes / MEGABYTE))
    files = f"{FILES:,} files / 300 MB"
    yield Figure(f"{files} to another machine, {way}: first, beside rsync", FIRST_TARGET, tuple(first[1:]))
    yield Figure(f"again after 1 MB changed, {way}: beside rsync and ssh", AGAIN_TARGET, tuple(with_run[1:]))
    yield Figure(f"again after 1 MB changed, {way}: beside rsync alone", AGAIN_TARGET, tuple(again[1:]))
    if way.line is not None:
        yield Figure(f"again after 1 MB changed, {way}: MB sent, beside 2 MB", 1.0, tuple(sent[1:]))


class _Sent:
    """What the submits of a way sent."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.bytes = 0

    def submit(self) -> float:
        before = self._way.sent
        taken = self._way.submit()
        self.bytes += self._way.sent - before
        return taken


def _round_trips(ways: dict[str, Way], rounds: int) -> Figure:
    """How many round trips are waited for, connecting included: what is added when each takes 100 ms more."""
    more_s = SLOWER.round_trip_s - SLOW.round_trip_s
    pairs = [Pair(more_s, ways["slower"].submit() - ways["slow"].submit()) for _ in range(rounds)]
    return Figure("nothing changed: round trips, beside one of 100 ms", MOST_ROUND_TRIPS, tuple(pairs))
