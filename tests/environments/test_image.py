"""Images that are built from dependency files: what is in them, when they are built, what is kept."""

from __future__ import annotations

import base64
import bz2
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amltool.configuration.compute import ComputeTarget, ComputeType, PipSettings
from amltool.containers.daemon import ContainerSpec, DockerDaemon
from amltool.environments.base import Prepared
from amltool.environments.image import ImageEnvironment
from amltool.environments.image_build import CACHE_VOLUME, ENVIRONMENT, TOP
from amltool.environments.lock import lock_from, read_lock
from amltool.errors import UserError
from amltool.hosts.local import LocalHost
from amltool.tracking.redaction import forms
from tests.environments.conda_channel import make_channel
from tests.environments.image_building import Told, docker_target, pip_file, request, run_in
from tests.environments.package_index import PackageIndex, package_index_running
from tests.environments.wheel_index import wheel, wheel_name

BLOT = pip_file("blot") + "variables:\n  COLOUR: blue\n"


class Counting(DockerDaemon):
    """Counts the questions to the daemon."""

    asked = 0

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        self.asked += 1
        with super()._asked() as api:
            yield api

    def _ask(self, *question: Any, **more: Any) -> Any:
        self.asked += 1
        return super()._ask(*question, **more)


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index_running() as found:
        found.add("blot", "1.0")
        yield found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> LocalHost:
    return LocalHost(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def project(docker_daemon: DockerDaemon, host: LocalHost, python_image: str) -> Iterator[str]:
    """The name of a project of which nothing is left afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    environment = ImageEnvironment(docker_daemon, docker_target(python_image, ""), name)
    for kept in environment.kept(host):
        if kept.place != CACHE_VOLUME:
            environment.remove(host, kept)


@pytest.fixture(scope="module")
def target(python_image: str, index: PackageIndex) -> ComputeTarget:
    return docker_target(python_image, index.url)


@pytest.fixture(scope="module")
def environment(docker_daemon: DockerDaemon, target: ComputeTarget, project: str) -> ImageEnvironment:
    return ImageEnvironment(docker_daemon, target, project)


@pytest.fixture(scope="module")
def built(environment: ImageEnvironment, host: LocalHost) -> tuple[Prepared, Told]:
    told = Told()
    return environment.prepare(host, request(BLOT), told), told


@pytest.fixture(scope="module")
def prepared(built: tuple[Prepared, Told]) -> Prepared:
    return built[0]


def test_the_packages_of_the_file_are_there_for_any_user(docker_daemon: DockerDaemon, prepared: Prepared) -> None:
    assert prepared.image is not None
    code, printed = run_in(docker_daemon, prepared.image, *prepared.python, "-c", "import blot; print(blot.VERSION)")
    assert (code, printed) == (0, "1.0\n")


def test_the_build_is_told_line_by_line(built: tuple[Prepared, Told]) -> None:
    told = built[1]
    assert "In the image: install the pip packages." in told.said
    assert any(line.startswith("Successfully installed blot-1.0") for line in told.lines)


def test_the_variables_are_the_images_with_the_environment_in_front_and_the_files_own(prepared: Prepared) -> None:
    assert prepared.variables["PATH"].startswith(f"{ENVIRONMENT}/bin:")
    assert prepared.variables["COLOUR"] == "blue"
    assert not {"HOME", "HOSTNAME", "PWD", "USER", "SSL_CERT_FILE"} & set(prepared.variables)


def test_the_accounts_of_the_image_are_known(prepared: Prepared) -> None:
    assert prepared.accounts.startswith("root:x:0:0:")


def test_the_lock_names_the_packages_and_the_base_image(
    prepared: Prepared, docker_daemon: DockerDaemon, python_image: str
) -> None:
    base = docker_daemon.image(python_image)
    assert base is not None
    found = read_lock(prepared.lock).base_image
    assert found is not None
    assert (found.name, found.digest or found.id) == (python_image, base.digest or base.id)
    assert ("blot", "1.0") in [(package.name, package.version) for package in lock_from(prepared.lock).packages]


def test_nothing_of_the_build_is_left_in_the_image(prepared: Prepared, docker_daemon: DockerDaemon) -> None:
    assert prepared.image is not None
    _, printed = run_in(docker_daemon, prepared.image, "ls", TOP)
    assert set(printed.split()) == {"cache", "environment", "private", "results"}


def test_a_person_can_run_the_image(prepared: Prepared, docker_daemon: DockerDaemon) -> None:
    assert prepared.image is not None
    image = docker_daemon.image(prepared.image)
    assert image is not None
    assert image.variables["PATH"] == prepared.variables["PATH"]


def test_a_wheel_of_the_project_is_installed_and_its_content_names_the_image(
    docker_daemon: DockerDaemon, environment: ImageEnvironment, host: LocalHost
) -> None:
    name = wheel_name("mine", "0.5")
    content = pip_file(f"./wheels/{name}")
    asked = request(content, {f"wheels/{name}": wheel("mine", "0.5")})
    made = environment.prepare(host, asked, Told())
    assert made.image is not None
    _, printed = run_in(docker_daemon, made.image, *made.python, "-c", "import mine; print(mine.VERSION)")
    assert printed == "0.5\n"
    assert environment.find(host, asked) == made
    assert environment.find(host, request(content, {f"wheels/{name}": wheel("mine", "0.5") + b" "})) is None


def test_a_second_time_two_questions_are_asked_and_nothing_is_built(
    prepared: Prepared, host: LocalHost, target: ComputeTarget, project: str
) -> None:
    daemon, told = Counting(host), Told()
    again = ImageEnvironment(daemon, target, project).prepare(host, request(BLOT), told)
    assert again == prepared
    assert daemon.asked == 2
    assert told.text == ""


@pytest.mark.parametrize(
    "content",
    [f"# a comment\n\n{BLOT}", "variables:\n  COLOUR: blue\n" + pip_file("blot")],
    ids=["a comment", "another order"],
)
def test_what_says_the_same_is_the_same_image(
    content: str, prepared: Prepared, environment: ImageEnvironment, host: LocalHost
) -> None:
    found = environment.find(host, request(content))
    assert found is not None
    assert found.image == prepared.image


def test_another_package_is_another_image(prepared: Prepared, environment: ImageEnvironment, host: LocalHost) -> None:
    assert environment.find(host, request(BLOT.replace("blot", "blot==1.0"))) is None


def test_another_certificate_or_build_argument_is_another_image(
    prepared: Prepared, docker_daemon: DockerDaemon, host: LocalHost, python_image: str, index: PackageIndex,
    project: str, tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "ca.pem").write_text("a certificate\n")
    for changes in ({"ca_certificates": str(tmp_path / "ca.pem")}, {"build_arguments": {"LEVEL": "2"}}):
        other = docker_target(python_image, index.url, **changes)
        assert ImageEnvironment(docker_daemon, other, project).find(host, request(BLOT)) is None


def test_another_project_shares_the_image_and_takes_only_its_own_name_away(
    prepared: Prepared,
    docker_daemon: DockerDaemon,
    host: LocalHost,
    target: ComputeTarget,
    environment: ImageEnvironment,
) -> None:
    other = ImageEnvironment(docker_daemon, target, f"other-{uuid.uuid4().hex[:8]}")
    found = other.find(host, request(BLOT))
    assert found is not None
    assert found.image == prepared.image
    [own] = [kept for kept in other.kept(host) if kept.key == prepared.key]
    other.remove(host, own)
    assert [kept.key for kept in other.kept(host) if kept.kind == "image"] == []
    assert environment.find(host, request(BLOT)) is not None


def test_what_is_kept_says_what_it_weighs_beside_its_base(
    prepared: Prepared, environment: ImageEnvironment, host: LocalHost, docker_daemon: DockerDaemon
) -> None:
    assert prepared.image is not None
    image = docker_daemon.image(prepared.image)
    [kept] = [kept for kept in environment.kept(host) if kept.key == prepared.key]
    assert image is not None
    assert kept.place in image.tags
    assert 0 < kept.size < image.size / 2


def test_pyspark_without_spark_says_what_to_add(
    prepared: Prepared, environment: ImageEnvironment, host: LocalHost
) -> None:
    with pytest.raises(UserError, match=r"no Spark in the image.*\n.*pyspark"):
        environment.find(host, request(BLOT, framework="PySpark"))


def test_from_a_lock_the_same_is_found_and_otherwise_built_again(
    docker_daemon: DockerDaemon, host: LocalHost, project: str, python_image: str
) -> None:
    with package_index_running() as index:
        index.add("blot", "1.0")
        environment = ImageEnvironment(docker_daemon, docker_target(python_image, index.url), project)
        first = environment.prepare(host, request(pip_file("blot")), Told())
        index.add("blot", "1.1")
        found = environment.find(host, request(pip_file("blot"), lock=first.lock))
        assert found is not None
        assert found.image == first.image
        again = rebuilt(environment, host, pip_file("blot"), first)
    assert again.lock == first.lock
    assert again.notices == ()


def test_a_lock_whose_base_is_nowhere_is_explained(
    prepared: Prepared, environment: ImageEnvironment, host: LocalHost
) -> None:
    lock = json.loads(prepared.lock)
    lock["base_image"] = {"name": "gone", "id": f"sha256:{'0' * 64}"}
    with pytest.raises(UserError, match="docker load"):
        environment.prepare(host, request(BLOT, lock=json.dumps(lock).encode()), Told())


def test_what_differs_from_a_lock_of_elsewhere_is_told(
    prepared: Prepared, environment: ImageEnvironment, host: LocalHost
) -> None:
    lock = json.loads(prepared.lock)
    del lock["source"], lock["base_image"]  # as of a user's own interpreter, which nothing can be built from
    lock["packages"] = [{"name": "blot", "version": "0.9"}]
    found = environment.find(host, request(BLOT, lock=json.dumps(lock).encode()))
    assert found is not None
    assert any("blot 0.9 -> 1.0" in notice for notice in found.notices)


def test_a_package_that_is_not_there_is_told_with_the_last_lines_and_nothing_is_left(
    environment: ImageEnvironment, host: LocalHost, docker_daemon: DockerDaemon, project: str
) -> None:
    with pytest.raises(UserError, match="install the pip packages failed") as raised:
        environment.prepare(host, request(pip_file("blot==9.9")), Told())
    assert "No matching distribution found for blot==9.9" in str(raised.value)
    assert raised.value.remedy
    left = docker_daemon.containers("amltool.build")
    assert [container for container in left if container.labels.get("amltool.project") == project] == []


def test_a_python_that_the_base_has_not_is_told_with_what_it_has(
    environment: ImageEnvironment, host: LocalHost
) -> None:
    with pytest.raises(UserError, match=r"asks for Python 3\.99, and the base image .* has 3\.\d+\.\d+") as raised:
        environment.prepare(host, request(pip_file("blot", python="3.99")), Told())
    assert "micromamba" in raised.value.remedy


def test_an_image_that_the_user_manages_is_listed_and_not_built(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str
) -> None:
    target = docker_target(python_image, "", user_managed_environment=True)
    environment = ImageEnvironment(docker_daemon, target, project)
    assert environment.find(host, request(BLOT)) is None
    prepared = environment.prepare(host, request(BLOT), Told())
    base = docker_daemon.image(python_image)
    assert base is not None
    assert prepared.image == base.id
    assert prepared.python[0].startswith("/usr/")
    daemon = Counting(host)
    assert ImageEnvironment(daemon, target, project).find(host, request(BLOT)) == prepared
    assert daemon.asked == 1


def test_an_image_that_the_user_manages_has_to_have_the_python_it_says(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str
) -> None:
    target = docker_target(python_image, "", user_managed_environment=True, python_location="/nowhere/python")
    with pytest.raises(UserError, match="has no /nowhere/python"):
        ImageEnvironment(docker_daemon, target, project).prepare(host, request(BLOT), Told())


def test_secrets_of_a_build_are_nowhere(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    password, token = f"canary{uuid.uuid4().hex}", f"canary{uuid.uuid4().hex}"
    monkeypatch.setenv("INDEX_PASSWORD", password)
    monkeypatch.setenv("BUILD_TOKEN", token)
    (tmp_path / "ca.pem").write_text("a certificate\n")
    (tmp_path / "pip.conf").write_text("[global]\ntimeout = 20\n# " + token + "\n")
    seen: list[str] = []

    class Looking(Told):
        def say(self, message: str) -> None:
            super().say(message)
            if "In the image: install" in message:
                [container] = [
                    each
                    for each in docker_daemon.containers("amltool.build")
                    if each.labels.get("amltool.project") == project
                ]
                with docker_daemon._asked() as api:
                    seen.append(json.dumps(api.inspect_container(container.id)))
                    seen.append(json.dumps(api.top(container.id)))

    told = Looking()
    with package_index_running() as index:
        index.add("blot", "2.0")
        index.password = password
        address = index.url_with("${env:INDEX_PASSWORD}")
        pip = PipSettings(index_url=address, configuration_file=str(tmp_path / "pip.conf"))
        target = docker_target(
            python_image,
            "",
            pip=pip,
            build_arguments={"TOKEN": "${env:BUILD_TOKEN}"},
            ca_certificates=str(tmp_path / "ca.pem"),
        )
        prepared = ImageEnvironment(docker_daemon, target, project).prepare(host, request(pip_file("blot")), told)
    assert prepared.image is not None
    assert len(seen) == 2
    with docker_daemon._asked() as api:
        seen += [json.dumps(api.history(prepared.image)), json.dumps(api.inspect_image(prepared.image))]
        saved = b"".join(api.get_image(prepared.image))
    seen += [told.text, repr(prepared), "".join(str(path) for path in host.walk(host.root))]
    for secret in (password, token):
        assert not any(form.decode() in text for text in seen for form in forms(secret))
        assert secret.encode() not in saved
        assert base64.b64encode(secret.encode()).rstrip(b"=") not in saved
        grep = ["grep", "-r", "-l", secret, "/cache"]
        assert _in_cache(docker_daemon, python_image, grep) == ""
    assert b"a certificate\n" in saved
    assert prepared.variables["PIP_CERT"] == prepared.variables["SSL_CERT_FILE"] == f"{TOP}/ca-certificates.pem"


def _in_cache(daemon: DockerDaemon, image: str, command: list[str]) -> str:
    name = f"amltool-test-{uuid.uuid4().hex}"
    volumes = (f"{CACHE_VOLUME}:/cache:ro",)
    container = daemon.create(ContainerSpec(image=image, command=command, name=name, labels={}, volumes=volumes))
    try:
        daemon.start(container)
        return b"".join(daemon.output(container)).decode()
    finally:
        daemon.remove(container)


@pytest.fixture
def channel(tmp_path: Path, docker_daemon: DockerDaemon, python_image: str) -> Path:
    """A conda channel for the Python of the base image."""
    _, version = run_in(
        docker_daemon, python_image, "python3", "-c", "import platform; print(platform.python_version())"
    )
    _, python = run_in(
        docker_daemon, python_image, "python3", "-c", "import os, sys; print(os.path.realpath(sys.executable))"
    )
    make_channel(tmp_path / "channel", python=python.strip(), version=version.strip())
    for content in (tmp_path / "channel").glob("*/repodata.json"):  # where the conda of 2017 looks
        content.with_name("repodata.json.bz2").write_bytes(bz2.compress(content.read_bytes()))
    return tmp_path / "channel"


CONDA = "channels:\n- file:///channel\ndependencies:\n- python\n- greeting\n"
PHRASES = "channels:\n- file:///channel\ndependencies:\n- python\n- phrases=1.0\n"


@pytest.fixture
def with_channel(channel: Path, ca_certificates: Path | None) -> ComputeTarget:
    """A compute target whose containers see the channel; its base image is still to be named."""
    return ComputeTarget(
        name="docker",
        type=ComputeType.LOCAL_DOCKER,
        network="host",
        volumes=(f"{channel}:/channel:ro",),
        ca_certificates=str(ca_certificates) if ca_certificates else None,
    )


def test_conda_packages_are_installed_where_the_base_has_no_conda(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, with_channel: ComputeTarget,
    package_index: None,
) -> None:  # fmt: skip
    target = msgspec.structs.replace(with_channel, base_docker_image=python_image)
    environment = ImageEnvironment(docker_daemon, target, project)
    prepared = environment.prepare(host, request(CONDA), Told())
    assert prepared.image is not None
    code = "import greeting; print(greeting.greet())"
    assert run_in(docker_daemon, prepared.image, *prepared.python, "-c", code) == (0, "good day\n")
    assert prepared.variables["CONDA_PREFIX"] == ENVIRONMENT
    assert {"greeting-2.0-0", "phrases-1.1-0"} <= set(read_lock(prepared.lock).conda)
    assert rebuilt(environment, host, CONDA, prepared).lock == prepared.lock


def test_conda_packages_are_installed_by_the_conda_of_the_base(
    docker_daemon: DockerDaemon, host: LocalHost, conda_image: str, project: str, with_channel: ComputeTarget
) -> None:
    target = msgspec.structs.replace(with_channel, base_docker_image=conda_image)
    environment, told = ImageEnvironment(docker_daemon, target, project), Told()
    prepared = environment.prepare(host, request(PHRASES), told)
    assert prepared.image is not None
    code = "import sys; print(open(sys.prefix + '/share/phrases.txt').read().strip())"
    assert run_in(docker_daemon, prepared.image, *prepared.python, "-c", code) == (0, "hello\n")
    assert "phrases-1.0-0" in read_lock(prepared.lock).conda
    assert not any("py-rattler" in message for message in told.said)
    assert rebuilt(environment, host, PHRASES, prepared).lock == prepared.lock


def rebuilt(environment: ImageEnvironment, host: LocalHost, content: str, prepared: Prepared) -> Prepared:
    """The environment built again from its lock, when its image is gone."""
    for kept in environment.kept(host):
        if kept.key == prepared.key:
            environment.remove(host, kept)
    again = request(content, lock=prepared.lock)
    assert environment.find(host, again) is None
    return environment.prepare(host, again, Told())


def test_conda_packages_are_named_where_nothing_can_install_them(
    docker_daemon: DockerDaemon, host: LocalHost, python_image: str, project: str, index: PackageIndex
) -> None:
    environment = ImageEnvironment(docker_daemon, docker_target(python_image, index.url), project)
    with pytest.raises(UserError, match=r"Only conda can install greeting.*py-rattler") as raised:
        environment.prepare(host, request(CONDA), Told())
    assert "baseDockerImage" in raised.value.remedy
