"""Measure amltool and print a table: `python benchmarks/run.py [--quick] [--only NAME]`.

A whole, unshortened measurement also rewrites the table in README.md beside this file; with ``--quick`` or ``--only``
it is only printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import another_machine
import cluster
import console
import containers
import history
import overhead
import startup
import transfers
from large_history import RUNS, LargeHistory, large_history
from measuring import BenchmarkError, Figure
from surroundings import installed
from table import Circumstances, Row, circumstances, lines, rewrite

README = Path(__file__).resolve().parent / "README.md"
QUICK_ROUNDS = 3
NAMES = (*overhead.SIZES, containers.NAME, transfers.NAME, console.NAME, "startup", "history", cluster.NAME)


def main() -> None:
    """Measure, print, and leave with 0 whether or not targets are met: a missed one is said in the table."""
    options = _options()
    names = [name for name in NAMES if any(name.startswith(only) for only in options.only or [""])]
    if not names:
        sys.exit(f"Nothing is called {', '.join(options.only)}. Known: {', '.join(NAMES)}")
    is_whole = not options.quick and names == list(NAMES)
    try:
        with installed() as programs:
            around = circumstances(programs)
            rows = list(_measure(names, programs, quick=options.quick))
    except BenchmarkError as error:
        sys.exit(str(error))
    _show(around, rows, rewritten=is_whole)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of each; README.md is left alone")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"what starts with NAME: {', '.join(NAMES)}")
    return parser.parse_args()


def _measure(names: list[str], programs: Path, *, quick: bool) -> Iterator[Row]:
    with ExitStack() as stack:
        for name in names:
            if name in overhead.SIZES:
                size = overhead.SIZES[name]
                for figure, disk in overhead.measure(size, programs, _rounds(size.rounds, quick)):
                    yield _told(Row(figure, disk))
        for asked, there in (
            (containers, containers),
            (cluster, cluster),
            (another_machine, transfers),
            (another_machine, console),
        ):
            if there.NAME in names:
                missing = asked.absence()
                if missing is not None:
                    _say(f"{there.NAME} is not measured: {missing}")
                    continue
                for figure, disk in there.measure(programs, _rounds(there.ROUNDS, quick)):
                    yield _told(Row(figure, disk))
        if "startup" in names or "history" in names:
            _say(f"making a history of {RUNS:,} runs ...")
            made = stack.enter_context(large_history(programs))
            disk = f"{made.surroundings.disk} (run history: records of {made.record_size:,} bytes on average)"
            for figure in _questions(names, made, quick=quick):
                yield _told(Row(figure, disk))


def _questions(names: list[str], made: LargeHistory, *, quick: bool) -> Iterator[Figure]:
    if "startup" in names:
        yield from startup.measure(made, _rounds(startup.ROUNDS, quick))
    if "history" in names:
        yield from history.measure(made, _rounds(history.ROUNDS, quick))


def _rounds(usual: int, quick: bool) -> int:
    return QUICK_ROUNDS if quick else usual


def _told(row: Row) -> Row:
    _say(f"{row.figure.what}: {row.figure.ratio:.2f} (at most {row.figure.target:g})")
    return row


def _say(text: str) -> None:
    print(f"[load {os.getloadavg()[0]:.1f}] {text}", file=sys.stderr, flush=True)


def _show(around: Circumstances, rows: list[Row], *, rewritten: bool) -> None:
    text = lines(around, rows)
    print(text)
    if rewritten:
        README.write_text(rewrite(README.read_text(), text))


if __name__ == "__main__":
    main()
