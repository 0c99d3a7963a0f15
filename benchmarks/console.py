"""How long a line that a script prints on another machine takes to appear here: the container and we have one clock."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from another_machine import Way, another_machine
from measuring import BenchmarkError, Figure, Pair

NAME = "ssh-console"
ROUNDS = 5
LINES = 120
LATEST_S = 0.3
SCRIPT = "lines.py"
SCRIPT_TEXT = f"""import random, time
source = random.Random(1)
for _ in range({LINES}):
    time.sleep(source.uniform(0.01, 0.2))
    print(f"printed {{time.time():.6f}}", flush=True)
"""


def measure(programs: Path, rounds: int) -> Iterator[tuple[Figure, str]]:
    """The median and the latest but one of a hundred, over the bridge network and over the slow line."""
    with another_machine(programs, 50, 1) as ways:
        project = ways["bridge"].project
        (project.folder / SCRIPT).write_text(SCRIPT_TEXT)
        for words in (("add", "--all"), ("commit", "--quiet", "--message", "lines")):
            project.surroundings.git(project.folder, *words).run()
        for way in (ways["bridge"], ways["slow"]):
            found = [sorted(_lateness(way)) for _ in range(rounds)]
            for name, place in (("median", LINES // 2), ("99 of 100", LINES * 99 // 100 - 1)):
                pairs = tuple(Pair(LATEST_S, lateness[place]) for lateness in found)
                yield Figure(f"a console line, {way}: {name}, beside 300 ms", 1.0, pairs), project.surroundings.disk


def _lateness(way: Way) -> list[float]:
    """Seconds that each line was late."""
    command = way.submitting(SCRIPT)
    with subprocess.Popen(
        command.arguments,
        cwd=command.folder,
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = (line for line in process.stdout if line.startswith("printed "))
        found = [time.time() - float(line.split()[1]) for line in printed]
    if process.returncode or len(found) != LINES:
        raise BenchmarkError(f"{len(found)} of {LINES} lines came, exit code {process.returncode}")
    return found
