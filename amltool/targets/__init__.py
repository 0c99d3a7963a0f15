"""Compute targets: the table of what each type is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from amltool.configuration.compute import ComputeTarget, ComputeType
from amltool.files import in_home
from amltool.layout import LIBRARY_IN_CONTAINER, RUN_IN_CONTAINER, SHARE_IN_CONTAINER, share_path
from amltool.run import ProjectNames
from amltool.targets.drive import Target

if TYPE_CHECKING:
    from amltool.environments.base import ExecutionEnvironment
    from amltool.hosts.base import Host
    from amltool.hosts.local import LocalHost

NO_SHARE = (
    "The script looks for AZUREML_NATIVE_SHARE_DIRECTORY, which is not set here: aml_config/{}.compute says "
    "`sharedVolumes: false`.\nSet it to true, and the shared folder is mounted."
)


class Place(msgspec.Struct, frozen=True):
    """Where a target is opened from: whose project it is, and the top of its repository here."""

    names: ProjectNames
    top: Path

    @property
    def prefix(self) -> str:
        """The project's folder in its repository, empty at the top."""
        return "" if self.names.path == "." else self.names.path


def open_target(compute: ComputeTarget, names: ProjectNames, top: Path) -> Target:
    """The compute target a ``.compute`` describes, ready to run.

    Raises:
        UserError: what it needs is not installed.
    """
    made = TARGETS[compute.type](compute, Place(names, top))
    return replace(made, max_concurrent_runs=compute.max_concurrent_runs)


def _local(compute: ComputeTarget, place: Place) -> Target:
    from amltool.launchers.process import ProcessLauncher
    from amltool.targets.library import install_library
    from amltool.targets.placing import make_place_here
    from amltool.targets.run_inputs import input_here
    from amltool.targets.variables import inherited_variables

    host = _this_machine(compute)
    tracking, share = install_library(host), _share(compute, place)
    return Target(
        name=compute.name,
        type=compute.type.value,
        host=host,
        environment=_environment(compute, host),
        launcher=ProcessLauncher(tracking.bootstrap),
        place=make_place_here(host, place.prefix),
        place_input=input_here,
        share=share,
        share_in_run=share,
        tracking=tracking,
        inherited=lambda git: inherited_variables(git.top),
    )


def _local_docker(compute: ComputeTarget, place: Place) -> Target:
    from amltool.containers.daemon import DockerDaemon
    from amltool.environments.image import ImageEnvironment
    from amltool.launchers.container import ContainerLauncher
    from amltool.targets.containers import container_settings
    from amltool.targets.library import install_library
    from amltool.targets.placing import make_place_here
    from amltool.targets.run_inputs import input_here
    from amltool.tracking import travel

    host = _this_machine(compute)
    daemon = DockerDaemon(host)
    share = _share(compute, place) if compute.shared_volumes else None
    settings = container_settings(compute, install_library(host).folder, share)
    return Target(
        name=compute.name,
        type=compute.type.value,
        host=host,
        environment=ImageEnvironment(daemon, compute, place.names.name),
        launcher=ContainerLauncher(daemon, settings),
        place=make_place_here(host, place.prefix),
        place_input=input_here,
        share=share,
        share_in_run=SHARE_IN_CONTAINER if share is not None else None,
        tracking=travel.at(LIBRARY_IN_CONTAINER),
        inherited=lambda _: {},
        folder_in_run=lambda _: RUN_IN_CONTAINER,
        hint="" if compute.shared_volumes else NO_SHARE.format(compute.name),
    )


def _remote(compute: ComputeTarget, place: Place) -> Target:
    from amltool.targets.over_ssh import remote

    return remote(compute, place)


def _remote_docker(compute: ComputeTarget, place: Place) -> Target:
    from amltool.targets.over_ssh import remote_docker

    return remote_docker(compute, place)


def _cluster(compute: ComputeTarget, place: Place) -> Target:
    from amltool.targets.hdinsight import cluster

    return cluster(compute, place)


def _this_machine(compute: ComputeTarget) -> LocalHost:
    from amltool.hosts.local import LocalHost

    return LocalHost(in_home(compute.root) if compute.root else None)


def _environment(compute: ComputeTarget, host: Host) -> ExecutionEnvironment:
    if compute.user_managed_environment:
        from amltool.environments.interpreter import UserInterpreter

        return UserInterpreter(compute.python_location, host, spark_submit_location=compute.spark_submit_location)
    from amltool.environments.built import built_environment

    return built_environment(compute, host)


def _share(compute: ComputeTarget, place: Place) -> PurePosixPath:
    base = PurePosixPath(in_home(compute.native_shared_directory))
    return share_path(base, place.names.account, place.names.workspace, place.names.name)


TARGETS: dict[ComputeType, Callable[[ComputeTarget, Place], Target]] = {
    ComputeType.LOCAL: _local,
    ComputeType.LOCAL_DOCKER: _local_docker,
    ComputeType.REMOTE: _remote,
    ComputeType.REMOTE_DOCKER: _remote_docker,
    ComputeType.CLUSTER: _cluster,
}
"""Type -> host x environment x launcher. A new target is one file, one line here, one constructor for the contract
suite."""
