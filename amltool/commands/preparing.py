"""Prepare: build the execution environment of a compute target now, or say whether it is there."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from amltool.commands.opening import Opened
from amltool.configuration.choosing import choose
from amltool.configuration.folder import read_if_there, working_files
from amltool.environments.base import EnvironmentRequest, Prepared, Progress
from amltool.errors import UserError
from amltool.targets import open_target

PREPARED = "The compute target already prepared for the specified run configuration."
NO_CHECK = "Can not check preparation of local targets"
"""The ancestor's words (WORKBENCH 2.3)."""
NOT_PREPARED = "The compute target is not prepared for the specified run configuration."


class Preparation(msgspec.Struct, frozen=True):
    """What became of it: whether the environment is there, whether it was built just now, and what it is."""

    message: str
    target: str
    run_configuration: str
    ready: bool
    built: bool = False
    key: str = ""
    image: str | None = None


def prepare(
    opened: Opened, target: str | None, run_configuration: str | None, progress: Progress | None
) -> Preparation:
    """Build the environment that a submit of the working folder would use; ``progress`` ``None``: only look for it.

    Raises:
        UserError: it is not clear which, it cannot be built, or it is the user's own and there is nothing to check.
    """
    files = working_files(opened.project.root)
    chosen = choose(files, files, target=target, run_configuration=run_configuration)
    configuration, compute = chosen.run_configuration, chosen.compute
    place = open_target(compute, opened.names, opened.git.top)
    if compute.user_managed_environment and not compute.in_container:
        return _of_the_user(compute.name, configuration.name, check=progress is None)
    if progress is None and not compute.over_ssh and not compute.in_container:
        _refuse_to_run(compute.python_location, opened.git.top)
    root = opened.project.root
    request = EnvironmentRequest(
        read=lambda path: _read(root, path),
        conda_file=configuration.conda_dependencies_file,
        spark_file=configuration.spark_dependencies_file,
        framework=configuration.framework.value,
    )
    found = place.environment.find(place.host, request)
    if found is not None:
        return _report(PREPARED, compute.name, configuration.name, found)
    if progress is None:
        return Preparation(NOT_PREPARED, compute.name, configuration.name, ready=False)
    built = place.environment.prepare(place.host, request, progress)
    for notice in built.notices:
        progress.say(notice)
    message = f"The compute target {compute.name} is prepared for the run configuration {configuration.name}."
    return msgspec.structs.replace(_report(message, compute.name, configuration.name, built), built=True)


def _refuse_to_run(python_location: str, top: Path) -> None:
    """A look (``--check``) runs no file of the repository."""
    from amltool.environments.interpreter import find_foreign_interpreter

    foreign = find_foreign_interpreter(python_location, os.environ.get("PATH"), top)
    if foreign is not None:
        raise UserError(
            f"pythonLocation names {foreign}, a file of this repository or a script: a check does not run it.",
            "If you trust it, leave --check out: amltool prepare",
        )


def _of_the_user(target: str, run_configuration: str, *, check: bool) -> Preparation:
    if check:
        raise UserError(NO_CHECK, f"{target} uses an interpreter of your own: amltool doctor tells which.")
    message = (
        f"Nothing to prepare: the compute target {target} uses an interpreter of your own "
        "(userManagedEnvironment: false in its .compute has one built)."
    )
    return Preparation(message, target, run_configuration, ready=True)


def _report(message: str, target: str, run_configuration: str, found: Prepared) -> Preparation:
    return Preparation(message, target, run_configuration, ready=True, key=found.key, image=found.image)


def _read(root: Path, path: str) -> bytes | None:
    place = (root / path).resolve()
    return read_if_there(place) if place.is_relative_to(root.resolve()) else None
