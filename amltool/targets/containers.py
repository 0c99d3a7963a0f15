"""What the containers of a compute target are made with."""

from __future__ import annotations

from pathlib import PurePosixPath

from amltool.configuration.compute import ComputeTarget
from amltool.launchers.container_spec import ContainerSettings


def load(*, here: bool = True) -> None:
    """Load what a run in a container takes, on this machine or another, while something else is waited for."""
    import amltool.environments.image
    import amltool.launchers.container  # noqa: F401
    from amltool.containers import daemon

    daemon.load(here=here)


def container_settings(
    compute: ComputeTarget, library: PurePosixPath, share: PurePosixPath | None
) -> ContainerSettings:
    """The settings of a ``.compute``; ``library`` is where what travels with runs lies on the host, ``share`` the
    shared folder there."""
    return ContainerSettings(
        library=library,
        share=share,
        shared_volumes=compute.shared_volumes,
        gpu=compute.gpu or ("all" if compute.nvidia_docker else None),
        shm_size=compute.shm_size,
        memory=compute.memory,
        cpus=compute.cpus,
        network=compute.network,
        volumes=compute.volumes,
    )
