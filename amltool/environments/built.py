"""Environments that amltool builds on a host without containers (``userManagedEnvironment: false``)."""

from __future__ import annotations

from amltool.configuration.compute import ComputeTarget
from amltool.environments.base import ExecutionEnvironment
from amltool.environments.conda import CondaEnvironment
from amltool.environments.folder import FolderEnvironment
from amltool.environments.login import Login
from amltool.environments.venv import VirtualEnvironment
from amltool.hosts.base import Host


def built_environment(
    compute: ComputeTarget,
    host: Host,  # noqa: ARG001 - its host is given each time
    login: Login | None = None,
) -> ExecutionEnvironment:
    """The environment that ``conda_dependencies.yml`` (or a lock) describes, built on the host: by conda where
    something only conda installs is asked for, else a virtual environment. ``login`` is that of another machine."""
    return FolderEnvironment(compute, (VirtualEnvironment(compute), CondaEnvironment(compute.python_location)), login)
