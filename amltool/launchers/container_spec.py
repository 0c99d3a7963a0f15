"""How the container of a run is made: whose processes, what they see, how much they may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import PurePosixPath

import msgspec

from amltool.containers.daemon import ContainerSpec, DockerDaemon, Mount
from amltool.containers.volumes import volumes_on
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Expected
from amltool.layout import LIBRARY_IN_CONTAINER, RUN_IN_CONTAINER, SHARE_IN_CONTAINER, HostLayout, container_name
from amltool.tracking import travel

ACCOUNTS_IN_CONTAINER = PurePosixPath("/etc/passwd")
RUN_LABEL, CLONE_LABEL, MARK_LABEL = "amltool.run", "amltool.clone", "amltool.daemon"
"""Labels that no image has (a container inherits those of its image)."""
_LABELS = {"commit": "amltool.commit", "project": "amltool.project", "clone": CLONE_LABEL}
USER_NAME, ROOT_NAME = "amltool", "root"


class ContainerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a compute target says of its containers. Sizes are bytes.

    ``library`` is where on the host lies what travels with runs. Without ``shared_volumes`` nothing of the host is
    mounted but ``volumes``: what a run needs is copied in, what it left is copied back.
    """

    library: PurePosixPath
    share: PurePosixPath | None = None
    shared_volumes: bool = True
    gpu: str | None = None
    shm_size: int | None = None
    memory: int | None = None
    cpus: float | None = None
    network: str | None = None
    volumes: tuple[str, ...] = ()


class Owner(msgspec.Struct, frozen=True):
    """Whom the processes of a container belong to, and what its daemon must be told for that to be so."""

    uid: int
    gid: int
    user_namespace: str | None = None
    security: tuple[str, ...] = ()


class _Confinement(msgspec.Struct, frozen=True):
    """What a daemon said of itself, and when it was started."""

    mark: str
    security: set[str]


def owner_of(host: Host, daemon: DockerDaemon, mark: str) -> Owner:
    """Who owns what a run writes: the user of the host. ``mark`` is the daemon's `DockerDaemon.start_mark`."""
    security = _security(host, daemon, mark)
    confinement = {
        "user_namespace": "host" if "userns" in security else None,
        "security": ("label=disable",) if "selinux" in security else (),
    }
    if "rootless" in security:  # there the root of a container is the user
        return Owner(0, 0, **confinement)  # type: ignore[arg-type]
    if isinstance(host, LocalHost):
        return Owner(os.getuid(), os.getgid(), **confinement)  # type: ignore[arg-type]
    uid, gid = host.run(["sh", "-c", "id -u; id -g"]).stdout.split()
    return Owner(int(uid), int(gid), **confinement)  # type: ignore[arg-type]


def _security(host: Host, daemon: DockerDaemon, mark: str) -> set[str]:
    """`DockerDaemon.security`, asked once for each start of the daemon: the answer takes longer than a container."""
    kept = HostLayout(host.root).cache / "docker.json"
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(host.read(kept), type=_Confinement)
        if mark and found.mark == mark:
            return found.security
    security = daemon.security()
    with contextlib.suppress(OSError):
        host.write(kept, msgspec.json.encode(_Confinement(mark, security)))
    return security


class Account(msgspec.Struct, frozen=True):
    """The user of a container by name; ``accounts`` is an ``/etc/passwd`` for it where the image's is not enough."""

    name: str
    accounts: str | None = None


def account_of(accounts: str, owner: Owner) -> Account:
    """The name of a container's user, from its image's ``/etc/passwd``; a line is added where it has none.

    Without one, ``getpass.getuser``, ``ssh`` and Spark (Hadoop's login) fail.
    """
    for line in accounts.splitlines():
        name, *fields = line.split(":")
        if len(fields) > 1 and fields[1] == str(owner.uid):
            return Account(name)
    if owner.uid == 0 and not accounts:
        return Account(ROOT_NAME)
    before = accounts.rstrip("\n") or f"{ROOT_NAME}:x:0:0:root:/root:/bin/sh"
    ours = f"{USER_NAME}:x:{owner.uid}:{owner.gid}::{RUN_IN_CONTAINER.home}:/bin/sh"
    return Account(USER_NAME, f"{before}\n{ours}\n")


def container_spec(host: Host, wanted: Expected, settings: ContainerSettings, owner: Owner, mark: str) -> ContainerSpec:
    """The container of a run; its first process is the bootstrap, which waits for what it is to run.

    Raises:
        UserError: something that is to be mounted is not there.
    """
    labels = {label: wanted.labels[name] for name, label in _LABELS.items() if name in wanted.labels}
    bootstrap = travel.at(LIBRARY_IN_CONTAINER).bootstrap
    return ContainerSpec(
        image=wanted.image or "",
        command=[*wanted.python, "-I", "-S", str(bootstrap), "run", str(RUN_IN_CONTAINER.path)],
        name=container_name(wanted.folder.path.name),
        labels={RUN_LABEL: wanted.folder.path.name, MARK_LABEL: mark, **labels},
        user=f"{owner.uid}:{owner.gid}",
        folder="/",
        mounts=_mounts(wanted, settings, owner) if settings.shared_volumes else (),
        volumes=volumes_on(host, settings.volumes),
        shm_size=settings.shm_size,
        memory=settings.memory,
        cpus=settings.cpus,
        network=settings.network,
        gpu=settings.gpu,
        user_namespace=owner.user_namespace,
        security=owner.security,
    )


def _mounts(wanted: Expected, settings: ContainerSettings, owner: Owner) -> list[Mount]:
    mounts = [
        Mount(str(wanted.folder.path), str(RUN_IN_CONTAINER.path)),
        Mount(str(settings.library), str(LIBRARY_IN_CONTAINER), read_only=True),
    ]
    if settings.share is not None:
        mounts.append(Mount(str(settings.share), str(SHARE_IN_CONTAINER)))
    if account_of(wanted.accounts, owner).accounts is not None:
        mounts.append(Mount(str(wanted.folder.accounts), str(ACCOUNTS_IN_CONTAINER), read_only=True))
    return mounts
