"""How long a user waits for an answer: `--list`, `runs` and `show`, beside `invoke --list` with nothing to list.

The floor is ``invoke --list`` in a folder whose ``tasks.py`` is empty: Python, Invoke, and nothing of anyone's.
``runs`` and ``show`` answer from a history of 100,000 runs whose index is fresh.
"""

from __future__ import annotations

from collections.abc import Iterator

from large_history import RUNS, LargeHistory
from measuring import NOTHING_FOUND, Command, Figure, pair, seconds

ROUNDS = 21
LIST_TARGET = 1.5
ANSWER_TARGET = 2.0


def measure(history: LargeHistory, rounds: int) -> Iterator[Figure]:
    """Measure the three in turns with the floor."""
    empty = history.surroundings.folder / "empty"
    empty.mkdir(exist_ok=True)
    (empty / "tasks.py").touch()
    floor = history.surroundings.program(empty, "invoke", "--list", exit_codes=NOTHING_FOUND)
    asked = {
        "`amltool --list`": (history.amltool("--list"), LIST_TARGET),
        f"`amltool runs`, {RUNS:,} runs": (history.amltool("runs"), ANSWER_TARGET),
        f"`amltool show RUN`, {RUNS:,} runs": (history.amltool("show", history.run_id), ANSWER_TARGET),
    }
    history.amltool("runs").run()
    for what, (command, target) in asked.items():
        yield _figure(what, target, floor, command, rounds)


def _figure(what: str, target: float, floor: Command, ours: Command, rounds: int) -> Figure:
    pairs = [pair(lambda: seconds(floor), lambda: seconds(ours), number) for number in range(rounds + 1)]
    return Figure(what, target, tuple(pairs[1:]))
