"""What a Docker daemon says no with, in sentences that say what to do."""

from __future__ import annotations

from amltool.errors import TargetError, UserError

_NO_GPU = ("could not select device driver", "nvidia-container-cli", "GPU vendor", "unresolvable CDI devices")
"""How Docker says that it has none: by version and by what is missing."""
MAKE_ROOM = "Make room there (docker system df, amltool clean), then try again."
_FULL = ("no space left", "disk quota exceeded")


def no_daemon(name: str, error: Exception) -> TargetError:
    """No daemon answers on a host, or it does not let this user in."""
    said = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in said or "PermissionError" in said:
        return TargetError(
            f"Docker on {name} does not let this user in.",
            "Add the user to the group docker (sudo usermod -aG docker $USER), log in again, and try again.",
        )
    is_absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
    if is_absent or any(sign in said for sign in ("FileNotFoundError", "Connection refused", "ConnectionRefusedError")):
        return TargetError(
            f"Docker does not answer on {name}.",
            "Install it or start it (sudo systemctl start docker, or Docker Desktop), then try again.",
        )
    return TargetError(f"Docker does not answer on {name}: {said}.", "See what `docker version` says, then try again.")


def no_daemon_there(name: str, said: str) -> TargetError:
    """No daemon can be asked on another machine; ``said`` is what its ``docker`` command said of it."""
    lower = said.lower()
    if "no docker command" in lower:
        return TargetError(
            f"There is no docker command on {name}.",
            "Install Docker there (18.09 or newer), so that `docker version` works for this user, then try again.",
        )
    if "dial-stdio" in lower or "is not a docker command" in lower:
        return TargetError(
            f"Docker on {name} is too old to be asked over SSH.", "Install 18.09 or newer there, then try again."
        )
    if "permission denied" in lower:
        return TargetError(
            f"Docker on {name} does not let this user in.",
            "Add the user to the group docker there (sudo usermod -aG docker USER), then try again.",
        )
    if any(sign in lower for sign in ("no such file", "connection refused", "cannot connect", "is the docker daemon")):
        return TargetError(
            f"Docker does not answer on {name}.", "Start it there (sudo systemctl start docker), then try again."
        )
    return TargetError(
        f"Docker does not answer on {name}: {said.rstrip('.')}.",
        "See what `docker version` says there, then try again.",
    )


def no_image(name: str, said: str) -> UserError:
    """An image is not there and cannot be fetched."""
    if is_full(said):
        return UserError(
            f"The image {name} cannot be fetched: the disk of Docker is full ({said.rstrip('.')}).", MAKE_ROOM
        )
    return UserError(
        f"The image {name} is not here and cannot be fetched: {said.rstrip('.')}.",
        "Check its name (baseDockerImage in the .compute), the network, and `docker login` for a private registry; "
        "an image without a registry can be brought in with `docker load` or `docker import`.",
    )


def container_refused(name: str, what: str, said: str) -> UserError:
    """A container cannot be made or started as asked; ``name`` is the host's."""
    if any(sign in said for sign in _NO_GPU):
        return UserError(
            f"Docker on {name} has no GPU to give: {said}.",
            "Install the NVIDIA driver and nvidia-container-toolkit there, or take gpu and nvidiaDocker out of the "
            ".compute.",
        )
    if is_full(said):
        return UserError(*no_room(name, what, said))
    if "No such image" in said:
        return UserError(f"{what}: its image was removed meanwhile ({said}).", "Submit again: it is built anew.")
    if "source path does not exist" in said:
        return UserError(f"{what}: {said}.", "Make that folder, or take it out of `volumes` in the .compute.")
    return UserError(f"{what}: {said}.", "Mend that in the .compute, or its image.")


def is_full(said: str) -> bool:
    """Whether a daemon, or what ran in a container, says that a disk is full."""
    lower = said.lower()
    return any(sign in lower for sign in _FULL)


def no_room(name: str, what: str, said: str) -> tuple[str, str]:
    """The disk of a daemon is full, and what to do; ``name`` is the host's."""
    return (
        f"{what}: the disk of Docker on {name} is full ({said}).",
        MAKE_ROOM,
    )


def said_by(error: Exception) -> str:
    """What the daemon said, without the wrapping."""
    said = getattr(error, "said", None) or getattr(error, "explanation", None) or error
    return str(said).strip().rstrip(".")
