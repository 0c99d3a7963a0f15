"""An HTTP proxy before a service, which plays what goes wrong on the way and counts what came through."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

PIECE = 1 << 14


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of a request: an answer in place of the service's, a connection that is cut, bytes that are changed
    or slow. ``cut_request`` and ``cut_answer`` count bytes of a body; with 0 there is no answer at all."""

    status: int | None = None
    retry_after: str | None = None
    cut_request: int | None = None
    cut_answer: int | None = None
    spoil_request: bool = False
    spoil_answer: bool = False
    bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; ``size`` is that of its body, ``number`` counts from 0."""

    method: str
    path: str
    size: int
    number: int

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)

    @property
    def is_block(self) -> bool:
        """A part of a blob that is sent in blocks."""
        return self.query.get("comp") == ["block"]

    @property
    def is_content(self) -> bool:
        return self.method == "PUT" and self.size > 0 and self.query.get("comp") != ["blocklist"]


class FaultyProxy:
    """A server at a port of 127.0.0.1 that hands requests on to another. ``fault`` says what becomes of each; it may
    also wait. ``requests`` are those that came, ``accepted`` those that the service took."""

    def __init__(self, port: int) -> None:
        self.service_port = port
        self.fault: Callable[[Request], Fault | None] = lambda _: None
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.received = 0
        self.lock = threading.Lock()
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Count anew."""
        with self.lock:
            self.requests, self.accepted, self.received = [], [], 0

    def content_bytes(self, *, accepted: bool = False) -> int:
        """Bytes of content in the requests that came, or in those that the service took."""
        with self.lock:
            return sum(each.size for each in (self.accepted if accepted else self.requests) if each.is_content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _CutError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nobody reads it."""

    def handle_one_request(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            self._pass_on()
        except (_CutError, OSError, http.client.HTTPException):
            self.close_connection = True

    def _pass_on(self) -> None:
        proxy, size = self.server.proxy, int(self.headers.get("Content-Length") or 0)
        with proxy.lock:
            request = Request(self.command, self.path, size, len(proxy.requests))
            proxy.requests.append(request)
        fault = proxy.fault(request) or Fault()
        body = self._body(size, fault)
        if fault.status is not None:
            answer = [("Retry-After", fault.retry_after)] if fault.retry_after else []
            self._answer(fault.status, [*answer, ("Content-Length", "0")], b"", fault)
            return
        if fault.spoil_request and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        status, headers, content = self._ask(body)
        if status < 300:
            with proxy.lock:
                proxy.accepted.append(request)
        if fault.spoil_answer and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self._answer(status, headers, content, fault)

    def _body(self, size: int, fault: Fault) -> bytes:
        pieces: list[bytes] = []
        got = 0
        while got < size:
            if fault.cut_request is not None and got >= fault.cut_request:
                raise _CutError
            piece = self.rfile.read(min(PIECE, size - got))
            if not piece:
                raise _CutError
            got += len(piece)
            with self.server.proxy.lock:
                self.server.proxy.received += len(piece)
            self._slow(len(piece), fault)
            pieces.append(piece)
        return b"".join(pieces)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        service = http.client.HTTPConnection("127.0.0.1", self.server.proxy.service_port, timeout=60)
        try:
            headers = {key: value for key, value in self.headers.items() if key.lower() != "connection"}
            service.request(self.command, self.path, body or None, headers)
            answer = service.getresponse()
            content = answer.read()
            left_out = {"connection", "keep-alive", "transfer-encoding"}
            kept = [(key, value) for key, value in answer.getheaders() if key.lower() not in left_out]
            if not any(key.lower() == "content-length" for key, _ in kept) and answer.status not in (204, 304):
                kept.append(("Content-Length", str(len(content))))
            return answer.status, kept, content
        finally:
            service.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, fault: Fault) -> None:
        if fault.cut_answer == 0:
            raise _CutError
        self.send_response_only(status)
        for key, value in headers:
            self.send_header(key, value)
        self.end_headers()
        for start in range(0, len(content), PIECE):
            if fault.cut_answer is not None and start + PIECE > fault.cut_answer:
                self.wfile.write(content[start : fault.cut_answer])
                raise _CutError
            self.wfile.write(content[start : start + PIECE])
            self._slow(PIECE, fault)

    def _slow(self, size: int, fault: Fault) -> None:
        if fault.bytes_per_s:
            time.sleep(size / fault.bytes_per_s)
