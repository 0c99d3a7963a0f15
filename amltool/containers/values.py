"""What a Docker daemon is asked for and what it answers, as values; nothing here asks it anything."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from amltool.errors import TargetError

STOP_SIGNAL = "SIGPWR"
"""What `docker stop`, and a daemon or machine that shuts down, send to our containers: our own cancel is SIGTERM."""
_STARTING = ("created", "restarting")


class Mount(msgspec.Struct, frozen=True):
    """A folder or file of the daemon's machine and where a container sees it."""

    source: str
    target: str
    read_only: bool = False


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A container to be made. Sizes are bytes; ``volumes`` as ``docker run -v`` takes them; ``gpu`` is ``all``, a
    number, or ``device=0,1``; ``user_namespace`` and ``security`` as ``--userns`` and ``--security-opt``. It gets no
    environment variables: whoever can ask the daemon would see them."""

    image: str
    command: Sequence[str]
    name: str
    labels: Mapping[str, str]
    user: str | None = None
    folder: str | None = None
    mounts: Sequence[Mount] = ()
    volumes: Sequence[str] = ()
    temporary: Sequence[str] = ()
    shm_size: int | None = None
    memory: int | None = None
    cpus: float | None = None
    network: str | None = None
    gpu: str | None = None
    user_namespace: str | None = None
    security: Sequence[str] = ()


class ContainerState(msgspec.Struct, frozen=True):
    """How a container is; ``exit_code`` means something once it is over."""

    id: str
    status: str
    exit_code: int
    oom_killed: bool
    error: str
    labels: dict[str, str]

    @property
    def is_running(self) -> bool:
        return self.status in ("running", "paused")

    @property
    def is_starting(self) -> bool:
        return self.status in _STARTING


class Image(msgspec.Struct, frozen=True):
    """An image that is there; ``digest`` (``name@sha256:…``) only where it came from a registry."""

    id: str
    tags: list[str]
    digest: str | None
    size: int
    labels: dict[str, str]
    variables: dict[str, str]
    architecture: str


class Kept(msgspec.Struct, frozen=True):
    """Something with a label of ours: its name (or id), bytes on disk, status of a container."""

    id: str
    name: str
    size: int
    labels: dict[str, str]
    status: str = ""


class NameTakenError(Exception):
    """There is a container of that name already."""


class ContainerInput:
    """Standard input of a container that was started with it; the command sees its end when this is closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._socket = getattr(stream, "_sock", stream)

    def feed(self, content: bytes) -> None:
        """Write all of it.

        Raises:
            TargetError: the container or its daemon is gone.
        """
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise TargetError(f"The container does not take its input: {error}.", "Try again.") from error

    def close(self) -> None:
        """Close it; whoever waits in `feed`, since nothing takes the input, is let go."""
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._stream.close()
        with contextlib.suppress(OSError):
            self._socket.close()


def seconds_of(text: str) -> float:
    """A time as Docker writes it (RFC 3339, nanoseconds, its machine's zone) in seconds since the epoch."""
    day, fraction, zone = re.fullmatch(r"(.{19})(\.\d+)?(.+)", text).groups()  # type: ignore[union-attr]
    whole = datetime.fromisoformat(day + zone.replace("Z", "+00:00"))
    return whole.timestamp() + float(fraction or 0)


def creation(spec: ContainerSpec) -> dict[str, Any]:
    """What the daemon is asked for a container with. Its input ends with the client that is attached first.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
    """
    return {
        "Image": spec.image,
        "Entrypoint": [spec.command[0]],
        "Cmd": list(spec.command[1:]),
        "Labels": dict(spec.labels),
        "User": spec.user or "",
        "WorkingDir": spec.folder or "",
        "StopSignal": STOP_SIGNAL,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_configuration(spec),
    }


def _host_configuration(spec: ContainerSpec) -> dict[str, Any]:
    """What a container is made with beside its program; what is not asked for is left out."""
    asked = {
        "Mounts": [
            {"Type": "bind", "Source": each.source, "Target": each.target, "ReadOnly": each.read_only}
            for each in spec.mounts
        ],
        "Binds": list(spec.volumes),
        "Tmpfs": dict.fromkeys(spec.temporary, "mode=1777,exec"),
        "ShmSize": spec.shm_size,
        "Memory": spec.memory,
        "MemorySwap": spec.memory,
        "NanoCpus": round(spec.cpus * 1e9) if spec.cpus else None,
        "NetworkMode": spec.network or "default",
        "DeviceRequests": [_gpu_request(spec.gpu)] if spec.gpu else None,
        "UsernsMode": spec.user_namespace,
        "SecurityOpt": list(spec.security),
    }
    return {name: value for name, value in asked.items() if value}


def _gpu_request(gpu: str) -> dict[str, Any]:
    request: dict[str, Any] = {"Capabilities": [["gpu"]]}
    if gpu.startswith("device="):
        return {**request, "DeviceIDs": gpu.removeprefix("device=").split(",")}
    return {**request, "Count": -1 if gpu == "all" else int(gpu)}
