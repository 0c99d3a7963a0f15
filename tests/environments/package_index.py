"""A package index on this machine: tiny wheels served over HTTP; it can be held, and remembers what was fetched."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def make_wheel(name: str, version: str) -> tuple[str, bytes]:
    """File name and content of a wheel with one module, which says its version."""
    folder = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    files[f"{folder}/RECORD"] = "".join(lines) + f"{folder}/RECORD,,\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return f"{name}-{version}-py3-none-any.whl", content.getvalue()


class PackageIndex:
    """An index; ``password`` (of the user ``ada``) is asked for when there is one."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.password: str | None = None
        self.port = 0
        self.asked = threading.Event()
        self._open = threading.Event()
        self._open.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    def url_with(self, password: str) -> str:
        return f"http://ada:{password}@127.0.0.1:{self.port}/simple/"

    def add(self, name: str, version: str) -> None:
        file_name, content = make_wheel(name, version)
        self.wheels[file_name] = content

    def hold(self) -> None:
        """From now on whoever asks for a wheel waits until `let_go`."""
        self._open.clear()
        self.asked.clear()

    def let_go(self) -> None:
        self._open.set()

    def answer(self, path: str) -> tuple[int, bytes, str]:
        name = path.strip("/").rpartition("/")[2]
        if path.startswith("/simple/"):
            found = [one for one in self.wheels if one.startswith(f"{name.replace('-', '_')}-")]
            links = "".join(f'<a href="/files/{one}">{one}</a>\n' for one in found)
            return (200 if found else 404), links.encode(), "text/html"
        self.asked.set()
        self._open.wait(60)
        self.fetched.append(name)
        content = self.wheels.get(name)
        return (200, content, "application/octet-stream") if content is not None else (404, b"", "text/plain")


@contextmanager
def package_index_running() -> Iterator[PackageIndex]:
    index = PackageIndex()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expected = index.password and "Basic " + base64.b64encode(f"ada:{index.password}".encode()).decode()
            if expected and self.headers.get("Authorization") != expected:
                status, content, kind = 401, b"", "text/plain"
            else:
                status, content, kind = index.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Tests say what they see."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield index
    finally:
        index.let_go()
        server.shutdown()
        server.server_close()
