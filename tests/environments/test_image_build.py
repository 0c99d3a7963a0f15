"""One build for all who want it: builders at once, killed builders, what they left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.containers import connection
from amltool.containers.daemon import ContainerSpec, DockerDaemon
from amltool.environments import image_build
from amltool.environments.base import Prepared
from amltool.environments.image import ImageEnvironment
from amltool.environments.image_build import BUILD_LABEL, CACHE_VOLUME, PROJECT_LABEL, build_container
from amltool.hosts.local import LocalHost
from tests.environments.image_building import Told, docker_target, pip_file, request, run_in, start_builder
from tests.environments.package_index import PackageIndex, package_index_running

WHEEL = "blot-1.0-py3-none-any.whl"


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with package_index_running() as found:
        found.add("blot", "1.0")
        yield found


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "root")


@pytest.fixture
def project(docker_daemon: DockerDaemon, host: LocalHost, python_image: str) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    environment = ImageEnvironment(docker_daemon, docker_target(python_image, ""), name)
    for kept in environment.kept(host):
        if kept.place != CACHE_VOLUME:
            environment.remove(host, kept)


@pytest.fixture
def own_image(docker_daemon: DockerDaemon, python_image: str, project: str) -> Iterator[str]:
    """An image of this test only: the name of a build container comes from its image, and is known to all of Docker."""
    name = f"amltool-tests/{project}:own"
    container = docker_daemon.create(ContainerSpec(image=python_image, command=["true"], name=project, labels={}))
    try:
        docker_daemon.commit(container, name, [f"LABEL amltool-tests.project={project}"])
    finally:
        docker_daemon.remove(container)
    yield name
    docker_daemon.remove_image(name)


@pytest.fixture
def as_it_is(docker_daemon: DockerDaemon, own_image: str, project: str) -> ImageEnvironment:
    """The quickest of builds: an image of the user is only listed."""
    return ImageEnvironment(docker_daemon, docker_target(own_image, "", user_managed_environment=True), project)


def builds(daemon: DockerDaemon, project: str) -> list[str]:
    return [one.name for one in daemon.containers(BUILD_LABEL) if one.labels.get(PROJECT_LABEL) == project]


def wait_until_asked(index: PackageIndex, builder: subprocess.Popen[str]) -> None:
    """For as long as the builder lives: how soon it has made a virtual environment is up to the machine's load."""
    while not index.asked.wait(1):
        assert builder.poll() is None, builder.communicate()


def test_two_who_want_the_same_at_once_build_it_once(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, index: PackageIndex
) -> None:
    index.hold()
    wanted = (Path(host.root), python_image, index.url, project, pip_file("blot"))
    first = start_builder(*wanted)
    wait_until_asked(index, first)
    second = start_builder(*wanted)
    assert second.stderr is not None
    assert any("Another amltool builds this execution environment already" in line for line in second.stderr)
    index.let_go()  # the build goes on only now
    (image, _), (same, said) = (process.communicate(timeout=240) for process in (first, second))
    assert image == same != ""
    assert "Successfully installed blot-1.0" in said
    assert index.fetched == [WHEEL]
    assert builds(docker_daemon, project) == []


def test_two_who_start_at_the_same_moment_build_it_once(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, index: PackageIndex
) -> None:
    processes = [start_builder(Path(host.root), python_image, index.url, project, pip_file("blot")) for _ in range(3)]
    images = {process.communicate(timeout=240)[0] for process in processes}
    assert len(images) == 1
    assert index.fetched == [WHEEL]
    assert builds(docker_daemon, project) == []


def test_a_builder_that_is_killed_is_followed_by_the_next_one(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, index: PackageIndex
) -> None:
    index.hold()
    process = start_builder(Path(host.root), python_image, index.url, project, pip_file("blot"))
    wait_until_asked(index, process)
    process.kill()
    process.communicate()
    environment = ImageEnvironment(docker_daemon, docker_target(python_image, index.url), project)
    assert environment.find(host, request(pip_file("blot"))) is None
    index.let_go()
    told = Told()
    prepared = environment.prepare(host, request(pip_file("blot")), told)
    assert prepared.image is not None
    assert index.fetched == [WHEEL]
    assert builds(docker_daemon, project) == []


