"""A tiny conda channel: a python (a wrapper of a real one), pip, and two packages, one of which needs the other."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from ensurepip import _bundled  # type: ignore[attr-defined] # a namespace of its own
from pathlib import Path

Files = Mapping[str, bytes]
BUILD_TIME = 1_700_000_000
PHRASES = {"1.0": b"hello\n", "1.1": b"good day\n"}
GREETING = b"""import pathlib, sys
def greet():
    return (pathlib.Path(sys.prefix) / "share" / "phrases.txt").read_text().strip()
"""


def make_channel(
    folder: Path, *, python: str | None = None, version: str | None = None, platform: str = "linux-64",
    packable: bool = False,
) -> str:  # fmt: skip
    """Make the channel in a folder and give its URL; ``python`` is the interpreter (its path where the environment will
    lie) that the channel's python wraps, by default the one under this one. ``packable``: its packages say what
    conda-pack asks, which the conda of 2017 makes too much of."""
    real = python or getattr(sys, "_base_executable", sys.executable)
    number = version or ".".join(map(str, sys.version_info[:3]))
    channel = Channel(folder, platform, packable=packable)
    channel.add("python", number, python_files(real, number), platform=platform)
    channel.add("pip", "23.0", pip_files(), noarch="python", depends=["python"])
    for phrases, text in PHRASES.items():
        channel.add("phrases", phrases, {"share/phrases.txt": text}, noarch="generic")
    files = {"site-packages/greeting.py": GREETING, **distribution("greeting", "2.0")}
    channel.add("greeting", "2.0", files, noarch="python", depends=["python", "phrases >=1.0"])
    channel.write()
    return folder.as_uri()


def python_files(real: str, version: str) -> Files:
    """A prefix with this at its top is a virtual environment of the real one, which is found through argv[0]."""
    minor = ".".join(version.split(".")[:2])
    script = f'#!/bin/bash\nexec -a "$0" {real} "$@"\n'.encode()
    settings = f"home = {Path(real).parent}\ninclude-system-site-packages = false\n".encode()
    keep = f"lib/python{minor}/site-packages/README.txt"
    return {"bin/python": script, f"bin/python{minor}": script, "pyvenv.cfg": settings, keep: b"packages\n"}


def pip_files() -> Files:
    """The pip that comes with this Python, as conda packs it."""
    [wheel] = Path(_bundled.__path__[0]).glob("pip-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {f"site-packages/{name}": archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    [metadata] = [name for name in files if name.endswith("dist-info/METADATA")]
    return {**files, f"{metadata[: -len('METADATA')]}INSTALLER": b"conda"}


def distribution(name: str, version: str) -> Files:
    folder = f"site-packages/{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    return {f"{folder}/METADATA": metadata, f"{folder}/INSTALLER": b"conda", f"{folder}/RECORD": b""}


class Channel:
    """Packages of a channel, written with `write`."""

    def __init__(self, folder: Path, platform: str, *, packable: bool = False) -> None:
        self.folder = folder
        self._packable = packable
        self._index: dict[str, dict[str, object]] = {platform: {}, "noarch": {}}

    def add(
        self, name: str, version: str, files: Files, *, noarch: str | None = None, depends: list[str] | None = None,
        platform: str = "noarch",
    ) -> Path:  # fmt: skip
        index = {
            "name": name, "version": version, "build": "0", "build_number": 0, "depends": depends or [],
            "subdir": platform, "timestamp": BUILD_TIME * 1000, **({"noarch": noarch} if noarch else {}),
        }  # fmt: skip
        package = self.folder / platform / f"{name}-{version}-0.tar.bz2"
        package.parent.mkdir(parents=True, exist_ok=True)
        link = {"noarch": {"type": noarch}, "package_metadata_version": 1}
        has_link = self._packable and noarch == "python"  # conda-pack asks here, not in the index
        content = _packed(index, {"info/link.json": json.dumps(link).encode()} if has_link else {}, files)
        package.write_bytes(content)
        sums = {"md5": hashlib.md5(content).hexdigest(), "sha256": hashlib.sha256(content).hexdigest()}
        self._index[platform][package.name] = {**index, **sums, "size": len(content)}
        return package

    def write(self) -> None:
        for platform, packages in self._index.items():
            content = {"info": {"subdir": platform}, "packages": packages, "packages.conda": {}, "repodata_version": 1}
            (self.folder / platform).mkdir(parents=True, exist_ok=True)
            (self.folder / platform / "repodata.json").write_text(json.dumps(content))


def _packed(index: Mapping[str, object], more: Files, files: Files) -> bytes:
    paths = [
        {"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(one).hexdigest(), "size_in_bytes": len(one)}
        for path, one in files.items()
    ]
    information = {
        "info/index.json": json.dumps(index).encode(),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        "info/files": "".join(f"{path}\n" for path in files).encode(),
        "info/about.json": b"{}",
        **more,
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in {**information, **files}.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(content), BUILD_TIME
            member.mode = 0o755 if path.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(content))
    return bz2.compress(stream.getvalue(), 1)
