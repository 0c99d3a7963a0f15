"""What a benchmark is made of: processes whose time is taken, and figures that compare two of them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

DONE = frozenset({0})
NOTHING_FOUND = frozenset({1})
"""``invoke --list`` leaves with 1 where the tasks file holds no task."""


class BenchmarkError(Exception):
    """Something that was measured did not do its work, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """A whole process: what, where, with which environment variables, and the exit codes that mean it did its work."""

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    exit_codes: frozenset[int] = DONE

    def run(self) -> bytes:
        """Run it and give its standard output.

        Raises:
            BenchmarkError: another exit code; the message holds the end of what it said.
        """
        done = subprocess.run(self.arguments, cwd=self.folder, env=self.environment, capture_output=True)
        self._require(done.returncode, done.stderr or done.stdout)
        return done.stdout

    def time(self) -> float:
        """Run it with its standard output thrown away; seconds from before it started until it was gone."""
        with tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            exit_code = subprocess.call(
                self.arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            seconds = time.perf_counter() - start
            errors.seek(0)
            self._require(exit_code, errors.read())
        return seconds

    def _require(self, exit_code: int, said: bytes) -> None:
        if exit_code not in self.exit_codes:
            line = " ".join(self.arguments)
            raise BenchmarkError(f"{line}\nin {self.folder} gave {exit_code}\n{said.decode(errors='replace')[-3000:]}")


def seconds(*commands: Command) -> float:
    """The time of commands run one after the other, with nothing left to be written by what came before."""
    os.sync()
    return sum(command.time() for command in commands)


@dataclass(frozen=True, slots=True)
class Pair:
    """The floor and ours, measured one after the other: seconds."""

    floor: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.floor


def pair(floor: Callable[[], float], ours: Callable[[], float], round_number: int) -> Pair:
    """Measure both; who goes first changes with each round, so that neither always finds the other's warm cache."""
    if round_number % 2:
        ours_s = ours()
        return Pair(floor(), ours_s)
    floor_s = floor()
    return Pair(floor_s, ours())


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was compared, the most it may be (a ratio), and every pair that was measured."""

    what: str
    target: float
    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """The median of the ratios, each of two neighbours in time."""
        return median(pair.ratio for pair in self.pairs)

    @property
    def ratios(self) -> tuple[float, float]:
        found = [pair.ratio for pair in self.pairs]
        return min(found), max(found)

    @property
    def floors(self) -> tuple[float, ...]:
        return tuple(pair.floor for pair in self.pairs)

    @property
    def ours(self) -> tuple[float, ...]:
        return tuple(pair.ours for pair in self.pairs)

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.target
