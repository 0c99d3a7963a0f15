"""The connection to a Docker daemon: how it is found and asked, and what its silence and its refusals mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from amltool.containers.address import connect_here, socket_here
from amltool.containers.asking import ANSWER_S, Asking, ClientAsking, Question, RefusedError, SocketAsking
from amltool.containers.refusals import is_full, no_daemon, no_room, said_by
from amltool.errors import TargetError
from amltool.extras import DOCKER, require
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost

if TYPE_CHECKING:
    from docker.api.client import APIClient


class Connection:
    """Asks the daemon of a host: in JSON (`_ask`), or through a client of the ``docker`` package (`_asked`).

    Raises:
        MissingExtraError: that package is not installed. It is asked for here, before anything is done, for it is
            needed in the middle of a build, too.
    """

    def __init__(self, host: Host) -> None:
        require(DOCKER)
        self._host = host

    @cached_property
    def _socket(self) -> str | None:
        """Where the daemon is, if that is known without asking anybody."""
        return socket_here() if isinstance(self._host, LocalHost) else None

    @cached_property
    def _api(self) -> APIClient:
        return connect(self._host, self._socket)

    @cached_property
    def _asking(self) -> Asking:
        return ClientAsking(self._api) if self._socket is None else SocketAsking(self._socket)

    def connect(self) -> None:
        """Be ready to ask: find the daemon. Raises TargetError: there is none, or it does not let this user in."""
        if self._socket is None:
            _ = self._api
        else:
            self.start_mark()

    def start_mark(self) -> str:
        """What is different after every start of the daemon: the time it made its default network."""
        found = self._learn("/networks", {"filters": '{"name":["bridge"]}'}) or []
        return next((str(network["Created"]) for network in found if network["Name"] == "bridge"), "")

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        timeout_s: float = ANSWER_S,
    ) -> Any:
        """The daemon's answer, from JSON.

        Raises:
            RefusedError: it says no.
            TargetError: it does not answer.
        """
        try:
            return self._asking.ask(Question(method, path, query or {}, body, timeout_s))
        except OSError as error:
            raise self._silent(error) from error

    def _learn(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Ask for what the daemon always tells. Raises TargetError: it does not."""
        try:
            return self._ask("GET", path, query)
        except RefusedError as error:
            raise self._unexpected(error) from error

    def _ask_unless(
        self,
        fine: tuple[int, ...],
        method: str,
        path: str,
        query: Mapping[str, str],
        timeout_s: float = ANSWER_S,
    ) -> None:
        """Ask for something that may be so already, which the daemon says with one of these HTTP statuses."""
        try:
            self._ask(method, path, query, timeout_s=timeout_s)
        except RefusedError as error:
            if error.status not in fine:
                raise self._unexpected(error) from error

    def _silent(self, error: OSError) -> TargetError:
        if self._socket is not None and isinstance(error, FileNotFoundError | ConnectionRefusedError | PermissionError):
            return no_daemon(self._host.name, error)
        return self._unexpected(error)

    def _unexpected(self, error: Exception) -> TargetError:
        said = said_by(error)
        if is_full(said):
            return TargetError(*no_room(self._host.name, "Docker cannot write", said))
        return TargetError(
            f"Docker on {self._host.name} did not do what it was asked: {said}.",
            "See that it runs (docker version), then try again.",
        )

    def _pieces(self, stream: Iterator[bytes]) -> Iterator[bytes]:
        with self._asked():
            yield from stream

    @contextlib.contextmanager
    def _asked(self) -> Iterator[APIClient]:
        api = self._api
        from docker.errors import DockerException
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        try:
            yield api
        except (DockerException, RequestException, HTTPError, OSError) as error:
            raise self._unexpected(error) from error


def connect(host: Host, socket: str | None = None) -> APIClient:
    """A client of the daemon of a host: on this machine that of a ``socket``, else as `address` says; on another one
    that of the ``docker`` command there.

    Raises:
        MissingExtraError: the ``docker`` package is not installed.
        TargetError: no daemon answers, or it does not let this user in.
    """
    if isinstance(host, LocalHost):
        return connect_here(host.name, ANSWER_S, socket)
    from amltool.containers.over_ssh import DockerHost, connect_there

    return connect_there(cast("DockerHost", host), ANSWER_S)
