"""Why a container is over when the run in it did not say so itself, or cannot know."""

from __future__ import annotations

from pathlib import PurePosixPath

from amltool.containers.daemon import ContainerState, DockerDaemon
from amltool.errors import TargetError
from amltool.hosts.base import Host
from amltool.launchers.base import Handle

STOPPED = "stopped from outside"
"""What the bootstrap writes when its container is told to stop by somebody else than us."""
_BOOT_ID = PurePosixPath("/proc/sys/kernel/random/boot_id")


def boot_of(host: Host) -> str | None:
    """What is different after every start of a host; ``None`` where it does not say."""
    try:
        return host.read(_BOOT_ID).decode().strip()
    except OSError:
        return None


def why_lost(host: Host, daemon: DockerDaemon, handle: Handle, state: ContainerState | None) -> str:
    """Why a container ended (or is not there) without a word of the run's end; 137 by itself says nothing of that."""
    if state is not None and state.oom_killed:
        return "out of memory"
    if _is_new(handle.get("boot"), boot_of(host)):
        return "host restarted"
    if state is not None and daemon.was_killed(state.id):
        return "killed with docker kill"
    if _is_new(handle.get("daemon"), daemon.start_mark()):
        return "the Docker daemon was restarted"
    return "the container was removed" if state is None else "the container was killed"


def why_stopped(host: Host, daemon: DockerDaemon, handle: Handle) -> str:
    """Why a container was told to stop: a daemon that goes down tells all of them, and answers nobody new."""
    if _is_new(handle.get("boot"), boot_of(host)):
        return "host restarted"
    try:
        mark = daemon.afresh().start_mark()
    except TargetError:
        return "the Docker daemon was stopped"
    if _is_new(handle.get("daemon"), mark):
        return "the Docker daemon was restarted"
    return "stopped with docker stop"


def _is_new(before: str | None, now: str | None) -> bool:
    return bool(before and now and before != now)
