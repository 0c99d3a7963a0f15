"""How long the index over 100,000 runs takes to make from nothing, beside reading the same notes with Git alone.

The floor is ``git notes list | cut | git cat-file --batch``, its output thrown away: every note's bytes, and no more.
Ours is ``amltool runs`` as a whole process after its index was deleted. What the floor costs is nearly all a matter of
how Git keeps the notes: ``git gc`` makes deltas of them, which take long to put together again; stored whole they are
read many times as fast, which is the harder case for us. Both are measured.
"""

from __future__ import annotations

from collections.abc import Iterator

from large_history import NOTES, RUNS, LargeHistory
from measuring import BenchmarkError, Command, Figure, pair, seconds

ROUNDS = 7
TARGET = 5.0
READ_NOTES = f"git notes --ref={NOTES} list | cut -d ' ' -f 1 | git cat-file --batch"


def measure(history: LargeHistory, rounds: int) -> Iterator[Figure]:
    """Measure the making of the index in turns with the floor, for both ways in which Git may keep the notes."""
    _require_all(history)
    yield _figure(f"index of {RUNS:,} runs from nothing, packed by `git gc`", history, rounds)
    history.surroundings.git(history.folder, "repack", "-a", "-d", "-f", "-q", "--window=0").run()
    yield _figure(f"index of {RUNS:,} runs from nothing, each note stored whole", history, rounds)


def _figure(what: str, history: LargeHistory, rounds: int) -> Figure:
    read = Command(("sh", "-c", f"{READ_NOTES} >/dev/null"), history.folder, history.surroundings.environment)

    def make() -> float:
        history.delete_index()
        return seconds(history.amltool("runs"))

    history.amltool("runs").run()
    pairs = [pair(lambda: seconds(read), make, number) for number in range(rounds + 1)]
    return Figure(what, TARGET, tuple(pairs[1:]))


def _require_all(history: LargeHistory) -> None:
    """The floor reads every record, and so does the index."""
    count = f'{READ_NOTES} | grep -c \'^{{"event":"run"\''
    read = Command(("sh", "-c", count), history.folder, history.surroundings.environment).run()
    indexed = history.amltool("runs", "--limit", "0", "--query", "length(@)", "--json").run()
    if not int(read) == int(indexed) == RUNS:
        raise BenchmarkError(f"Of {RUNS:,} runs the floor reads {int(read):,} and the index holds {int(indexed):,}.")
