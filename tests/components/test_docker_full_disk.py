"""The disk of the Docker daemon is full: while an environment is built, while a run is started, while it goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components import mounts
from tests.components.docker import _root_folder
from tests.components.docker_projects import DockerProjects, Found, completed, submit, unfinished
from tests.components.private_docker import PrivateDocker
from tests.components.required import missing

MB = 1 << 20
DISK = 400 * MB
FILLS = """
import os
with open("/var/tmp/filler", "wb") as file:
    while True:
        file.write(bytes(1 << 20))
"""
PROGRAMS = ("dockerd", "containerd", "ip", "mkfs.ext4", "mount")


class SmallDocker:
    """A private daemon whose images and containers lie on a small disk, of which a test takes what it wants away."""

    def __init__(self, docker: PrivateDocker, disk: Path) -> None:
        self.docker = docker
        self._ballast = disk / "ballast"

    def leave(self, free: int) -> None:
        """Let so many bytes be free, for root too."""
        self._ballast.unlink(missing_ok=True)
        os.sync()
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # it is full
            os.posix_fallocate(file.fileno(), 0, self._left() - free - 8 * MB)
            file.seek(0, os.SEEK_END)
            while self._left() > free:
                file.write(bytes(1 << 16))
                os.fsync(file.fileno())

    def _left(self) -> int:
        state = os.statvfs(self._ballast.parent)
        return state.f_bfree * state.f_frsize

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def kept(self) -> list[str]:
        """Images and containers of ours."""
        daemon = self.docker.daemon()
        labels = ("amltool.environment", "amltool.build", "amltool.run")
        return [kept.name for label in labels for kept in (*daemon.images(label), *daemon.containers(label))]


@pytest.fixture(scope="module")
def small_disk(docker_daemon: object, python_image: str) -> Iterator[SmallDocker]:
    if os.getuid() != 0 or not all(mounts.found(program) for program in PROGRAMS):
        missing("docker", "a Docker daemon on a small disk needs root, dockerd, containerd, ip and mkfs.ext4")
    docker = PrivateDocker()
    try:
        image, disk = docker.folder / "disk.img", docker.folder / "data"
        disk.mkdir()
        with image.open("wb") as file:
            file.truncate(DISK)
        formatted = [mounts.found("mkfs.ext4") or "", "-q", "-m", "0", str(image)]
        subprocess.run(formatted, check=True, capture_output=True)
        if subprocess.run(["mount", "-o", "loop", str(image), str(disk)], capture_output=True).returncode:
            missing("docker", "a small disk needs loop devices")
        docker.start()
        with tempfile.TemporaryDirectory() as folder:
            docker.bring(_root_folder(python_image, Path(folder)), python_image)
        yield SmallDocker(docker, disk)
    finally:
        docker.close()


@pytest.fixture
def small(small_disk: SmallDocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDocker]:
    monkeypatch.setenv("DOCKER_HOST", small_disk.docker.host)
    yield small_disk
    small_disk.free()
    small_disk.docker.empty()
    for image in small_disk.docker.daemon().images("amltool.environment"):
        small_disk.docker.daemon().remove_image(image.id)


def project(projects: DockerProjects, small: SmallDocker, folder: Path, script: str, **more: object) -> Path:
    settings: Found = {"baseDockerImage": small.docker.image, "network": "none", **more}
    return projects.make(folder, {"train.py": script}, **settings)


@pytest.mark.parametrize("free", [*(pytest.param(mb * MB, marks=pytest.mark.torture) for mb in (0, 4, 40)), 20 * MB])
def test_a_build_that_fills_it_is_a_sentence_and_leaves_nothing_half_built(
    docker_projects: DockerProjects, small: SmallDocker, tmp_path: Path, free: int
) -> None:
    folder = project(docker_projects, small, tmp_path, "print('done')")
    small.leave(free)

    done = submit(folder)

    assert done.exit_code == 1
    assert "disk of Docker" in done.said
    assert "full" in done.said
    assert "Make room there" in done.said
    assert "Traceback" not in done.said
    assert small.kept() == []
    assert unfinished(folder) == []

    small.free()
    completed(submit(folder))


def test_a_container_that_cannot_be_made_is_a_sentence_and_no_run(
    docker_projects: DockerProjects, small: SmallDocker, tmp_path: Path
) -> None:
    folder = project(docker_projects, small, tmp_path, "print('done')")
    amltool(folder, "prepare", "--target", "docker")
    small.leave(0)

    done = submit(folder)

    assert done.exit_code == 1
    assert "disk of Docker" in done.said
    assert "Make room there" in done.said
    assert unfinished(folder) == []

    small.free()
    completed(submit(folder))


@pytest.mark.parametrize("shared", [True, pytest.param(False, marks=pytest.mark.torture)])
def test_a_run_that_fills_it_fails_with_its_own_exit_code_and_log(
    docker_projects: DockerProjects, small: SmallDocker, tmp_path: Path, shared: bool
) -> None:
    folder = project(docker_projects, small, tmp_path, FILLS, sharedVolumes=shared)
    amltool(folder, "prepare", "--target", "docker")
    small.leave(12 * MB)

    done = submit(folder)

    assert (done.record["status"], done.record["exit_code"]) == ("Failed", 1), done.said
    assert "No space left on device" in done.printed
    assert unfinished(folder) == []
    assert [name for name in small.kept() if "/" not in name] == []

    small.free()
    (folder / "train.py").write_text("print('done')")
    completed(submit(folder))
