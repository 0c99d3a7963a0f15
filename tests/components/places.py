"""Where the components keep things, taken from the developer's environment before a test gets one of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import ssl
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amltool-tests"
"""What takes long to make and is kept from run to run; deleting it costs time only."""
NAMED_IMAGE = os.environ.get("AMLTOOL_TEST_DOCKER_IMAGE") or os.environ.get("AMLTOOL_BASE_DOCKER_IMAGE")
"""A base image that the developer wants the tests to use."""


def state() -> Path:
    """A folder that all processes of all test runs of this user share: locks, process ids, logs."""
    folder = Path(tempfile.gettempdir()) / f"amltool-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is not ours")
    return folder


def _certificates() -> Path | None:
    paths = ssl.get_default_verify_paths()
    named = (os.environ.get("SSL_CERT_FILE"), paths.cafile, paths.openssl_cafile)
    return next((Path(name) for name in named if name and Path(name).is_file()), None)


def _docker_host() -> str | None:
    """The daemon that the developer uses: DOCKER_HOST, else the one of the context that was chosen.

    Docker keeps a context in ``contexts/meta/<SHA-256 of its name>/meta.json`` (docker/cli, cli/context/store).
    """
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        name = os.environ.get("DOCKER_CONTEXT") or json.loads((folder / "config.json").read_bytes())["currentContext"]
        meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        return str(json.loads(meta.read_bytes())["Endpoints"]["docker"]["Host"])
    return None


CERTIFICATES = _certificates()
"""This machine's bundle of CA certificates; a container needs it where a company's proxy opens what goes out."""
DOCKER_HOST = _docker_host()
"""``None``: the usual socket."""


def docker_socket() -> Path:
    """The file of the daemon's socket; one that is not there for a daemon elsewhere."""
    scheme, _, path = (DOCKER_HOST or "unix:///var/run/docker.sock").partition("://")
    return Path(path if scheme == "unix" else os.devnull)
