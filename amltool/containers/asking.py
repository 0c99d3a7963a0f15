"""How a Docker daemon is asked: over its socket on this machine with the standard library alone, else by the ``docker``
package, which takes as long to load as a container to start (of a submit with nothing changed that was a fifth).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import msgspec

if TYPE_CHECKING:
    from docker.api.client import APIClient

ANSWER_S = 60
"""How long the daemon may take for an answer; on a busy machine a start takes seconds."""
_BLOCK = 1 << 16
_LONGEST_HEAD = 1 << 16


class Question(msgspec.Struct, frozen=True):
    """A request to the daemon's HTTP interface: ``path`` without the version of it, ``body`` is sent as JSON.

    https://docs.docker.com/reference/api/engine/
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Any = None
    timeout_s: float = ANSWER_S


class RefusedError(Exception):
    """The daemon says no: the HTTP status, and what it said."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(status, said)
        self.status = status
        self.said = said.strip().rstrip(".")


class Asking(Protocol):
    """A way to ask one daemon; safe to be used from several threads at once."""

    def ask(self, question: Question) -> Any:
        """The daemon's answer, from JSON; ``None`` where it has nothing to say.

        Raises:
            RefusedError: it answers with an error.
            OSError: it does not answer, or not whole.
        """
        ...

    def take_input(self, container: str) -> Any:
        """A socket that is the standard input of a container. Raises as `ask`."""
        ...


class SocketAsking:
    """Asks over a Unix socket, each question on a connection of its own.

    The daemon is asked in HTTP/1.0: then the end of an answer is the end of the connection. The standard library's
    client would load TLS and the parser of mail first, which takes longer than all the answers of a submit.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, question: Question) -> Any:
        """As `Asking.ask`."""
        with self._connected(question.timeout_s) as connection:
            connection.sendall(_request(question, "1.0"))
            received = bytearray()
            while block := connection.recv(_BLOCK):
                received += block
        head, end, content = bytes(received).partition(b"\r\n\r\n")
        status, length = _status_and_length(head)
        if not end or (length is not None and len(content) != length):
            raise OSError("the connection was closed in the middle of an answer")
        return _answer(status, content)

    def take_input(self, container: str) -> socket.socket:
        """As `Asking.take_input`."""
        question = Question("POST", f"/containers/{quote(container, safe='')}/attach", {"stdin": "1", "stream": "1"})
        connection = self._connected(question.timeout_s)
        try:
            connection.sendall(_request(question, "1.1", "Connection: Upgrade", "Upgrade: tcp"))
            received = b""
            while b"\r\n\r\n" not in received and len(received) < _LONGEST_HEAD:
                block = connection.recv(_BLOCK)
                if not block:
                    break
                received += block
            head, _, content = received.partition(b"\r\n\r\n")
            status, length = _status_and_length(head)
            if status >= 400:
                while length is not None and len(content) < length and (block := connection.recv(_BLOCK)):
                    content += block
                _answer(status, content)
            connection.settimeout(None)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self, timeout_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(self._path)
        except BaseException:
            connection.close()
            raise
        return connection


def _request(question: Question, version: str, *headers: str) -> bytes:
    body = b"" if question.body is None else msgspec.json.encode(question.body)
    target = f"{question.path}?{urlencode(question.query)}" if question.query else question.path
    lines = [f"{question.method} {target} HTTP/{version}", "Host: docker", *headers]
    if question.body is not None:
        lines.append("Content-Type: application/json")
    if question.method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _status_and_length(head: bytes) -> tuple[int, int | None]:
    first, *lines = head.split(b"\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise OSError("the connection was closed without an answer" if not head else "the answer is not Docker's")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    length = fields.get(b"content-length", b"")
    return int(words[1]), int(length) if length.isdigit() else None


def _answer(status: int, content: bytes) -> Any:
    if status < 400:
        return _json(content)
    try:
        said = _json(content)["message"]
    except (OSError, KeyError, TypeError):
        said = content.decode("utf-8", "backslashreplace")
    raise RefusedError(status, str(said) or f"HTTP status {status}")


def _json(content: bytes) -> Any:
    if not content.strip():
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OSError(f"the answer is not Docker's: {error}") from error


class ClientAsking:
    """Asks through a client of the ``docker`` package: over TLS, to another machine, by Docker's contexts."""

    def __init__(self, api: APIClient) -> None:
        self._api = api

    def ask(self, question: Question) -> Any:
        """As `Asking.ask`."""
        from urllib3.exceptions import HTTPError

        api = self._api
        try:
            answer = api.request(
                question.method,
                f"{api.base_url}/v{api._version}{question.path}",
                params=dict(question.query),
                json=question.body,
                timeout=question.timeout_s,
            )
            return _answer(answer.status_code, answer.content)
        except HTTPError as error:
            raise OSError(str(error)) from error

    def take_input(self, container: str) -> Any:
        """As `Asking.take_input`."""
        from docker.errors import APIError, DockerException
        from urllib3.exceptions import HTTPError

        try:
            return self._api.attach_socket(container, params={"stdin": 1, "stream": 1})
        except APIError as error:
            raise RefusedError(error.status_code or 500, str(error.explanation or error)) from error
        except (DockerException, HTTPError) as error:
            raise OSError(str(error)) from error
