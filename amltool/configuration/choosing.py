"""Which run configuration and which compute target a user means (DESIGN 7)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from amltool.configuration.compute import ComputeTarget, read_compute, write_compute
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
from amltool.errors import ConfigurationError, UserError

COMPUTE_SUFFIX = ".compute"
RUN_CONFIGURATION_SUFFIX = ".runconfig"
DEFAULT_RUN_CONFIGURATION = "local"


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
    return Chosen(configuration, compute)


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
        except ConfigurationError:
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