def leave_behind(daemon: DockerDaemon, prepared: Prepared, image: str, project: str, script: str | None) -> None:
    """A build container as a dead builder leaves it: never started, or ended."""
    name = build_container(prepared.key)
    labels = {BUILD_LABEL: prepared.key, PROJECT_LABEL: project}
    container = daemon.create(ContainerSpec(image=image, command=["sh", "-c", script or ""], name=name, labels=labels))
    if script is not None:
        daemon.start(container)
        assert daemon.wait(container, 30) is not None


@pytest.mark.parametrize("script", [None, "exit 75", "exit 1", "exit 0"])
def test_what_a_dead_builder_left_is_removed_and_it_is_built_anew(
    script: str | None, docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str,
    as_it_is: ImageEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(image_build, "STARTED_WITHIN_S", 0.5)
    prepared = as_it_is.prepare(host, request(""), Told())
    leave_behind(docker_daemon, prepared, python_image, project, script)
    elsewhere = LocalHost(tmp_path / "elsewhere")
    assert as_it_is.prepare(elsewhere, request(""), Told()) == prepared
    assert builds(docker_daemon, project) == []


def test_an_interrupted_build_leaves_nothing(
    docker_daemon: DockerDaemon, host: LocalHost, project: str, as_it_is: ImageEnvironment
) -> None:
    class Interrupting(Told):
        def say(self, message: str) -> None:
            if message.startswith("In the image"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        as_it_is.prepare(host, request(""), Interrupting())
    assert builds(docker_daemon, project) == []
    assert as_it_is.find(host, request("")) is None


def test_what_an_interrupted_build_left_is_kept_and_can_be_removed(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, as_it_is: ImageEnvironment
) -> None:
    prepared = as_it_is.prepare(host, request(""), Told())
    leave_behind(docker_daemon, prepared, python_image, project, "exit 1")
    [kept] = [kept for kept in as_it_is.kept(host) if kept.place != CACHE_VOLUME]
    assert kept.place == build_container(prepared.key)
    as_it_is.remove(host, kept)
    assert builds(docker_daemon, project) == []


def test_a_build_that_is_silent_for_longer_than_an_answer_takes_is_followed_to_its_end(
    host: LocalHost, python_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 1)
    daemon = DockerDaemon(host)
    name = f"amltool-test-{uuid.uuid4().hex}"
    script = "echo one; sleep 2.5; echo two"
    container = daemon.create(ContainerSpec(image=python_image, command=["sh", "-c", script], name=name, labels={}))
    try:
        daemon.start(container)
        assert b"".join(daemon.output(container)) == b"one\ntwo\n"
    finally:
        daemon.remove(container)


class Interrupted(DockerDaemon):
    """Ctrl-C is pressed when Docker has made a container and has not said so."""

    def create(self, spec: ContainerSpec) -> str:
        made = super().create(spec)
        os.kill(os.getpid(), signal.SIGINT)
        return made


def test_ctrl_c_while_the_container_is_made_leaves_none(
    docker_daemon: DockerDaemon, host: LocalHost, own_image: str, project: str
) -> None:
    target = docker_target(own_image, "", user_managed_environment=True)
    with pytest.raises(KeyboardInterrupt):
        ImageEnvironment(Interrupted(host), target, project).prepare(host, request(""), Told())
    assert builds(docker_daemon, project) == []


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(20))
def test_a_builder_killed_at_any_moment_costs_nothing_but_time(
    seed: int, docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, index: PackageIndex
) -> None:
    process = start_builder(Path(host.root), python_image, index.url, project, pip_file("blot"))
    time.sleep(random.Random(seed).uniform(0.2, 6.0))
    process.kill()
    process.communicate()
    environment = ImageEnvironment(docker_daemon, docker_target(python_image, index.url), project)
    prepared = environment.prepare(host, request(pip_file("blot")), Told())
    assert prepared.image is not None
    code = "import blot; print(blot.VERSION)"
    assert run_in(docker_daemon, prepared.image, *prepared.python, "-c", code) == (0, "1.0\n")
    assert builds(docker_daemon, project) == []
