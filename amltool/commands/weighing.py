"""The one answer to "is this snapshot within the limits", for submit, check and the hooks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amltool.errors import UserError
from amltool.ignore import IGNORE_FILES
from amltool.limits import Level, Limits, Problem, Weight, judge, require_within, weigh, weigh_spare

if TYPE_CHECKING:
    from amltool.git.survey import Survey

ALWAYS_NEEDED = frozenset({*IGNORE_FILES, "aml_config", "pyproject.toml", ".gitattributes", ".gitmodules"})
SCRIPTS = (".py", ".ipynb", ".sh", ".R")
"""Endings of files that are taken for entries of the project where they lie at its root."""


class Weighed(msgspec.Struct, frozen=True):
    """What is weighed: a snapshot's files with their bytes, its root, the name of the ignore file that rules, the
    folders of its submodules, and a script that is needed for sure."""

    sizes: Mapping[str, int]
    root: Path
    ignore_file: str | None
    submodules: Iterable[str] = ()
    script: str | None = None


def weighed(found: Survey, project: Path, script: str | None) -> Weighed:
    """What a survey of a project found, ready to be weighed."""
    return Weighed(
        found.sizes, project / found.source_directory, found.ignore_file_name, tuple(found.submodules), script
    )


def weigh_and_judge(what: Weighed, limits: Limits) -> tuple[Weight, tuple[Problem, ...]]:
    """What a snapshot weighs and what the limits say of it; advice names nothing that a run needs."""
    weight = weigh(what.sizes.items())
    problems = judge(weight, limits, str(what.root), what.ignore_file)
    if all(problem.level is not Level.ERROR for problem in problems):
        return weight, problems
    spare = weigh_spare(what.sizes, needed_by_runs(what), what.submodules)
    return weight, judge(weight, limits, str(what.root), what.ignore_file, spare)


def needed_by_runs(what: Weighed) -> set[str]:
    """The files that runs of a project need: its configuration, its ignore files, dependency files and scripts."""
    needed = {path for path in what.sizes if "/" not in path and path.endswith(SCRIPTS)}
    needed |= ALWAYS_NEEDED
    if what.script:
        needed.add(what.script.removeprefix("./"))
    from amltool.configuration.choosing import find_run_configuration, list_run_configurations
    from amltool.configuration.folder import working_files

    files = working_files(what.root)
    with contextlib.suppress(UserError, OSError):
        for name in list_run_configurations(files):
            with contextlib.suppress(UserError, OSError):
                found = find_run_configuration(files, name)
                needed.update(path.removeprefix("./") for path in found.argument_vector[:1])
                needed.update((found.conda_dependencies_file, found.spark_dependencies_file))
    return needed


def refuse_over_limits(what: Weighed, limits: Limits, say: Callable[[str], None]) -> None:
    """Say warnings; refuse what is over a limit.

    Raises:
        LimitsExceededError: with every problem, the offenders and the remedies.
    """
    _, problems = weigh_and_judge(what, limits)
    require_within(problems)
    for problem in problems:
        if problem.level is Level.WARNING:
            say(problem.message)
