"""The one answer to "is this snapshot within the limits", for submit, check and the hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from amltool.ignore import IgnoreFile
from amltool.limits import Level, Limits, Problem, Weight, judge, require_within, weigh


def weigh_and_judge(
    sizes: Mapping[str, int], limits: Limits, where: Path, ignore_file: IgnoreFile | None
) -> tuple[Weight, tuple[Problem, ...]]:
    """What a snapshot weighs (paths with their bytes) and what the limits say of it."""
    weight = weigh(sizes.items())
    return weight, judge(weight, limits, str(where), ignore_file.name if ignore_file else None)


def refuse_over_limits(
    sizes: Mapping[str, int], limits: Limits, where: Path, ignore_file: IgnoreFile | None, say: Callable[[str], None]
) -> None:
    """Say warnings; refuse what is over a limit.

    Raises:
        LimitsExceededError: with every problem, the offenders and the remedies.
    """
    _, problems = weigh_and_judge(sizes, limits, where, ignore_file)
    require_within(problems)
    for problem in problems:
        if problem.level is Level.WARNING:
            say(problem.message)
