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
