"""What the limits check costs before every commit: `python benchmarks/checks.py [--quick]`.

Ours is the whole process, as pre-commit starts it. Two floors:

* a bare Python process that sums ``git ls-files -s | git cat-file --batch-check --buffer``: the least that could know
  what the index weighs;
* ``pre-commit run check-added-large-files``, the check people have today (a local hook, so that nothing is fetched
  while it is measured); left out, with the reason, where pre-commit is not beside this Python or the package index does
  not answer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring import BenchmarkError, Command, Figure, pair, seconds
from surroundings import Surroundings, installed, surroundings
from table import Row, circumstances, lines

FLOOR = """\
import subprocess
listed = subprocess.run(["git", "ls-files", "-s"], stdout=subprocess.PIPE, check=True).stdout
ids = b"\\n".join(line.split(b" ", 2)[1] for line in listed.splitlines())
command = ["git", "cat-file", "--batch-check=%(objectsize)", "--buffer"]
sizes = subprocess.run(command, input=ids, stdout=subprocess.PIPE, check=True).stdout
print(sum(map(int, sizes.split())))
"""
PATTERNS = (
    *(f"*.ext{number}" for number in range(12)),
    *(f"/build{number}/" for number in range(8)),
    *("data/**/raw", "**/cache*/", "!keep*.txt", "*.py[cod]", "__pycache__", "notes/*.md", "tmp?", "logs/"),
    *("*.egg-info", "/d1*/x"),
)
SETTINGS = "[tool.amltool.limits]\nmax_files = 100000\n"
"""Else 50,000 files would be refused; reading them is part of what is measured."""
PRE_COMMIT_CONFIGURATION = """\
repos:
  - repo: local
    hooks:
      - id: check-added-large-files
        name: check for added large files
        entry: {entry}
        language: system
        stages: [pre-commit]
"""
ROUNDS = 15
QUICK_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Size:
    """A repository, how much of it is staged, and the most a check may cost beside each floor."""

    files: int
    staged: int
    floor_target: float
    pre_commit_target: float

    @property
    def name(self) -> str:
        return f"{self.staged:,} staged in {self.files:,}"


SIZES = (Size(2_000, 10, 3, 0.5), Size(50_000, 10, 3, 0.5), Size(50_000, 5_000, 2, 0.6))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of each")
    rounds = QUICK_ROUNDS if parser.parse_args().quick else ROUNDS
    try:
        with installed() as programs, large_file_check() as (check, reason):
            around = circumstances(programs)
            rows = [row for size in SIZES for row in measure(size, programs, check, rounds)]
    except BenchmarkError as error:
        sys.exit(str(error))
    print(lines(around, rows).replace("benchmarks/run.py", "benchmarks/checks.py"))
    if reason:
        print(f"\nNot measured beside check-added-large-files: {reason}.")


@contextmanager
def large_file_check() -> Iterator[tuple[Path | None, str]]:
    """The program ``check-added-large-files``, installed apart; else ``None`` and the reason."""
    if not _pre_commit().exists():
        yield None, "pre-commit is not installed beside this Python"
        return
    with tempfile.TemporaryDirectory(prefix="pre-commit-hooks-") as folder:
        subprocess.run((sys.executable, "-m", "venv", folder), check=True)
        pip = (f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        done = subprocess.run((*pip, "pre-commit-hooks"), capture_output=True, text=True)
        program = Path(folder) / "bin" / "check-added-large-files"
        yield (program, "") if done.returncode == 0 else (None, "the package index does not answer")


def _pre_commit() -> Path:
    return Path(sys.executable).with_name("pre-commit")


def measure(size: Size, programs: Path, check: Path | None, rounds: int) -> Iterator[Row]:
    """The check beside each floor, in turns, in a repository of this size."""
    with surroundings(programs, 2) as place:
        folder = make_repository(place, size, check)
        floor_script = place.folder / "floor.py"
        floor_script.write_text(FLOOR)
        ours = place.program(folder, "amltool-check-limits")
        floor = place.program(folder, "python", str(floor_script))
        if b"The snapshot:" not in ours.run():
            raise BenchmarkError("the check found a problem, so what is measured is not what was meant")
        floor.run()
        yield Row(_figure(f"limits, {size.name}: summing sizes", size.floor_target, floor, ours, rounds), place.disk)
        if check is not None:
            run = (str(_pre_commit()), "run", "check-added-large-files")
            theirs = Command(run, folder, {**place.environment, "PRE_COMMIT_HOME": str(place.folder / "kept")})
            if b"Passed" not in theirs.run():
                raise BenchmarkError("check-added-large-files did not run")
            what = f"limits, {size.name}: pre-commit run check-added-large-files"
            yield Row(_figure(what, size.pre_commit_target, theirs, ours, rounds), place.disk)


def _figure(what: str, target: float, floor: Command, ours: Command, rounds: int) -> Figure:
    pairs = [pair(lambda: seconds(floor), lambda: seconds(ours), number) for number in range(rounds + 1)]
    figure = Figure(what, target, tuple(pairs[1:]))
    print(f"{what}: {figure.ratio:.2f} (at most {target:g})", file=sys.stderr, flush=True)
    return figure


def make_repository(place: Surroundings, size: Size, check: Path | None) -> Path:
    """A repository with so many files in its index: all but the staged ones packed, in HEAD."""
    folder = place.folder / "repository"
    folder.mkdir()
    place.git(folder, "init", "-q").run()
    committed = {
        ".amlignore": "\n".join(PATTERNS) + "\n",
        "pyproject.toml": SETTINGS,
        ".pre-commit-config.yaml": PRE_COMMIT_CONFIGURATION.format(entry=check or "true"),
    }
    for number in range(size.files - size.staged - len(committed)):
        committed[f"d{number % 97}/s{number % 13}/f{number}.txt"] = f"{number}\n" * (1 + number % 20)
    _commit(place, folder, committed)
    place.git(folder, "checkout", "-qf", "main").run()
    staged = folder / "staged"
    staged.mkdir()
    for number in range(size.staged):
        (staged / f"{number}.txt").write_text(f"new {number}\n")
    place.git(folder, "add", "staged").run()
    return folder


def _commit(place: Surroundings, folder: Path, files: dict[str, str]) -> None:
    """One commit straight into one pack."""
    stream = [b"commit refs/heads/main\ncommitter Ada <ada@example.org> 1700000000 +0000\ndata 1\nx\n"]
    for path, text in files.items():
        content = text.encode()
        stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
    subprocess.run(
        ("git", "fast-import", "--quiet"), cwd=folder, env=place.environment, input=b"".join(stream), check=True
    )


if __name__ == "__main__":
    main()
