"""A Docker daemon on another machine, asked over the connection to that machine that is there already.

Each connection of the HTTP client is a ``docker system dial-stdio`` there, with the streams of which a pair of sockets
here is filled: whatever the client does with a socket of its own daemon (wait for it, take it over for the input of a
container, half close it) works the same. Docker's own client would make a second connection by other rules.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, Protocol

from docker.api.client import APIClient
from docker.errors import DockerException
from docker.transport.basehttpadapter import BaseHTTPAdapter
from docker.utils.proxy import ProxyConfig
from requests import Response
from requests.exceptions import RequestException
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from amltool.containers.refusals import no_daemon_there
from amltool.errors import TargetError
from amltool.hosts.streaming import Stream, StreamingHost

if TYPE_CHECKING:
    from pathlib import PurePosixPath

BLOCK = 1 << 18
CONNECTIONS = 10
"""So many are kept for the next question; sshd by default gives ten sessions to a connection."""
GIVE_UP_S = 5.0
"""How long what a closed connection had still to say is waited for."""
OLDEST_VERSION = "1.39"
"""Of Docker 18.09, the first with ``dial-stdio``; the daemon is then asked for its own."""
CONFIGURATION = ".docker/config.json"
LONGEST_ANSWER = 64 << 20
"""In bytes; of an image or a container Docker says some kilobytes. What a machine says is not trusted to end."""


class DockerHost(StreamingHost, Protocol):
    """A host that says where its ``docker`` command is, and can run it."""

    def facts(self) -> Any: ...


def connect_there(host: DockerHost, timeout_s: float) -> APIClient:
    """A client of the daemon of another machine.

    Raises:
        TargetError: there is no Docker there, it does not answer, it does not let this user in, or the machine does
            not answer.
    """
    docker = host.facts().docker
    if docker is None:
        raise no_daemon_there(host.name, "no docker command")
    adapter = _Adapter(host, str(docker), timeout_s)
    api = APIClient(version=OLDEST_VERSION, timeout=timeout_s)
    api.mount("http+docker://", adapter)
    api._custom_adapter = adapter
    api.base_url = "http+docker://localhost"
    try:
        api._version = api._retrieve_server_version()
    except (DockerException, RequestException, OSError, ValueError) as error:
        raise no_daemon_there(host.name, adapter.complaint() or str(error)) from error
    api._proxy_configs = _proxies(host)
    return api


def _proxies(host: DockerHost) -> ProxyConfig:
    """The proxies that this user told Docker to give to containers *there*."""
    try:
        root: PurePosixPath = host.root
        configuration = json.loads(host.read(root.__class__(host.facts().home) / CONFIGURATION))
        return ProxyConfig.from_dict(configuration["proxies"]["default"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ProxyConfig()


class _Adapter(BaseHTTPAdapter):  # type: ignore[misc] # docker has no types
    """Gives requests their connections."""

    def __init__(self, host: DockerHost, docker: str, timeout_s: float) -> None:
        super().__init__()
        self._pool = _Pool(host, docker, timeout_s)

    def get_connection(self, url: str, proxies: Any = None) -> HTTPConnectionPool:  # noqa: ARG002
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:  # noqa: ARG002
        return str(request.path_url)

    def build_response(self, req: Any, resp: Any) -> Response:
        response: Response = super().build_response(req, resp)
        response.__class__ = _Answer
        return response

    def complaint(self) -> str:
        """What the last command said before it ended, if it said anything."""
        return self._pool.complaint

    def close(self) -> None:
        super().close()
        self._pool.close()


class _Answer(Response):
    """Is taken whole only up to its bound. What comes in a stream is read in blocks, as ever."""

    @property
    def content(self) -> bytes:
        if self._content is False:
            blocks, size = [], 0
            for block in self.iter_content(BLOCK):
                blocks.append(block)
                size += len(block)
                if size > LONGEST_ANSWER:
                    self.close()
                    raise TargetError(
                        f"Docker over there answers without end ({self.request.path_url}).",
                        "Look what runs as Docker on that machine.",
                    )
            self._content = b"".join(blocks)
        return self._content or b""


class _Pool(HTTPConnectionPool):
    def __init__(self, host: DockerHost, docker: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s, maxsize=CONNECTIONS)
        self._dialed_host = host
        self._docker = docker
        self.complaint = ""

    def _new_conn(self) -> HTTPConnection:
        return _Connection(self)

    def dial(self) -> Tunnel:
        self.num_connections += 1
        stream = self._dialed_host.open_stream([self._docker, "system", "dial-stdio"])
        return Tunnel(stream, self._complain)

    def _complain(self, said: bytes) -> None:
        self.complaint = said.decode("utf-8", "backslashreplace").strip() or self.complaint


class _Connection(HTTPConnection):
    def __init__(self, pool: _Pool) -> None:
        super().__init__("localhost", timeout=pool.timeout.connect_timeout)
        self._dialing = pool

    def connect(self) -> None:
        tunnel = self._dialing.dial()
        tunnel.near.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        self.sock = tunnel.near


class Tunnel:
    """A stream of a command as a socket of this machine, ``near``; it ends with either of them."""

    def __init__(self, stream: Stream, complain: Any) -> None:
        self.near, self._far = socket.socketpair()
        self._stream = stream
        self._complain = complain
        self._over = threading.Event()
        for pump in (self._receive, self._send):
            threading.Thread(target=pump, daemon=True).start()

    def _receive(self) -> None:
        """From there to here, until the command has nothing more to say."""
        try:
            while block := self._stream.read(BLOCK):
                self._far.sendall(block)
        except (OSError, TargetError):
            pass  # nobody reads any more, or the machine is away: the client sees the end either way
        finally:
            with contextlib.suppress(OSError, TargetError):
                self._complain(self._stream.stderr())
            with contextlib.suppress(OSError):
                self._far.shutdown(socket.SHUT_RDWR)
            self._over.set()
            self._stream.close()

    def _send(self) -> None:
        """From here to there, until the client closes its end or has no more to say."""
        try:
            while block := self._far.recv(BLOCK):
                self._stream.write(block)
            self._stream.close_writing()
            if not self._over.is_set() and self._is_closed():
                self._over.wait(GIVE_UP_S)
                self._stream.close()
            self._over.wait()
        except (OSError, TargetError):
            self._stream.close()
            self._over.wait(GIVE_UP_S)
        finally:
            self._far.close()

    def _is_closed(self) -> bool:
        """Whether the client is gone altogether; one that only has no more to say still listens."""
        polling = select.poll()
        polling.register(self._far, 0)
        return any(event & select.POLLHUP for _, event in polling.poll(0))
