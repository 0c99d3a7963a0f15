"""The table of figures in Markdown, and its place in a page between two markers."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from measuring import BenchmarkError, Figure

BEGIN = "<!-- begin: written by `python benchmarks/run.py`, do not edit -->"
END = "<!-- end: written by `python benchmarks/run.py` -->"
HEAD = """\
| | ratio: median (min–max) | target | met | floor, s: median (min–max) | ours, s: median (min–max) | rounds |
|---|---|---|---|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Row:
    """A figure and the disk it was measured on."""

    figure: Figure
    disk: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When and with what it was measured; ``load`` is the machine's average of the minute before."""

    day: str
    git: str
    python: str
    system: str
    processors: int
    load: float

    def __str__(self) -> str:
        return (
            f"Measured {self.day} by `python benchmarks/run.py` with {self.git}, Python {self.python}, {self.system}, "
            f"{self.processors} CPUs, load average {self.load:.1f} at the start."
        )


def circumstances(programs: Path) -> Circumstances:
    """Of this moment, this machine, and the Python that amltool is installed in."""
    python = subprocess.check_output(
        (str(programs / "python"), "-c", "import platform; print(platform.python_version())")
    )
    return Circumstances(
        day=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        git=subprocess.check_output(("git", "--version"), text=True).strip().replace("version ", ""),
        python=python.decode().strip(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processors=os.cpu_count() or 1,
        load=os.getloadavg()[0],
    )


def lines(around: Circumstances, rows: Sequence[Row]) -> str:
    """Everything that is said of a measurement: the circumstances, the table, and what is missed."""
    disks = dict.fromkeys(row.disk for row in rows)
    body = [_line(row.figure) for row in rows]
    return "\n".join(
        [f"{around} Disk: {'; '.join(disks)}.", "", HEAD, *body, "", _missed([row.figure for row in rows])]
    )


def rewrite(page: str, text: str) -> str:
    """The page with this text between its markers.

    Raises:
        BenchmarkError: the markers are not there, once each and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise BenchmarkError(f"The page needs the two lines\n{BEGIN}\n{END}\nonce each.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def _line(figure: Figure) -> str:
    low, high = figure.ratios
    cells = (
        figure.what,
        f"**{figure.ratio:.2f}** ({low:.2f}–{high:.2f})",
        f"≤ {figure.target:g}",
        "yes" if figure.is_met else "**no**",
        _spread(figure.floors),
        _spread(figure.ours),
        str(len(figure.pairs)),
    )
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def _missed(figures: Sequence[Figure]) -> str:
    missed = [
        f"{figure.what} ({figure.ratio:.2f}, target {figure.target:g})" for figure in figures if not figure.is_met
    ]
    if not missed:
        return f"All {len(figures)} targets are met."
    return f"**Missed, {len(missed)} of {len(figures)} targets:** {'; '.join(missed)}."
