"""``volumes`` of a ``.compute``: what containers of runs and of builds see of the machine beside their own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from amltool.errors import UserError
from amltool.hosts.base import Host


def volumes_on(host: Host, volumes: Sequence[str]) -> list[str]:
    """Extra volumes as ``docker run -v`` takes them; Docker would make a folder that is not there, as root.

    Raises:
        UserError: one is not ``SOURCE:TARGET[:ro]``, or its folder is not there.
    """
    return [_volume(host, volume) for volume in volumes]


def _volume(host: Host, volume: str) -> str:
    source, _, rest = volume.partition(":")
    if source.startswith("~"):
        with contextlib.suppress(RuntimeError):  # no such user: said below
            source = str(Path(source).expanduser())
    is_name = bool(source) and not source.startswith(".") and not {"/", "~"} & set(source)
    if not rest.startswith("/") or not (is_name or source.startswith("/")):
        raise UserError(
            f"The volume {volume!r} of the compute target is not of the form SOURCE:TARGET[:ro].",
            "SOURCE is an absolute path, one that starts with ~/, or the name of a Docker volume; TARGET an "
            "absolute path in the container.",
        )
    if not is_name and not host.exists(PurePosixPath(source)):
        raise UserError(
            f"The volume {volume!r} of the compute target cannot be mounted: there is no {source} on {host.name}.",
            "Make that folder, or take it out of `volumes` in the .compute.",
        )
    return f"{source}:{rest}"
