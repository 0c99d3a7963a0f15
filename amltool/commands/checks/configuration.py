"""Every file in ``aml_config`` is valid, and what it names is there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from amltool.configuration.choosing import (
    COMPUTE_SUFFIX,
    RUN_CONFIGURATION_SUFFIX,
    find_compute,
    find_run_configuration,
    list_compute_targets,
    list_run_configurations,
)
from amltool.configuration.folder import FOLDER, Files
from amltool.configuration.runconfig import FILE_PLACEHOLDER, RunConfiguration, is_name
from amltool.errors import ConfigurationError, UserError
from amltool.limits import Level, Problem, shown

if TYPE_CHECKING:
    from amltool.configuration.dependencies import CondaDependencies, SparkDependencies

_DEPENDENCY_KEYS = {"CondaDependenciesFile": "conda", "SparkDependenciesFile": "spark"}


def configuration_problems(files: Files, paths: Collection[str], working: Files | None = None) -> list[Problem]:
    """The mistakes and warnings of every compute target, run configuration and dependency file.

    ``files`` are those that are looked at, ``paths`` all files beside them; ``working`` the working folder, where a
    ``.compute`` may lie that is not committed.
    """
    problems: list[Problem] = _odd_names(files)
    targets = sorted({*list_compute_targets(files), *(list_compute_targets(working) if working else ())})
    for name in list_compute_targets(files):
        try:
            problems += _warnings(find_compute(files, name).warnings)
        except UserError as error:
            problems += _mistakes(error)
    dependencies: dict[str, str] = {}
    for name in list_run_configurations(files):
        try:
            found = find_run_configuration(files, name)
        except UserError as error:
            problems += _mistakes(error)
            continue
        problems += _warnings(found.warnings)
        problems += _references(found, targets, paths)
        for key, kind in _DEPENDENCY_KEYS.items():
            # Not named, it is the default and need not be there
            path = getattr(found, f"{kind}_dependencies_file")
            if found.content.get(key) and path in found.dependency_files:
                dependencies.setdefault(path, kind)
                if path not in paths:
                    problems.append(_missing_dependencies(name, key, path))
    problems += _dependency_problems(files, paths, dependencies)
    return problems


def _mistakes(error: UserError) -> list[Problem]:
    said = map(str, error.mistakes) if isinstance(error, ConfigurationError) else [error.what]
    return [Problem("configuration", Level.ERROR, each, error.remedy) for each in said]


def _warnings(texts: Collection[str]) -> list[Problem]:
    return [Problem("configuration", Level.WARNING, text, "") for text in texts]


def _odd_names(files: Files) -> list[Problem]:
    problems = []
    for name in files.names():
        for suffix in (COMPUTE_SUFFIX, RUN_CONFIGURATION_SUFFIX):
            if name.endswith(suffix) and not is_name(name.removesuffix(suffix)):
                message = f"{shown(f'{FOLDER}/{name}')}: no command can name this file."
                remedy = "Rename it: letters, digits and `-` or `_` before the suffix."
                problems.append(Problem("configuration", Level.WARNING, message, remedy))
    return problems


def _references(found: RunConfiguration, targets: Collection[str], paths: Collection[str]) -> list[Problem]:
    path = f"{FOLDER}/{found.name}{RUN_CONFIGURATION_SUFFIX}"
    problems: list[Problem] = []
    if found.target is not None and found.target not in targets:
        message = f"{path}: there is no compute target {shown(found.target)}"
        known = ", ".join(shown(each) for each in targets) or "none yet"
        remedy = f"Make {FOLDER}/{shown(found.target)}{COMPUTE_SUFFIX}, or name one of: {known}."
        problems.append(Problem("configuration", Level.ERROR, message, remedy))
    script = found.argument_vector[0] if found.argument_vector else FILE_PLACEHOLDER
    if script != FILE_PLACEHOLDER and script.removeprefix("./") not in paths:
        message = f"{path}: its ArgumentVector runs a script that is not in the commit: {shown(script)}"
        remedy = "Add it to Git, or name another; `$file` stands for whichever script is submitted."
        problems.append(Problem("configuration", Level.WARNING, message, remedy))
    return problems


def _missing_dependencies(name: str, key: str, path: str) -> Problem:
    message = f"{FOLDER}/{name}{RUN_CONFIGURATION_SUFFIX}: {key}: {shown(path)} is not in the commit"
    return Problem("configuration", Level.ERROR, message, "Add it to Git, or name one that is there.")


def _dependency_problems(files: Files, paths: Collection[str], named: dict[str, str]) -> list[Problem]:
    """The mistakes of the dependency files that are named, and of those of the usual names."""
    from amltool.configuration.dependencies import read_conda_dependencies, read_spark_dependencies

    readers: dict[str, Callable[[bytes, str], CondaDependencies | SparkDependencies]] = {
        "conda": read_conda_dependencies,
        "spark": read_spark_dependencies,
    }
    usual = {f"{FOLDER}/{kind}_dependencies.yml": kind for kind in readers}
    problems: list[Problem] = []
    for path, kind in {**usual, **named}.items():
        try:
            content = files.read(path) if path in paths else None
            if content is not None:
                problems += _warnings(readers[kind](content, path).warnings)
        except UserError as error:
            problems += _mistakes(error)
    return problems
