"""What `submit --target local` costs beside the least that could isolate a run: a Git worktree.

The floor is three whole processes, one after the other: ``git worktree add --detach``, the script in it,
``git worktree remove --force``. Ours is one: ``amltool submit s.py --target local``. Both on the same fresh disk,
in turns; before each round one file changes and is committed, so that every submit takes a new snapshot.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measuring import BenchmarkError, Figure, Pair, pair, seconds
from sized_project import SCRIPT, SizedProject, make_sized_project
from surroundings import Surroundings, surroundings


@dataclass(frozen=True, slots=True)
class Size:
    """What a snapshot weighs, the most that overhead may be (first time, again), and how often it is measured."""

    files: int
    megabytes: int
    first_target: float
    again_target: float
    rounds: int
    gigabytes: int

    def __str__(self) -> str:
        return f"{self.files:,} files / {self.megabytes} MB"


SIZES = {
    "overhead-1MB": Size(50, 1, first_target=5.0, again_target=5.0, rounds=11, gigabytes=1),
    "overhead-25MB": Size(2000, 25, first_target=2.0, again_target=1.5, rounds=9, gigabytes=2),
    "overhead-300MB": Size(2000, 300, first_target=1.3, again_target=0.4, rounds=7, gigabytes=6),
}


def measure(size: Size, programs: Path, rounds: int) -> Iterator[tuple[Figure, str]]:
    """Measure one size with packed and with loose objects; figures, each with the disk it was measured on."""
    for packed in (True, False):
        with surroundings(programs, size.gigabytes) as place:
            project = make_sized_project(place, size.files, size.megabytes, packed=packed)
            first, again = _rounds(project, rounds)
            require_runs(project, 2 * (rounds + 1))
        objects = "packed objects" if packed else "loose objects"
        yield Figure(f"{size}, {objects}: first", size.first_target, first), place.disk
        yield Figure(f"{size}, {objects}: again after one file changed", size.again_target, again), place.disk


def _rounds(project: SizedProject, rounds: int) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Pairs of the first submit (nothing in ``~/.amltool/runs``) and of the one after it, without the warm-up."""
    first, again = [], []
    for number in range(rounds + 1):
        project.commit_a_change()
        first.append(pair(lambda: floor(project), lambda: submit_first(project), number))
        project.commit_a_change()
        again.append(pair(lambda: floor(project), lambda: submit(project), number))
    return tuple(first[1:]), tuple(again[1:])


def floor(project: SizedProject) -> float:
    """Seconds for a worktree of the newest commit, the script in it, and its removal."""
    place = project.surroundings
    worktree = place.folder / "worktree"
    return seconds(
        place.git(project.folder, "worktree", "add", "--quiet", "--detach", str(worktree)),
        place.program(worktree, "python", SCRIPT),
        place.git(project.folder, "worktree", "remove", "--force", str(worktree)),
    )


def submit_first(project: SizedProject) -> float:
    """Seconds for a submit that finds no run folder to reuse."""
    shutil.rmtree(run_root(project.surroundings), ignore_errors=True)
    return submit(project)


def submit(project: SizedProject) -> float:
    """Seconds for a submit of the newest commit."""
    return seconds(project.surroundings.program(project.folder, "amltool", "submit", SCRIPT, "--target", "local"))


def run_root(place: Surroundings) -> Path:
    return place.home / ".amltool" / "runs"


def require_runs(project: SizedProject, expected: int) -> None:
    """Every submit that was timed is a recorded run, or the times mean nothing."""
    listed = project.surroundings.program(
        project.folder, "amltool", "runs", "--limit", "0", "--query", "length([?status == 'Completed'])", "--json"
    ).run()
    if int(listed) != expected:
        raise BenchmarkError(f"{expected} submits were timed, but {int(listed)} runs are recorded as completed.")
