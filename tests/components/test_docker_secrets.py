"""Canary secrets given to a build and to a run on a Docker target: the script has them, and nothing else does."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import io
import json
import lzma
import subprocess
import tarfile
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from amltool.tracking.redaction import forms
from tests.amltool_command import amltool
from tests.components.docker_projects import DockerProjects, artifact, client, show, unfinished
from tests.environments.wheel_index import serving, wheel, wheel_name
from tests.repositories import git
from tests.walking import contents, files_below

SCRIPT = """
import base64, hashlib, os, sys, time, urllib.parse
import blot
secret, token = os.environ["DATABASE_PASSWORD"], os.environ["TARGET_TOKEN"]
for each in (secret, token):
    print(each, base64.b64encode(each.encode()).decode(), urllib.parse.quote(each, safe=""), flush=True)
    print("and" + each + "within", "x" + base64.b64encode(b"ab" + each.encode()).decode(), file=sys.stderr, flush=True)
with open("outputs/seen.txt", "w") as file:
    file.write(hashlib.sha256((secret + token).encode()).hexdigest() + " " + blot.VERSION)
time.sleep(2)
"""
LARGEST_MEMBER = 20 << 20
"""What is packed in a layer is looked into up to so many bytes."""


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Secrets in the environment of the command, by their names there."""
    values = {
        "CANARY_RUN": f"run/{uuid.uuid4().hex}+é ?",
        "CANARY_TARGET": f"target:{uuid.uuid4().hex}&<",
        "CANARY_BUILD": f"build {uuid.uuid4().hex}==",
        "CANARY_INDEX": f"index{uuid.uuid4().hex}",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def hits(pieces: Iterable[bytes], canaries: dict[str, str]) -> list[str]:
    """Names of the canaries that a text holds in whatever form."""
    text = b"\0".join(pieces)
    return [name for name, value in canaries.items() if any(form in text for form in forms(value))]


def unpacked(content: bytes) -> Iterator[bytes]:
    """A file, and what is packed in it."""
    yield content
    for unpack in (zlib.decompress, gzip.decompress, bz2.decompress, lzma.decompress):
        with contextlib.suppress(Exception):
            yield unpack(content)
    with contextlib.suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield name.encode() + archive.read(name)


def files_of_image(saved: bytes) -> Iterator[bytes]:
    """All of a ``docker save``: its metadata, and of each layer the headers and every file, unpacked."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            content = stream.read() if stream is not None else b""
            if not member.name.endswith("layer.tar"):
                yield from unpacked(content)
                continue
            yield content
            with tarfile.open(fileobj=io.BytesIO(content)) as layer:
                for file in layer:
                    packed = file.isfile() and file.size < LARGEST_MEMBER and looks_packed(file.name)
                    if packed and (inner := layer.extractfile(file)) is not None:
                        yield from unpacked(inner.read())


def looks_packed(name: str) -> bool:
    return name.endswith((".gz", ".bz2", ".xz", ".zip", ".whl", ".body", ".z")) or "/cache/" in name


def labels_unpacked(inspected: bytes) -> Iterator[bytes]:
    """What a look at an image or container says, and what its labels have packed."""
    yield inspected
    found = json.loads(inspected)
    for value in (found.get("Config", {}).get("Labels") or {}).values():
        with contextlib.suppress(ValueError):
            yield from unpacked(base64.b64decode(value))


def written(folders: Iterable[Path]) -> Iterator[bytes]:
    for content in contents(files_below(*folders)):
        yield from unpacked(content)


def git_objects(folder: Path) -> bytes:
    listed = git(folder, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").encode() + b"\n"
    command = ["git", "cat-file", "--batch"]
    return subprocess.run(command, cwd=folder, input=listed, capture_output=True, check=True).stdout


def command_lines() -> Iterator[bytes]:
    yield from contents(process / "cmdline" for process in Path("/proc").glob("[0-9]*"))


class Watching:
    """Looks at all that can be seen from outside while a client goes on."""

    def __init__(self, projects: DockerProjects, folders: tuple[Path, ...]) -> None:
        self._projects = projects
        self._folders = folders
        self._exported: set[str] = set()
        self.builds = self.runs = 0
        self.journals = 0

    def look(self) -> Iterator[bytes]:
        self.journals += len(unfinished(self._folders[0]))
        yield from command_lines()
        yield from written(self._folders)
        builds, runs = self._projects.builds(), self._projects.containers()
        self.builds, self.runs = self.builds + len(builds), self.runs + len(runs)
        for name in (*builds, *runs):
            with contextlib.suppress(Exception), self._projects.daemon._asked() as api:  # it may be gone any moment
                yield from labels_unpacked(json.dumps(api.inspect_container(name)).encode())
                yield json.dumps(api.top(name)).encode()
                yield api.logs(name)
                if name in runs and name not in self._exported:
                    yield b"".join(api.export(name))
                    self._exported.add(name)


@pytest.mark.parametrize("shared", [True, False], ids=["mounted", "copied"])
def test_canaries_are_in_no_layer_object_note_journal_log_or_command_line(
    docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path, canaries: dict[str, str], shared: bool
) -> None:
    own = f"{docker_projects.name}-{tmp_path.name}"
    conda = f"dependencies:\n- python\n- pip\n- pip:\n  - blot\nvariables: {{OF: {own}}}\n"
    wheels = {wheel_name("blot", "1.0"): wheel("blot", "1.0")}
    with serving(wheels, f"ada:{canaries['CANARY_INDEX']}") as index:
        folder = docker_projects.make(
            tmp_path,
            {"train.py": SCRIPT, "aml_config/docker.runconfig": RUN_CONFIGURATION},
            conda=conda,
            sharedVolumes=shared,
            network="host",
            pip={"indexUrl": index.url_for("ada:${env:CANARY_INDEX}")},
            buildArguments={"TOKEN": "${env:CANARY_BUILD}"},
            environmentVariables={"TARGET_TOKEN": "${env:CANARY_TARGET}"},
        )
        watching = Watching(docker_projects, (folder, isolated_home))
        found: set[str] = set()
        process = client(folder, "submit", "train.py", "--target", "docker")
        while process.poll() is None:
            found |= {*hits(watching.look(), canaries)}
            time.sleep(0.1)
        stdout, stderr = process.communicate()

    assert process.returncode == 0, stderr
    assert watching.builds
    assert watching.runs
    assert watching.journals
    assert found == set()
    record = show(folder)
    assert artifact(folder, "outputs/seen.txt", tmp_path / "downloaded").decode() == f"{expected(canaries)} 1.0"
    assert stdout.count(b"[redacted]") == 10
    kept = [stdout, stderr, json.dumps(record).encode(), git_objects(folder), *written((folder, isolated_home))]
    kept += [text.encode() for text in (amltool(folder, "show", "@").stdout, amltool(folder, "logs", "@").stdout)]
    assert hits(kept, canaries) == []
    with docker_projects.daemon._asked() as api:
        image = record["environment"]["image"]
        history, inspected = json.dumps(api.history(image)).encode(), json.dumps(api.inspect_image(image)).encode()
        saved = b"".join(api.get_image(image))
    assert hits([history, *labels_unpacked(inspected)], canaries) == []
    assert hits(files_of_image(saved), canaries) == []
    assert hits(files_of_image(saved), {"of the wheel": "VERSION = '1.0'"}) == ["of the wheel"], "it is looked into"


def expected(canaries: dict[str, str]) -> str:
    import hashlib

    return hashlib.sha256((canaries["CANARY_RUN"] + canaries["CANARY_TARGET"]).encode()).hexdigest()


def test_a_failing_build_does_not_show_its_secrets(
    docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path, canaries: dict[str, str]
) -> None:
    conda = f"dependencies:\n- python\n- pip:\n  - blot\nvariables: {{OF: {docker_projects.name}-failing}}\n"
    with serving({}, f"ada:{canaries['CANARY_INDEX']}") as index:
        folder = docker_projects.make(
            tmp_path,
            {"train.py": SCRIPT},
            conda=conda,
            network="host",
            pip={"indexUrl": index.url_for("ada:${env:CANARY_INDEX}")},
            buildArguments={"PIP_FIND_LINKS": "/nowhere/${env:CANARY_BUILD}"},
        )
        done = amltool(folder, "prepare", "--target", "docker", check=False)
    assert done.returncode == 1
    assert "blot" in done.stderr
    assert "Traceback" not in done.stderr
    said = (done.stdout + done.stderr).encode()
    assert hits([said, git_objects(folder), *written((folder, isolated_home))], canaries) == []
    assert docker_projects.builds() == []


def test_a_secret_that_is_not_there_is_named_before_anything_is_built(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    folder = docker_projects.make(
        tmp_path,
        {"train.py": SCRIPT},
        conda=f"dependencies:\n- python\n- pip:\n  - blot\nvariables: {{OF: {docker_projects.name}-{tmp_path.name}}}\n",
        buildArguments={"TOKEN": "${env:CANARY_MISSING}"},
    )
    done = amltool(folder, "submit", "train.py", "--target", "docker", check=False)
    assert done.returncode == 1
    assert "CANARY_MISSING" in done.stderr
    assert "Traceback" not in done.stderr
    assert unfinished(folder) == []
    assert docker_projects.builds() == []


RUN_CONFIGURATION = (
    'ArgumentVector:\n- "$file"\nTarget: "docker"\nFramework: "Python"\nPrepareEnvironment: true\nTrackedRun: true\n'
    "EnvironmentVariables:\n  DATABASE_PASSWORD: ${env:CANARY_RUN}\n"
)
