"""Compute targets on another machine: ``remote``, a process there, and ``remotedocker``, a container there.

Nothing is asked of the machine before there is something to do on it: a run that is gone on with may have to wait for
it. No path and no variable of this machine reaches the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from amltool.configuration.compute import DEFAULT_PORT, ComputeTarget
from amltool.configuration.secrets import SecretKind, credential_service_gone
from amltool.environments.login import Login
from amltool.errors import UserError
from amltool.git.command import Git
from amltool.hosts.ssh import SshHost
from amltool.hosts.ssh_settings import SshSettings
from amltool.layout import (
    LIBRARY_IN_CONTAINER,
    RUN_IN_CONTAINER,
    SHARE_IN_CONTAINER,
    HostLayout,
    RunFolder,
    share_path,
)
from amltool.snapshot import Snapshot
from amltool.targets.drive import Target
from amltool.targets.library import install_library
from amltool.targets.placing import OnWritten, Placing, project_key
from amltool.targets.placing_there import PlacingThere, UnheardError, make_place
from amltool.targets.variables import inherited_there
from amltool.tracking import travel

if TYPE_CHECKING:
    from amltool.environments.base import ExecutionEnvironment
    from amltool.targets import Place
    from amltool.targets.run_inputs import PlaceInput
    from amltool.tracking.travel import Installed


def ssh_settings(compute: ComputeTarget) -> SshSettings:
    """How to reach the machine of a compute target.

    Raises:
        UserError: the private key is kept where nothing can fetch it any more.
    """
    key_file, password, passphrase = compute.private_key_file, compute.password, compute.private_key_passphrase
    if compute.private_key is not None and key_file is None and not compute.use_ssh_key:
        gone = compute.private_key.kind is SecretKind.CREDENTIAL_SERVICE
        raise UserError(
            f"{credential_service_gone('privateKey')}."
            if gone
            else f"privateKey of the compute target {compute.name} is a reference, and keys are read from files.",
            "Name the file of the key as privateKeyFile in the .compute, or set useSshKey: true for the keys of the "
            "agent and of ~/.ssh.",
        )
    return SshSettings(
        compute.address or "",
        port=compute.port if compute.port != DEFAULT_PORT else None,
        username=compute.username,
        key_file=Path(key_file).expanduser() if key_file else None,
        use_ssh_key=compute.use_ssh_key,
        password=password.resolve if password is not None else None,
        passphrase=(lambda _: passphrase.resolve()) if passphrase is not None else None,
        compression=compute.compression,
    )


_hosts: dict[tuple[object, ...], SshHost] = {}


def _host(compute: ComputeTarget) -> SshHost:
    """The machine of a compute target, over one connection for all runs and targets that have the same."""
    settings = ssh_settings(compute)
    way = (settings.address, settings.port, settings.username, settings.key_file, settings.use_ssh_key)
    secrets = (str(compute.password), str(compute.private_key_passphrase))
    key = (*way, *secrets, settings.compression, compute.root)
    return _hosts.setdefault(key, SshHost(settings, compute.root))  # two threads may ask


def connect_early(compute: ComputeTarget) -> None:
    """Be connected to the machine of a compute target before anything is asked of it.

    Raises:
        UserError: as `SshHost.connect`; asking raises it again.
    """
    if compute.over_ssh:
        _host(compute).connect(streams_soon=True)


class Machine:
    """The machine of a compute target, and what of ours lies there."""

    def __init__(self, compute: ComputeTarget, place: Place) -> None:
        self._compute = compute
        self._place = place
        self.host = _host(compute)
        self._has_placed = False
        self._placing: PlacingThere | None = None
        self._installed: Installed | None = None
        self._installing = threading.Lock()

    @cached_property
    def tracking(self) -> Installed:
        """Where what travels with runs lies there, or will lie once it is `installed`."""
        return travel.at(HostLayout(self.host.root).tracking(travel.digest(travel.files())))

    @property
    def installed(self) -> Installed:
        """What travels with runs, put there at the first need: a snapshot and a container may need it at once."""
        with self._installing:
            self._installed = self._installed or install_library(self.host)
            return self._installed

    @property
    def bootstrap(self) -> PurePosixPath:
        """What starts runs there. Once something was placed it is known to be there; else it is made sure of."""
        found: PurePosixPath = (self.tracking if self._has_placed else self.installed).bootstrap
        return found

    @cached_property
    def login(self) -> Login:
        return Login(self.host)

    @cached_property
    def share(self) -> PurePosixPath:
        """The shared folder; ``~`` is the home folder there."""
        names, base = self._place.names, PurePosixPath(self._compute.native_shared_directory)
        if base.parts[:1] == ("~",):
            base = PurePosixPath(self.host.facts().home, *base.parts[1:])
        return share_path(base, names.account, names.workspace, names.name)

    def begin_place(self, git: Git, folder: RunFolder, snapshot: Snapshot) -> Callable[[], None]:
        """As `Target.begin_place`. What does it is nearly always there: it is not asked for first."""
        self._placing = make_place(self.host, self.tracking, key=project_key(git, self._place.prefix))
        self._placing.begin(git, folder, snapshot)
        return self._placing.withdraw

    def place(self, git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None = None) -> Placing:
        """Bring a snapshot there; as `Target.place`."""
        key = project_key(git, self._place.prefix)
        placing, self._placing = self._placing or make_place(self.host, self.tracking, key=key), None
        try:
            done = placing(git, folder, snapshot, on_written)
        except UnheardError:  # by now somebody else may have put it there
            done = make_place(self.host, self.installed, key=key)(git, folder, snapshot, on_written)
        self._has_placed = True
        return done

    @property
    def place_input(self) -> PlaceInput:
        """The way to place an input there (`Target.place_input`)."""
        from amltool.targets.run_inputs import input_there

        return input_there(self.host, lambda: self.bootstrap)


def remote(compute: ComputeTarget, place: Place) -> Target:
    """A process on another machine, with the interpreter there or an environment that is built there."""
    from amltool.launchers.process import ProcessLauncher

    machine = Machine(compute, place)
    return Target(
        name=compute.name,
        type=compute.type.value,
        host=machine.host,
        environment=_environment(compute, machine),
        launcher=ProcessLauncher(lambda: machine.bootstrap),
        place=machine.place,
        begin_place=machine.begin_place,
        place_input=machine.place_input,
        share=machine.share,
        share_in_run=machine.share,
        tracking=machine.tracking,
        inherited=lambda _: inherited_there(machine.login.variables()),
        sends_less=True,
    )


def _environment(compute: ComputeTarget, machine: Machine) -> ExecutionEnvironment:
    if compute.user_managed_environment:
        from amltool.environments.interpreter_there import InterpreterThere

        return InterpreterThere(compute.python_location, machine.login, compute.spark_submit_location)
    from amltool.environments.built import built_environment

    location = compute.python_location
    if location.startswith("~/"):
        compute = replace(compute, python_location=f"{machine.host.facts().home}{location[1:]}")
    return built_environment(compute, machine.host, machine.login)


def remote_docker(compute: ComputeTarget, place: Place) -> Target:
    """A container on another machine, in an image that is built there.

    Without ``sharedVolumes`` it has no shared folder. Its own folder there is mounted all the same: it is nobody's but
    the run's, and what is copied into a container and out of it again lies on that machine twice.
    """
    from amltool.containers.daemon import DockerDaemon
    from amltool.environments.image import ImageEnvironment
    from amltool.launchers.container import ContainerLauncher
    from amltool.targets import NO_SHARE
    from amltool.targets.containers import container_settings

    machine = Machine(compute, place)
    daemon = DockerDaemon(machine.host)
    share = machine.share if compute.shared_volumes else None
    settings = container_settings(replace(compute, shared_volumes=True), machine.tracking.folder, share)
    return Target(
        name=compute.name,
        type=compute.type.value,
        host=machine.host,
        environment=ImageEnvironment(daemon, compute, place.names.name),
        launcher=ContainerLauncher(daemon, settings, lambda: machine.installed),
        place=machine.place,
        begin_place=machine.begin_place,
        place_input=machine.place_input,
        share=share,
        share_in_run=SHARE_IN_CONTAINER if share is not None else None,
        tracking=travel.at(LIBRARY_IN_CONTAINER),
        inherited=lambda _: {},
        folder_in_run=lambda _: RUN_IN_CONTAINER,
        hint="" if compute.shared_volumes else NO_SHARE.format(compute.name),
        sends_less=True,
    )
