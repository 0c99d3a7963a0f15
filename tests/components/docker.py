"""Fixtures for tests with a real Docker: each is skipped, aloud, where it cannot be had.

With ``docker`` in AMLTOOL_REQUIRE they install, start and make what is missing, and fail where that does not work.
Without it they touch nothing: they use the Docker that answers and the images that are there. Made images are kept in
the user's cache folder, so that only the first run pays for them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.containers.daemon import DockerDaemon
from tests.components import docker_images, docker_service, mounts, places, private_docker
from tests.components.docker_recipes import CONDA, PYTHON, SPARK
from tests.components.private_docker import PrivateDocker
from tests.components.required import missing
from tests.components.users import UID, Unprivileged

FIXTURES = frozenset({"docker_daemon", "python_image", "spark_image", "conda_image", "private_docker"})
MAKING_S = 1500
"""What a test may take whose fixture has to make a base image first, in seconds."""


@pytest.fixture(scope="session")
def docker_daemon() -> DockerDaemon:
    """The Docker of this machine."""
    return docker_service.daemon()


@pytest.fixture(scope="session")
def python_image(docker_daemon: DockerDaemon) -> str:
    """The name of an image with Python, venv and CA certificates."""
    return docker_images.image(docker_daemon, PYTHON)


@pytest.fixture(scope="session")
def spark_image(docker_daemon: DockerDaemon) -> str:
    """The name of an image with Python and Java."""
    return docker_images.image(docker_daemon, SPARK)


@pytest.fixture(scope="session")
def conda_image(docker_daemon: DockerDaemon) -> str:
    """The name of an image with Python and a conda command (of 2017: ``.tar.bz2`` packages, ``repodata.json.bz2``)."""
    return docker_images.image(docker_daemon, CONDA)


@pytest.fixture(scope="session")
def ca_certificates() -> Path | None:
    """This machine's bundle of CA certificates, which containers need where what goes out is opened on its way."""
    return places.CERTIFICATES


@pytest.fixture(scope="session")
def package_index() -> None:
    """Python packages can be had from an index; the word in AMLTOOL_REQUIRE is ``package-index``."""
    variables = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    with tempfile.TemporaryDirectory() as folder:
        asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--retries=1"]
        done = subprocess.run(
            [*asked, "--dest", folder, "iniconfig"], env=variables, capture_output=True, text=True, timeout=300
        )
    if done.returncode:
        missing("package-index", f"no package index answers: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def _private_docker(docker_daemon: DockerDaemon, python_image: str) -> Iterator[PrivateDocker]:
    if os.getuid() != 0 or not all(mounts.found(program) for program in ("dockerd", "containerd", "ip")):
        missing("docker", "a Docker daemon of one's own needs root, dockerd, containerd and ip")
    private_docker.clear_abandoned()
    made = PrivateDocker()
    try:
        made.start()
        with tempfile.TemporaryDirectory() as folder:
            made.bring(_root_folder(python_image, Path(folder)), python_image)
        yield made
    finally:
        made.close()


@pytest.fixture(name="private_docker")
def private_docker_fixture(_private_docker: PrivateDocker) -> Iterator[PrivateDocker]:
    """A daemon of the test's own, running, with the image ``python_image`` and no containers."""
    _private_docker.start()
    yield _private_docker
    _private_docker.start()
    _private_docker.empty()


@pytest.fixture
def unprivileged(isolated_home: Path) -> Iterator[Unprivileged]:
    """A user without rights, who may use Docker."""
    if os.getuid() != 0 or not shutil.which("setpriv"):
        missing("docker", "acting as another user needs root and setpriv")
    socket = places.docker_socket()
    groups = (socket.stat().st_gid,) if socket.is_socket() else ()
    home = Path(tempfile.mkdtemp(prefix="amltool-user-"))
    try:
        shutil.copy(isolated_home / ".gitconfig", home)
        for path in (home, home / ".gitconfig"):
            os.chown(path, UID, UID)
        yield Unprivileged(uid=UID, gid=UID, groups=groups, home=home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _root_folder(image: str, folder: Path) -> Path:
    """A tar file of an image's root folder: the one it was made of, else taken from the daemon."""
    kept = docker_images.cached_tar(PYTHON)
    if image == PYTHON.image and kept.exists():
        return kept
    file, api = folder / "root.tar", docker_service.client()
    container = api.create_container(image, ["true"])["Id"]
    try:
        with file.open("wb") as stream:
            for piece in api.export(container):
                stream.write(piece)
    finally:
        api.remove_container(container, force=True)
    return file
