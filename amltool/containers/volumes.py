"""``volumes`` of a ``.compute``: what containers of runs and of builds see of the machine beside their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from amltool.configuration.docker_names import is_docker_name
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost


def volumes_on(host: Host, volumes: Sequence[str]) -> list[str]:
    """Extra volumes as ``docker run -v`` takes them; Docker would make a folder that is not there, as root.

    Raises:
        UserError: one is not ``SOURCE:TARGET[:ro]``, or its folder is not there.
    """
    return [_volume(host, volume) for volume in volumes]


def _volume(host: Host, volume: str) -> str:
    source, _, rest = volume.partition(":")
    if source.startswith("~"):
        source = _expanded(host, source)
    is_name = is_docker_name(source)
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


def _expanded(host: Host, source: str) -> str:
    """A path that begins with ``~``, as a user of the host means it; as it is where there is no such user."""
    if isinstance(host, LocalHost):
        with contextlib.suppress(RuntimeError):
            return str(Path(source).expanduser())
        return source
    ask = "import os, sys; sys.stdout.buffer.write(os.path.expanduser(os.fsencode(sys.argv[1])))"
    return os.fsdecode(host.run(["python3", "-I", "-S", "-c", ask, source]).stdout) or source
