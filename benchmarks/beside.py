"""Measure this amltool beside another checkout of it, in turns: `python benchmarks/beside.py CHECKOUT [--only NAME]`.

Both are built as wheels and installed in virtual environments of their own; this checkout's programs measure both, one
right after the other, and who goes first changes with each turn. The table says what became slower, by medians of all
turns. Names are those of run.py: overhead-1MB, overhead-25MB, overhead-300MB, startup.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import overhead
import startup
from large_history import LargeHistory, large_history
from measuring import BenchmarkError, Figure
from surroundings import installed

NAMES = (*overhead.SIZES, "startup")
TURNS, ROUNDS = 3, 3
WORSE = 1.10
HEAD = """\
| | before, s: median (min–max) | now, s: median (min–max) | now / before | at most 10 % worse | samples |
|---|---|---|---|---|---|"""
Times = dict[str, list[float]]


def main() -> None:
    """Measure and print; leave with 1 where a row is more than 10 % slower than in the other checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other checkout: what is to be `before`")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"what starts with NAME: {', '.join(NAMES)}")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"how often each is measured (default {TURNS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"submits in each turn (default {ROUNDS})")
    chosen = parser.parse_args()
    names = [name for name in NAMES if any(name.startswith(only) for only in chosen.only or [""])]
    try:
        with installed(chosen.checkout.resolve()) as before, installed() as now:
            found = _measure(names, before, now, chosen.turns, chosen.rounds)
    except BenchmarkError as error:
        sys.exit(str(error))
    print(f"Load average {os.getloadavg()[0]:.1f} at the end.\n\n{HEAD}")
    slower = [what for what in found[0] if _print_row(what, found[0][what], found[1][what])]
    sys.exit(1 if slower else 0)


def _measure(names: list[str], before: Path, now: Path, turns: int, rounds: int) -> tuple[Times, Times]:
    found: tuple[Times, Times] = (defaultdict(list), defaultdict(list))
    both = ((before, found[0]), (now, found[1]))
    for turn in range(turns):
        for programs, times in both if turn % 2 == 0 else both[::-1]:
            for name in names:
                if name in overhead.SIZES:
                    for figure, _ in overhead.measure(overhead.SIZES[name], programs, rounds):
                        _keep(figure, times, turn)
    if "startup" in names:
        with ExitStack() as stack:
            asked = [(stack.enter_context(large_history(programs)), times) for programs, times in both]
            for turn in range(turns):
                for history, times in asked if turn % 2 == 0 else asked[::-1]:
                    _ask(history, times, turn, rounds)
    return found


def _ask(history: LargeHistory, times: Times, turn: int, rounds: int) -> None:
    for figure in startup.measure(history, 2 * rounds):
        _keep(figure, times, turn)


def _keep(figure: Figure, times: Times, turn: int) -> None:
    times[figure.what] += figure.ours
    print(f"[load {os.getloadavg()[0]:.1f}] turn {turn + 1}: {figure.what}", file=sys.stderr, flush=True)


def _print_row(what: str, before: list[float], now: list[float]) -> bool:
    """Print one row; return True if it is more than 10 % slower."""
    ratio = median(now) / median(before)
    spreads = (f"{median(some):.3f} ({min(some):.3f}–{max(some):.3f})" for some in (before, now))
    answer = "yes" if ratio <= WORSE else "**no**"
    print(f"| {what} | {' | '.join(spreads)} | **{ratio:.2f}** | {answer} | {len(before)} and {len(now)} |")
    return ratio > WORSE


if __name__ == "__main__":
    main()
