"""An image registry on this machine, as small as a daemon needs to pull from: images of one file, made here.

A daemon trusts registries on 127.0.0.1 without TLS (https://docs.docker.com/reference/cli/dockerd/#insecure-registries).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """Tags that can be moved, and blobs that can be taken away."""

    def __init__(self) -> None:
        self.port = 0
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}

    def name(self, tag: str) -> str:
        return f"127.0.0.1:{self.port}/sample/base:{tag}"

    def push(self, tag: str, content: bytes) -> str:
        """Give a tag a new image that holds one file; its digest."""
        layer_tar = io.BytesIO()
        with tarfile.open(fileobj=layer_tar, mode="w") as archive:
            entry = tarfile.TarInfo("content")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        layer = gzip.compress(layer_tar.getvalue(), mtime=0)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": ["PATH=/bin"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer_tar.getvalue())]},
            }
        ).encode()
        for blob in (layer, config):
            self.blobs[_digest(blob)] = blob
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _described("application/vnd.docker.container.image.v1+json", config),
                "layers": [_described("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)],
            }
        ).encode()
        digest = _digest(manifest)
        self.manifests[digest] = manifest
        self.tags[tag] = digest
        return digest

    def answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        kind, _, reference = path.rpartition("/")
        if path == "/v2/":
            return 200, b"{}", {}
        if kind.endswith("/manifests"):
            digest = self.tags.get(reference, reference)
            content = self.manifests.get(digest)
            headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": digest}
        else:
            content, headers = self.blobs.get(reference), {"Content-Type": "application/octet-stream"}
        if content is None:
            return 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', {}
        return 200, content, headers


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


@contextmanager
def registry_running() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content, headers = registry.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Tests say what they see."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
