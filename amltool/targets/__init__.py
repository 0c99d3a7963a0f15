"""Compute targets: the table of what each type is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec

from amltool.configuration.compute import ComputeTarget, ComputeType
from amltool.errors import UserError
from amltool.files import no_space
from amltool.layout import share_path
from amltool.run import ProjectNames
from amltool.targets.base import Target


class Place(msgspec.Struct, frozen=True):
    """Where a target is opened from: whose project it is, and the top of its repository here."""

    names: ProjectNames
    top: Path


def open_target(compute: ComputeTarget, names: ProjectNames, top: Path) -> Target:
    """The compute target a ``.compute`` describes, ready to run.

    Raises:
        UserError: this amltool has no such target, or what it needs is not installed.
    """
    make = TARGETS.get(compute.type)
    if make is None:
        raise UserError(
            f"The compute target {compute.name} is of type {compute.type.value}, which this amltool cannot run yet.",
            f"Types it can run: {', '.join(sorted(kind.value for kind in TARGETS))}.",
        )
    return make(compute, Place(names, top))


def _local(compute: ComputeTarget, place: Place) -> Target:
    from amltool.environments.interpreter import UserInterpreter
    from amltool.hosts.local import LocalHost
    from amltool.launchers.process import ProcessLauncher
    from amltool.targets.placing import place_here
    from amltool.targets.variables import inherited_variables
    from amltool.tracking.travel import install

    host = LocalHost(Path(compute.root).expanduser() if compute.root else None)
    try:
        tracking = install(host)
    except OSError as error:
        raise no_space(error, str(host.root)) from error
    share = share_path(
        _home(compute.native_shared_directory), place.names.account, place.names.workspace, place.names.name
    )
    return Target(
        name=compute.name,
        type=compute.type.value,
        host=host,
        environment=UserInterpreter(compute.python_location, host),
        launcher=ProcessLauncher(tracking.bootstrap),
        place=place_here,
        share=share,
        share_in_run=share,
        tracking=tracking.site,
        inherited=lambda git: inherited_variables(git.top),
    )


def _home(folder: str) -> PurePosixPath:
    return PurePosixPath(Path(folder).expanduser())


TARGETS: dict[ComputeType, Callable[[ComputeTarget, Place], Target]] = {
    ComputeType.LOCAL: _local,
}
"""Type -> host x environment x launcher. A new target is one file, one line here, one constructor for the contract
suite."""
