"""The Docker of the tests does what the tests that use it take for granted."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.containers.daemon import STOP_SIGNAL, DockerDaemon
from amltool.containers.values import ContainerSpec
from tests.components import mounts, places
from tests.components import private_docker as private
from tests.components.private_docker import PrivateDocker
from tests.components.users import Unprivileged

LABEL = "amltool-tests.component"


@pytest.fixture
def labels(docker_daemon: DockerDaemon) -> Iterator[dict[str, str]]:
    value = uuid.uuid4().hex
    yield {LABEL: value}
    for container in docker_daemon.containers(f"{LABEL}={value}"):
        docker_daemon.remove(container.id)


def spec(image: str, labels: dict[str, str], *command: str) -> ContainerSpec:
    return ContainerSpec(image=image, command=command, name=f"amltool-tests-{uuid.uuid4().hex}", labels=labels)


def started(daemon: DockerDaemon, image: str, labels: dict[str, str], *command: str) -> str:
    container = daemon.create(spec(image, labels, *command))
    daemon.start(container)
    return container


def printed(daemon: DockerDaemon, image: str, labels: dict[str, str], *command: str) -> str:
    container = started(daemon, image, labels, *command)
    assert daemon.wait(container, 60) == 0, b"".join(daemon.output(container))
    return b"".join(daemon.output(container)).decode()


def test_a_container_runs_and_prints(docker_daemon: DockerDaemon, python_image: str, labels: dict[str, str]) -> None:
    assert printed(docker_daemon, python_image, labels, "python3", "-c", "print(6 * 7)") == "42\n"


def test_the_python_image_makes_virtual_environments(
    docker_daemon: DockerDaemon, python_image: str, labels: dict[str, str]
) -> None:
    make = "python3 -m venv /tmp/environment && /tmp/environment/bin/python -m pip --version"
    assert printed(docker_daemon, python_image, labels, "sh", "-c", make).startswith("pip ")


def test_the_spark_image_has_java(docker_daemon: DockerDaemon, spark_image: str, labels: dict[str, str]) -> None:
    assert "openjdk" in printed(docker_daemon, spark_image, labels, "java", "-version")


def test_the_conda_image_has_a_conda_that_solves_and_installs(
    docker_daemon: DockerDaemon, conda_image: str, labels: dict[str, str]
) -> None:
    script = """
import bz2, hashlib, io, json, os, subprocess, tarfile
index = {"name": "greeting", "version": "1.0", "build": "0", "build_number": 0, "depends": [], "subdir": "noarch"}
content = io.BytesIO()
with tarfile.open(fileobj=content, mode="w:bz2") as tar:
    files = {"info/index.json": json.dumps(index), "info/files": "share/greeting\\n", "share/greeting": "hello"}
    for path, text in files.items():
        member = tarfile.TarInfo(path)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
package = content.getvalue()
packages = {"greeting-1.0-0.tar.bz2": {**index, "md5": hashlib.md5(package).hexdigest(), "size": len(package)}}
for folder, found in (("noarch", packages), ("linux-64", {})):
    os.makedirs("/channel/" + folder)
    repodata = json.dumps({"info": {"subdir": folder}, "packages": found}).encode()
    open("/channel/%s/repodata.json.bz2" % folder, "wb").write(bz2.compress(repodata))
