"""Tiny wheels, and an index that serves them over HTTP, open or with a password."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec


def wheel(name: str, version: str, *, requires: tuple[str, ...] = (), code: str = "") -> bytes:
    """A wheel with one module of its own name, whose ``VERSION`` is that of the wheel."""
    folder = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n{code}",
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in files) + f"{folder}/RECORD,,\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, text in {**files, f"{folder}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return stream.getvalue()


def wheel_name(name: str, version: str) -> str:
    return f"{name}-{version}-py3-none-any.whl"


class PackageIndex(msgspec.Struct):
    """An index that is being served: its URL (without a password), and the paths that were asked for."""

    port: int
    asked: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    def url_for(self, user: str) -> str:
        """With credentials: ``NAME:PASSWORD``."""
        return f"http://{user}@127.0.0.1:{self.port}/simple/"


@contextlib.contextmanager
def serving(wheels: Mapping[str, bytes], password: str | None = None) -> Iterator[PackageIndex]:
    """Serve wheels (file name -> content); with ``password`` only for ``NAME:PASSWORD`` that equals it."""
    asked: list[str] = []
    wanted = "Basic " + base64.b64encode(password.encode()).decode() if password is not None else None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if wanted is not None and self.headers.get("Authorization") != wanted:
                return self._answer(401, b"who are you?")
            name = self.path.strip("/").rpartition("/")[2]
            if name in wheels:
                return self._answer(200, wheels[name], "application/zip")
            links = [
                f'<a href="/files/{one}">{one}</a>' for one in wheels if one.replace("_", "-").startswith(f"{name}-")
            ]
            return self._answer(200 if links else 404, "\n".join(links).encode())

        def do_HEAD(self) -> None:
            """Uv asks for the size of a wheel first."""
            self.do_GET()

        def _answer(self, status: int, content: bytes, kind: str = "text/html") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic realm=index")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Not to the console of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield PackageIndex(server.server_address[1], asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
