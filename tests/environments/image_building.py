"""What tests of image builds share: who is told, a request, a way to run something in an image."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from amltool.configuration.compute import ComputeTarget, ComputeType, PipSettings
from amltool.containers.daemon import ContainerSpec, DockerDaemon
from amltool.environments.base import EnvironmentRequest

CONDA_FILE = "aml_config/conda_dependencies.yml"


class Told:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.lines: list[str] = []
        self.done = 0

    def say(self, message: str) -> None:
        self.said.append(message)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, what: str, size: int, total: int | None) -> None:
        self.done += size

    @property
    def text(self) -> str:
        return "\n".join([*self.said, *self.lines])


def request(
    content: str, files: Mapping[str, bytes] | None = None, *, lock: bytes | None = None, framework: str = "Python"
) -> EnvironmentRequest:
    """A request for a conda file of this content, beside other files of the project."""
    found = {CONDA_FILE: content.encode(), **(files or {})}
    return EnvironmentRequest(read=found.get, conda_file=CONDA_FILE, lock=lock, framework=framework)


def pip_file(*packages: str, python: str | None = None) -> str:
    """A conda file that asks for pip packages only."""
    lines = [f"- python={python}"] if python else []
    return "\n".join(["dependencies:", *lines, "- pip:", *(f"  - {package}" for package in packages), ""])


def run_in(daemon: DockerDaemon, image: str, *command: str) -> tuple[int, str]:
    """Run a command in a container of an image: its exit code and all that it printed."""
    name = f"amltool-test-{uuid.uuid4().hex}"
    container = daemon.create(ContainerSpec(image=image, command=command, name=name, labels={}, user="12345:12345"))
    try:
        daemon.start(container)
        printed = b"".join(daemon.output(container)).decode()
        code = daemon.wait(container, 60)
        assert code is not None
        return code, printed
    finally:
        daemon.remove(container)


BUILDER = """
import sys
from pathlib import Path
from amltool.configuration.compute import ComputeTarget, ComputeType, PipSettings
from amltool.containers.daemon import DockerDaemon
from amltool.environments.image import ImageEnvironment
from amltool.hosts.local import LocalHost
from tests.environments.image_building import Told, docker_target, request

root, base, index, project, content = sys.argv[1:]
class Aloud(Told):
    def say(self, message: str) -> None:
        super().say(message)
        print(message, file=sys.stderr, flush=True)

host, told = LocalHost(Path(root)), Aloud()
environment = ImageEnvironment(DockerDaemon(host), docker_target(base, index), project)
print(environment.prepare(host, request(content), told).image)
print(told.text, file=sys.stderr)
"""


def docker_target(base: str, index: str, **changes: object) -> ComputeTarget:
    """A compute target whose builds see the network of this machine, and on it one package index."""
    settings = {"network": "host", "pip": PipSettings(index_url=index), **changes}
    return ComputeTarget(name="docker", type=ComputeType.LOCAL_DOCKER, base_docker_image=base, **settings)  # type: ignore[arg-type]


def start_builder(root: Path, base: str, index: str, project: str, content: str) -> subprocess.Popen[str]:
    """Another amltool that builds the same."""
    command = [sys.executable, "-c", BUILDER, str(root), base, index, project, content]
    top = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=top)