open("/channel/noarch/greeting-1.0-0.tar.bz2", "wb").write(package)
ask = ["conda", "create", "-q", "-y", "-p", "/made", "--override-channels", "-c", "file:///channel", "greeting"]
subprocess.run(ask, check=True, stdout=subprocess.DEVNULL)
print(open("/made/share/greeting").read())
"""
    assert printed(docker_daemon, conda_image, labels, "python3", "-c", script) == "hello\n"


def test_the_package_index_is_reached_from_a_container(
    docker_daemon: DockerDaemon,
    python_image: str,
    labels: dict[str, str],
    ca_certificates: Path | None,
    package_index: None,
) -> None:
    container = docker_daemon.create(
        spec(python_image, labels, "sh", "-c", "python3 -m venv /tmp/e && PIP_CERT=/tmp/certificates.crt "
             "/tmp/e/bin/python -m pip download --quiet --no-deps --dest /tmp iniconfig && ls /tmp")
    )  # fmt: skip
    copied = ca_certificates or Path("/etc/ssl/certs/ca-certificates.crt")
    docker_daemon.put(container, "/tmp", _archived(copied, "certificates.crt"))
    docker_daemon.start(container)
    assert docker_daemon.wait(container, 120) == 0, b"".join(docker_daemon.output(container))
    assert b"iniconfig-" in b"".join(docker_daemon.output(container))


def _archived(file: Path, name: str) -> bytes:
    import io
    import tarfile

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(file.resolve(), name)
    return archive.getvalue()


def test_tests_do_not_see_the_docker_configuration_of_the_developer(docker_daemon: DockerDaemon) -> None:
    asked = "import json; from amltool.containers.address import configuration; print(json.dumps(configuration()))"
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert json.loads(answer) == {}


class TestADaemonOfOnesOwn:
    def test_it_is_not_the_one_of_the_machine(
        self, private_docker: PrivateDocker, docker_daemon: DockerDaemon, labels: dict[str, str]
    ) -> None:
        container = started(private_docker.daemon(), private_docker.image, labels, "sleep", "60")
        assert private_docker.daemon().state(container) is not None
        assert docker_daemon.state(container) is None

    def test_a_start_changes_its_mark_and_a_look_does_not(self, private_docker: PrivateDocker) -> None:
        before = private_docker.daemon().start_mark()
        assert before
        assert private_docker.daemon().start_mark() == before
        private_docker.stop()
        private_docker.start()
        assert private_docker.daemon().start_mark() != before

    def test_what_runs_survives_a_kill(self, private_docker: PrivateDocker) -> None:
        container, process_id = waiting(private_docker)
        private_docker.kill()
        assert private_docker.pid is None
        assert mounts.is_alive(process_id)
        os.kill(process_id, signal.SIGKILL)  # else the next start takes the 10 s that a stop gives a container
        private_docker.start()
        state = private_docker.daemon().state(container)
        assert state is not None
        assert not state.is_running

    def test_what_runs_is_told_to_end_by_a_stop(self, private_docker: PrivateDocker) -> None:
        container, process_id = waiting(private_docker)
        private_docker.stop()
        assert not mounts.is_alive(process_id)
        private_docker.start()
        state = private_docker.daemon().state(container)
        assert state is not None
        assert state.exit_code == 7

    def test_it_leaves_no_process_mount_interface_or_file(
        self, private_docker: PrivateDocker, python_image: str
    ) -> None:
        made = PrivateDocker()
        try:
            made.start()
            made.kill()
        finally:
            made.close()
        assert_nothing_is_left(made)

    def test_one_whose_test_run_was_killed_is_cleared(self, private_docker: PrivateDocker) -> None:
        made = PrivateDocker()
        made.start()
        (made.folder / "owner").write_text(str(ended_process()))
        private.clear_abandoned()
        made.kill()
        assert_nothing_is_left(made)


def waiting(private_docker: PrivateDocker) -> tuple[str, int]:
    """A container that waits, and exits with 7 when it is told to stop: its id, and its process on this machine."""
    mark = uuid.uuid4().hex
    ends_with_7 = f"signal.signal(signal.{STOP_SIGNAL}, lambda *_: sys.exit(7))"
    waits = f"import signal, sys, time; {ends_with_7}; print('{mark}'); time.sleep(99)"
    container = started(private_docker.daemon(), private_docker.image, {}, "python3", "-u", "-c", waits)
    assert next(private_docker.daemon().output(container)).decode().strip() == mark
    lines = Path("/proc").glob("[0-9]*/cmdline")
    [process_id] = [int(line.parent.name) for line in lines if line.read_bytes().split(b"\0")[3:4] == [waits.encode()]]
    return container, process_id


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def assert_nothing_is_left(made: PrivateDocker) -> None:
    assert not made.folder.exists()
    assert str(made.folder) not in Path("/proc/self/mountinfo").read_text()
    assert not mounts.processes_of(made.folder)
    assert not (Path("/sys/class/net") / private._bridge_of(made.folder)).exists()


class TestAnotherUser:
    def test_owns_what_they_write(self, unprivileged: Unprivileged) -> None:
        wrote = unprivileged.run(
            [sys.executable, "-c", "open('mine', 'w'); import os; print(os.getuid(), os.getgid())"]
        )
        assert wrote.stdout == f"{unprivileged.uid} {unprivileged.gid}\n", wrote.stderr
        assert (unprivileged.home / "mine").stat().st_uid == unprivileged.uid

    def test_cannot_write_what_is_not_theirs(self, unprivileged: Unprivileged, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        wrote = unprivileged.run([sys.executable, "-c", f"open({str(tmp_path / 'not mine')!r}, 'w')"])
        assert "PermissionError" in wrote.stderr
        assert not (tmp_path / "not mine").exists()

    def test_may_ask_docker(self, unprivileged: Unprivileged, docker_daemon: DockerDaemon) -> None:
        asks = (
            "from amltool.containers.daemon import DockerDaemon; from amltool.hosts.local import LocalHost; "
            "print(DockerDaemon(LocalHost()).version())"
        )
        asked = unprivileged.run([sys.executable, "-c", asks])
        assert asked.stdout.strip() == docker_daemon.version(), asked.stderr


NOWHERE = "unix:///nowhere/docker.sock"


def pytest_says(**variables: str) -> str:
    """What pytest says about a test that needs Docker, in a process of its own."""
    wanted = f"{__file__}::test_a_container_runs_and_prints"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment.pop("AMLTOOL_REQUIRE", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", wanted]
    repository = Path(__file__).parents[2]
    return subprocess.run(
        command, cwd=repository, env={**environment, **variables}, capture_output=True, text=True, timeout=300
    ).stdout


def test_without_docker_a_test_is_skipped_aloud() -> None:
    said = pytest_says(DOCKER_HOST=NOWHERE)
    assert "1 skipped" in said
    assert f"no Docker daemon answers at {NOWHERE}" in said


def test_a_docker_that_is_required_and_missing_fails_the_test() -> None:
    said = pytest_says(DOCKER_HOST=NOWHERE, AMLTOOL_REQUIRE="ssh,docker")
    assert "1 error" in said
    assert f"no daemon answers at {NOWHERE}" in said


def test_the_docker_of_the_context_that_the_developer_chose_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"desktop").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": NOWHERE}}}))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "desktop"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert places._docker_host() == NOWHERE


def test_the_folder_of_the_components_is_closed_to_others() -> None:
    assert places.state().stat().st_mode & 0o077 == 0
    assert places.state().stat().st_uid == os.getuid()
