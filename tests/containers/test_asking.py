"""A daemon is asked in JSON, over its socket or by the package; the answers and the refusals are the same."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from amltool.containers.asking import Asking, ClientAsking, Question, RefusedError, SocketAsking
from amltool.containers.daemon import ContainerSpec, DockerDaemon, Mount
from amltool.containers.values import creation
from amltool.errors import TargetError
from amltool.hosts.local import LocalHost

WHOLE = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(params=["socket", "package"])
def asking(request: pytest.FixtureRequest, docker_daemon: DockerDaemon) -> Asking:
    if request.param == "package":
        return ClientAsking(docker_daemon._api)
    if docker_daemon._socket is None:
        pytest.skip("Docker is not asked over a socket here")
    return SocketAsking(docker_daemon._socket)


def test_an_answer_is_a_value(asking: Asking) -> None:
    assert asking.ask(Question("GET", "/networks", {"filters": '{"name":["bridge"]}'}))[0]["Name"] == "bridge"


def test_a_refusal_is_the_daemons_sentence(asking: Asking) -> None:
    with pytest.raises(RefusedError) as caught:
        asking.ask(Question("GET", "/containers/amltool-no-such/json"))
    assert caught.value.status == 404
    assert "no such container" in caught.value.said.lower()


def test_the_input_of_no_container_is_refused(asking: Asking) -> None:
    with pytest.raises(RefusedError, match=r"(?i)no such container"):
        asking.take_input("amltool-no-such")


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[bytes], SocketAsking]]:
    """A daemon that answers everything with the same bytes, then closes."""
    listeners: list[socket.socket] = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

    def make(answer: bytes) -> SocketAsking:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "d.sock"))
        listener.listen()
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        return SocketAsking(str(tmp_path / "d.sock"))

    yield make
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_an_answer_without_content_is_none(answering: Callable[[bytes], SocketAsking]) -> None:
    assert answering(b"HTTP/1.0 204 No Content\r\n\r\n").ask(Question("POST", "/x")) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 200 OK\r\nConte",
        WHOLE + b'Content-Length: 20\r\n\r\n{"Id": "ab',
        WHOLE + b'\r\n{"Id": "ab',
        WHOLE + b"\r\n<html>a proxy</html>",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_half_an_answer_is_none_at_all(answering: Callable[[bytes], SocketAsking], answer: bytes) -> None:
    with pytest.raises(OSError, match=r"closed|Docker's"):
        answering(answer).ask(Question("GET", "/x"))


def test_a_refusal_that_is_no_json_is_shown_as_it_is(answering: Callable[[bytes], SocketAsking]) -> None:
    with pytest.raises(RefusedError, match="forbidden by a proxy"):
        answering(b"HTTP/1.1 403 Forbidden\r\n\r\nforbidden by a proxy\n").ask(Question("GET", "/x"))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_socket_that_nobody_listens_at_is_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    if is_there:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(tmp_path / "d.sock"))
        left.close()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/d.sock")
    daemon = DockerDaemon(LocalHost(tmp_path))
    with pytest.raises(TargetError, match="Docker does not answer") as caught:
        daemon.connect()
    assert "start" in caught.value.remedy


def test_a_container_is_asked_for_as_the_package_would(docker_daemon: DockerDaemon) -> None:
    spec = ContainerSpec(
        image="i", command=["python3", "-V"], name="n", labels={"a": "b"}, user="1:2", folder="/",
        mounts=[Mount("/here", "/there", read_only=True), Mount("/x", "/y")], volumes=["data:/data:ro"],
        temporary=["/tmp"], shm_size=1 << 20, memory=1 << 28, cpus=1.5, network="none", gpu="device=0,1",
        user_namespace="host", security=["label=disable"],
    )  # fmt: skip
    api = docker_daemon._api
    host = api.create_host_config(
        mounts=[{"Type": "bind", "Source": m.source, "Target": m.target, "ReadOnly": m.read_only} for m in spec.mounts],
        binds=["data:/data:ro"], tmpfs={"/tmp": "mode=1777,exec"}, shm_size=1 << 20, mem_limit=1 << 28,
        memswap_limit=1 << 28, nano_cpus=1_500_000_000, network_mode="none", userns_mode="host",
        device_requests=[{"Capabilities": [["gpu"]], "DeviceIDs": ["0", "1"]}], security_opt=["label=disable"],
    )  # fmt: skip
    asked = api.create_container_config(
        "i", ["-V"], entrypoint=["python3"], labels={"a": "b"}, user="1:2", working_dir="/", host_config=host,
        stdin_open=True, stop_signal="SIGPWR",
    )  # fmt: skip
    said_by_package = {name: value for name, value in asked.items() if value not in (None, False)}
    [gpu] = said_by_package["HostConfig"]["DeviceRequests"]
    said_by_package["HostConfig"]["DeviceRequests"] = [{name: value for name, value in gpu.items() if value}]
    ours = msgspec.to_builtins(creation(spec))
    assert ours.pop("HostConfig") == said_by_package.pop("HostConfig")
    assert ours == said_by_package


def test_a_container_with_nothing_special_has_no_limits() -> None:
    asked = creation(ContainerSpec(image="i", command=["true"], name="n", labels={}))
    assert asked["HostConfig"] == {"NetworkMode": "default"}
    assert "Env" not in asked
