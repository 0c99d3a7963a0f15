"""Where the Docker daemon of this machine is, and which proxies its user told Docker to give to containers.

By the rules of Docker's own command: ``DOCKER_HOST``, else the context (``DOCKER_CONTEXT``, else that of
``config.json``), else the usual socket. https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from amltool.containers.refusals import no_daemon
from amltool.extras import DOCKER, missing

if TYPE_CHECKING:
    from docker.api.client import APIClient

USUAL_SOCKET = "/var/run/docker.sock"
DEFAULT_CONTEXT = "default"
_UNIX = "unix://"
_CONFIGURATION = "config.json"
_PROXIES = {"httpProxy": "http_proxy", "httpsProxy": "https_proxy", "ftpProxy": "ftp_proxy", "noProxy": "no_proxy"}


def socket_here(environment: Mapping[str, str] = os.environ) -> str | None:
    """The path of the daemon's Unix socket; ``None`` where it is asked in another way, or only Docker knows how."""
    address = environment.get("DOCKER_HOST", "")
    if not address:
        folder = _folder(environment)
        context = environment.get("DOCKER_CONTEXT") or configuration(environment).get("currentContext")
        if not context or context == DEFAULT_CONTEXT:
            return USUAL_SOCKET
        address = _address_of(folder, str(context))
    path = address.removeprefix(_UNIX)
    return path if address.startswith(_UNIX) and path.startswith("/") else None


def connect_here(name: str, timeout_s: float, socket: str | None) -> APIClient:
    """A client of the daemon of this machine, which is called ``name``, at a ``socket`` if that is known.

    Raises:
        MissingExtraError: the ``docker`` package is not installed.
        TargetError: no daemon answers, or it does not let this user in.
    """
    try:
        from docker.api.client import APIClient
        from docker.errors import DockerException
    except ImportError:
        raise missing(DOCKER) from None
    try:
        connection = _connection() if socket is None else {"base_url": f"{_UNIX}{socket}"}
        return APIClient(version="auto", timeout=timeout_s, **connection)
    except (DockerException, OSError, ValueError) as error:  # ValueError: DOCKER_HOST is no address
        raise no_daemon(name, error) from error


def configuration(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What this user's ``config.json`` says; empty where there is none."""
    return _read(_folder(environment), _CONFIGURATION)


def proxies_here(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The proxies of this user's ``config.json``, as environment variables."""
    proxies = configuration(environment).get("proxies")
    return proxy_variables(proxies, environment.get("DOCKER_HOST"))


def proxy_variables(proxies: object, address: str | None = None) -> dict[str, str]:
    """What ``proxies`` of a ``config.json`` says for a daemon's address (else for all), as environment variables in
    both spellings. https://docs.docker.com/engine/cli/proxy/"""
    if not isinstance(proxies, dict):
        return {}
    found = proxies.get(address) if address in proxies else proxies.get("default")
    if not isinstance(found, dict):
        return {}
    given = {name: value for key, name in _PROXIES.items() if isinstance(value := found.get(key), str) and value}
    return {**given, **{name.upper(): value for name, value in given.items()}}


def _connection() -> dict[str, Any]:
    from docker.utils import kwargs_from_env

    given = kwargs_from_env()
    if given.get("base_url") or not (os.environ.get("DOCKER_CONTEXT") or configuration()):
        return dict(given)
    from docker.context import ContextAPI

    context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT")) or ContextAPI.get_current_context()
    if context is None or not context.Host:
        return dict(given)
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _folder(environment: Mapping[str, str]) -> str:
    return environment.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")  # noqa: PTH118, PTH111


def _read(folder: str, name: str) -> dict[str, Any]:
    """A JSON file of Docker's folder; empty where there is none, or none that can be read."""
    try:
        with open(f"{folder}/{name}", "rb") as stream:  # noqa: PTH123
            found = msgspec.json.decode(stream.read())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _address_of(folder: str, context: str) -> str:
    """The daemon's address in a context; empty where it is not known, or more than an address is needed."""
    described = _read(folder, f"contexts/meta/{hashlib.sha256(context.encode()).hexdigest()}/meta.json")
    try:
        return str(described["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError):
        return ""
