"""Compute targets and run configurations: list them, make and delete run configurations."""

from __future__ import annotations

import difflib
from typing import Any

from amltool.commands.opening import Opened, survey_computes
from amltool.configuration.choosing import find_run_configuration, list_compute_targets
from amltool.configuration.choosing import list_run_configurations as names_of
from amltool.configuration.folder import working_files
from amltool.configuration.runconfig import (
    FILE_PLACEHOLDER,
    RUN_CONFIGURATION_MISSING,
    Framework,
    RunConfiguration,
    is_name,
    write_run_configuration,
)
from amltool.errors import UserError
from amltool.files import no_space, write_whole


def list_targets(opened: Opened) -> list[dict[str, Any]]:
    """Every compute target of the project with the run configurations that use it.

    The ``error`` of a row says why it cannot be used, where its ``.compute`` has mistakes.
    """
    users = run_configurations_of_targets(opened)
    good, bad = survey_computes(opened.project.root)
    rows: list[dict[str, Any]] = [
        {"name": compute.name, "type": compute.type.value, "address": compute.address, "error": None}
        for compute in good
    ]
    rows += [{"name": name, "type": None, "address": None, "error": str(error)} for name, error in bad.items()]
    for row in rows:
        row["run_configurations"] = users.get(row["name"], [])
    return sorted(rows, key=lambda row: str(row["name"]))


def run_configurations_of_targets(opened: Opened) -> dict[str, list[str]]:
    """Compute targets by name with the run configurations that use them; one that cannot be read uses none."""
    users: dict[str, list[str]] = {}
    for name in list_run_configurations(opened):
        try:
            configuration = find_run_configuration(working_files(opened.project.root), name)
        except UserError:
            continue
        users.setdefault(configuration.target or "", []).append(name)
    return users


def list_run_configurations(opened: Opened) -> list[str]:
    """The names of the project's run configurations, in order."""
    return names_of(working_files(opened.project.root))


def make_run_configuration(opened: Opened, name: str, target: str | None, framework: str) -> str:
    """Write a new run configuration; gives its path in the project.

    Raises:
        UserError: a bad or used name, no such target, an unknown framework.
    """
    if not is_name(name) or name.endswith(".runconfig"):
        raise UserError(f"{name!r} cannot name a run configuration.", "Use letters, digits, - and _.")
    known = list_compute_targets(working_files(opened.project.root))
    if target is None or target not in known:
        near = difflib.get_close_matches(target or "", known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise UserError(
            f"There is no compute target {target!r}." if target else "A run configuration needs a compute target.",
            f"Give --target with one of: {', '.join(known) or 'none yet; see amltool init'}.{meant}",
        )
    try:
        kind = next(kind for kind in Framework if kind.value.lower() == framework.lower())
    except StopIteration:
        raise UserError(f"There is no framework {framework!r}.", "Use Python or PySpark.") from None
    path = opened.project.root / "aml_config" / f"{name}.runconfig"
    if path.exists():
        raise UserError(f"There is a run configuration {name} already.", f"Edit {path}, or use another name.")
    configuration = RunConfiguration(name=name, argument_vector=(FILE_PLACEHOLDER,), target=target, framework=kind)
    try:
        write_whole(path, write_run_configuration(configuration).encode())
    except OSError as error:
        raise no_space(error, path) from error
    return path.relative_to(opened.project.root).as_posix()


def delete_run_configuration(opened: Opened, name: str) -> str:
    """Delete a run configuration; gives its path in the project.

    Raises:
        UserError: there is none of that name.
    """
    path = opened.project.root / "aml_config" / f"{name}.runconfig"
    if not is_name(name) or not path.is_file():
        raise UserError(
            RUN_CONFIGURATION_MISSING.format(name),
            f"There are: {', '.join(list_run_configurations(opened)) or 'none'}.",
        )
    path.unlink()
    return path.relative_to(opened.project.root).as_posix()
