"""What a Docker daemon says no with, in sentences that say what to do."""

from __future__ import annotations

from amltool.errors import TargetError, UserError


def no_daemon(name: str, error: Exception) -> TargetError:
    """No daemon answers on a host, or it does not let this user in."""
    said = str(error)
    if "Permission denied" in said or "PermissionError" in said:
        return TargetError(
            f"Docker on {name} does not let this user in.",
            "Add the user to the group docker (sudo usermod -aG docker $USER), log in again, and try again.",
        )
    if "FileNotFoundError" in said or "Connection refused" in said or "ConnectionRefusedError" in said:
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
    return UserError(
        f"The image {name} is not here and cannot be fetched: {said.rstrip('.')}.",
        "Check its name (baseDockerImage in the .compute), the network, and `docker login` for a private registry; "
        "an image without a registry can be brought in with `docker load` or `docker import`.",
    )


def said_by(error: Exception) -> str:
    """What the daemon said, without the wrapping."""
    return str(getattr(error, "explanation", None) or error).strip().rstrip(".")
