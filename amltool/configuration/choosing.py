"""Which run configuration and which compute target a user means (DESIGN 7)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import asdict, replace

from amltool.configuration.compute import ComputeTarget, ComputeType, read_compute, write_compute
from amltool.configuration.folder import FOLDER, Files
from amltool.configuration.runconfig import (
    COMPUTE_MISSING,
    RUN_CONFIGURATION_MISSING,
    RUN_CONFIGURATION_SUFFIXED,
    RunConfiguration,
    is_name,
    read_run_configuration,
)
from amltool.configuration.tree import closest
from amltool.errors import UserError

COMPUTE_SUFFIX = ".compute"
RUN_CONFIGURATION_SUFFIX = ".runconfig"
DEFAULT_RUN_CONFIGURATION = "local"


WITH_DOCKER = {
    ComputeType.LOCAL: ComputeType.LOCAL_DOCKER,
    ComputeType.REMOTE: ComputeType.REMOTE_DOCKER,
}


class Chosen(msgspec.Struct, frozen=True):
    """What a run was chosen to use."""

    run_configuration: RunConfiguration
    compute: ComputeTarget

    @property
    def compute_text(self) -> str:
        """The ``.compute`` that took effect, secrets as references."""
        return write_compute(self.compute)


def list_run_configurations(files: Files) -> list[str]:
    """The names of the run configurations there are."""
    return _named(files, RUN_CONFIGURATION_SUFFIX)


def list_compute_targets(files: Files) -> list[str]:
    """The names of the compute targets there are."""
    return _named(files, COMPUTE_SUFFIX)


def find_run_configuration(files: Files, name: str) -> RunConfiguration:
    """The run configuration of a name.

    Raises:
        UserError: there is none; names those there are.
        ConfigurationError: it has mistakes.
    """
    if name.endswith(RUN_CONFIGURATION_SUFFIX):
        raise UserError(RUN_CONFIGURATION_SUFFIXED, f"Write: -c {name.removesuffix(RUN_CONFIGURATION_SUFFIX)}")
    path = f"{FOLDER}/{name}{RUN_CONFIGURATION_SUFFIX}"
    content = files.read(path) if is_name(name) else None
    if content is None:
        remedy = _those_there(name, list_run_configurations(files), "run configuration")
        raise UserError(RUN_CONFIGURATION_MISSING.format(name), remedy)
    return read_run_configuration(name, content, path)


def find_compute(files: Files, name: str) -> ComputeTarget:
    """The compute target of a name.

    Raises:
        UserError: there is none; names those there are.
        ConfigurationError: it has mistakes.
    """
    path = f"{FOLDER}/{name}{COMPUTE_SUFFIX}"
    content = files.read(path) if is_name(name) else None
    if content is None:
        remedy = _those_there(name, list_compute_targets(files), "compute target")
        raise UserError(COMPUTE_MISSING.format(name, FOLDER), remedy)
    return read_compute(name, content, path)


def choose(
    snapshot: Files, working: Files, *, target: str | None = None, run_configuration: str | None = None
) -> Chosen:
    """The run configuration (from the snapshot) and the compute target (from the working folder) of a run.

    ``run_configuration`` names it; ``target`` beside it replaces its compute target. ``target`` alone means the run
    configuration of that name, else the only one that targets it. With neither: ``local`` if there, else the only one.

    Raises:
        UserError: what is named is not there, or several could be meant.
        ConfigurationError: a chosen file has mistakes.
    """
    if run_configuration is not None:
        configuration = find_run_configuration(snapshot, run_configuration)
        compute = find_compute(working, _target_of(configuration, target))
    elif target is not None:
        if target not in list_run_configurations(snapshot):
            find_compute(working, target)  # a name that nobody knows is first of all no compute target
        configuration = find_run_configuration(snapshot, _that_targets(snapshot, target))
        named = configuration.name == target and target not in list_compute_targets(working)
        compute = find_compute(working, _target_of(configuration, None if named else target))
    else:
        configuration = find_run_configuration(snapshot, _default(snapshot))
        compute = find_compute(working, _target_of(configuration, None))
    return _as_asked(configuration, compute)


def _as_asked(configuration: RunConfiguration, compute: ComputeTarget) -> Chosen:
    """What azureml-core did: the run configuration switched Docker on, and said what of the container.

    With ``docker.enabled`` a target without Docker is one with it, and what stands beside it wins over the
    ``.compute``; without, the ``.compute`` rules, and a warning says what is not done.
    """
    wishes = configuration.container
    if wishes is None:
        return Chosen(configuration, compute)
    if wishes.enabled and compute.type in WITH_DOCKER:
        compute = replace(compute, type=WITH_DOCKER[compute.type], user_managed_environment=False)
    given = {name: value for name, value in asdict(wishes).items() if name != "enabled" and value is not None}
    if wishes.enabled and compute.in_container:
        return Chosen(configuration, replace(compute, **given))
    managed = given.pop("user_managed_environment", None)
    warnings = []
    if managed is not None and managed != compute.user_managed_environment:
        warnings.append(f"userManagedDependencies: {str(managed).lower()} is settled by userManagedEnvironment")
    if compute.in_container and any(value != getattr(compute, name) for name, value in given.items()):
        warnings.append("what docker says counts with `enabled: true` only; else what counts is that")
    where = f"{FOLDER}/{configuration.name}{RUN_CONFIGURATION_SUFFIX}"
    of = f"of {FOLDER}/{compute.name}{COMPUTE_SUFFIX}"
    told = (*configuration.warnings, *(f"{where}: {warning} {of}" for warning in warnings))
    return Chosen(replace(configuration, warnings=told), compute)


def _target_of(configuration: RunConfiguration, target: str | None) -> str:
    found = target or configuration.target
    if found is None:
        raise UserError(
            f"Run configuration {configuration.name} names no Target.",
            f"Write `Target: NAME` into {FOLDER}/{configuration.name}{RUN_CONFIGURATION_SUFFIX}, or give --target.",
        )
    return found


def _that_targets(files: Files, target: str) -> str:
    """The name of the run configuration that ``--target`` alone means."""
    names = list_run_configurations(files)
    if target in names:
        return target
    using: list[str] = []
    broken: list[str] = []
    for name in names:
        try:
            if find_run_configuration(files, name).target == target:
                using.append(name)
        except UserError:
            broken.append(name)
    if len(using) == 1:
        return using[0]
    if using:
        raise UserError(f"Several run configurations use compute target {target}.", f"Say which: {_options(using)}")
    unread = f" ({', '.join(broken)} cannot be read: amltool check)" if broken else ""
    raise UserError(
        f"No run configuration of the snapshot uses compute target {target}{unread}.",
        f"Name one ({_options(names)}), or make one: amltool runconfig {target} --target {target}"
        if names
        else f"Make one and commit it: amltool runconfig {target} --target {target}",
    )


def _default(files: Files) -> str:
    names = list_run_configurations(files)
    if DEFAULT_RUN_CONFIGURATION in names:
        return DEFAULT_RUN_CONFIGURATION
    if len(names) == 1:
        return names[0]
    if names:
        raise UserError("Several run configurations could be meant.", f"Say which: {_options(names)}")
    raise UserError(
        f"There is no run configuration in {FOLDER}.", "Make the project's files and commit them: amltool init"
    )


def _named(files: Files, suffix: str) -> list[str]:
    stems = (name.removesuffix(suffix) for name in files.names() if name.endswith(suffix))
    return sorted(stem for stem in stems if is_name(stem))


def _options(names: Iterable[str]) -> str:
    return " or ".join(f"-c {name}" for name in names)


def _those_there(name: str, names: list[str], what: str) -> str:
    likely = closest(name, names, 0.6)
    if likely is not None and len(names) > 1:
        return f"Did you mean {likely}? There are: {', '.join(names)}."
    if names:
        return f"There {'is' if len(names) == 1 else 'are'}: {', '.join(names)}."
    return f"There is no {what} at all: make the project's files with `amltool init`, and commit them."
