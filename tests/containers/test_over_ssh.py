"""A daemon's connections through the streams of a command: as a socket, with everything a client does to one."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import tracemalloc
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest

from amltool.containers.daemon import ContainerSpec, DockerDaemon
from amltool.containers.over_ssh import LONGEST_ANSWER, Tunnel, connect_there
from amltool.containers.refusals import no_daemon_there
from amltool.errors import TargetError
from amltool.hosts.ssh import SshHost
from tests.components.ssh_machine import SshMachine


class Command:
    """A command of this machine as a stream."""

    def __init__(self, *words: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._stdin, self._stdout, self._stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def read(self, size: int = -1, /) -> bytes:
        return self._stdout.read(size) or b""

    def write(self, content: bytes, /) -> object:
        view = memoryview(content)
        while view:
            view = view[self._stdin.write(view) or 0 :]
        return len(content)

    def close_writing(self) -> None:
        self._stdin.close()

    def stderr(self) -> bytes:
        return self._stderr.read() or b""

    def wait(self, timeout_s: float | None = None, /) -> int:
        return self.process.wait(timeout_s)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def complaints() -> list[bytes]:
    return []


def everything(near: socket.socket) -> bytes:
    near.settimeout(10)
    return b"".join(iter(lambda: near.recv(1 << 16), b""))


def test_a_client_that_has_no_more_to_say_still_hears_the_rest(complaints: list[bytes]) -> None:
    tunnel = Tunnel(Command("sh", "-c", 'content=$(cat); sleep 0.3; printf %s "$content"'), complaints.append)
    tunnel.near.sendall(b"x" * 100_000)
    tunnel.near.shutdown(socket.SHUT_WR)
    assert everything(tunnel.near) == b"x" * 100_000


def test_a_client_that_closes_ends_the_command(complaints: list[bytes]) -> None:
    command = Command("sh", "-c", "cat >/dev/null")
    Tunnel(command, complaints.append).near.close()
    assert command.process.wait(120) is not None


def test_the_end_of_the_command_is_the_end_of_the_socket_and_its_complaint_is_known(complaints: list[bytes]) -> None:
    tunnel = Tunnel(Command("sh", "-c", "echo permission denied >&2"), complaints.append)
    assert everything(tunnel.near) == b""
    assert complaints == [b"permission denied\n"]


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        ("no docker command", "There is no docker command on vm.", "Install Docker there"),
        ("docker: 'dial-stdio' is not a docker command.", "is too old to be asked over SSH", "18.09"),
        ("dial unix /var/run/docker.sock: connect: permission denied", "does not let this user in", "usermod"),
        ("dial unix /var/run/docker.sock: connect: no such file or directory", "does not answer on vm", "Start it"),
    ],
)
def test_what_stands_in_the_way_is_a_sentence_with_a_remedy(said: str, what: str, remedy: str) -> None:
    error = no_daemon_there("vm", said)
    assert what in error.what
    assert remedy in error.remedy


@pytest.fixture
def daemon(ssh_docker: SshMachine, ssh_host: SshHost) -> DockerDaemon:
    return DockerDaemon(ssh_host)


def test_a_daemon_over_there_is_asked_by_several_at_once(daemon: DockerDaemon) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(lambda _: daemon.version(), range(24)))) == 1


def test_input_output_and_archives_go_both_ways(daemon: DockerDaemon, python_image: str) -> None:
    script = "import sys; content = sys.stdin.read(); open('/kept', 'w').write(content); print(len(content))"
    spec = ContainerSpec(image=python_image, command=["python3", "-c", script], name="both-ways", labels={})
    container = daemon.create(spec)
    try:
        stream = daemon.attach(container)
        daemon.start(container)
        stream.feed(b"y" * 300_000)
        stream.close()
        assert b"".join(daemon.output(container)) == b"300000\n"
        assert daemon.wait(container, 10) == 0
        archive = b"".join(daemon.get(container, "/kept") or [])
        assert archive.count(b"y" * 300_000) == 1
    finally:
        daemon.remove(container)


def test_a_connection_that_was_cut_is_made_anew(daemon: DockerDaemon, ssh_machine: SshMachine) -> None:
    version = daemon.version()
    ssh_machine.restart_sshd()
    time.sleep(0.2)
    assert daemon.version() == version


def test_a_wait_ends_with_its_time(daemon: DockerDaemon, python_image: str) -> None:
    spec = ContainerSpec(image=python_image, command=["sleep", "60"], name="waited-for", labels={})
    container = daemon.create(spec)
    try:
        daemon.start(container)
        assert daemon.wait(container, 0.5) is None
    finally:
        daemon.remove(container)


ENDLESS = """
while read -r line && [ "$line" != "$(printf '\\r')" ]; do :; done
printf 'HTTP/1.1 %s\\r\\nContent-Type: application/json\\r\\n\\r\\n' "$0"; exec cat /dev/zero
"""


class EndlessHost:
    """Its Docker begins every answer, and never ends it."""

    name, root = "there", PurePosixPath("/home/ada/.amltool")

    def __init__(self, status: str) -> None:
        self._status = status
        self.commands: list[Command] = []

    def facts(self) -> SimpleNamespace:
        return SimpleNamespace(docker="/usr/bin/docker", home="/home/ada")

    def open_stream(self, _: object) -> Command:
        self.commands.append(Command("sh", "-c", ENDLESS, self._status))
        return self.commands[-1]


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
def test_a_docker_that_answers_without_end_does_not_fill_our_memory(status: str) -> None:
    host = EndlessHost(status)

    tracemalloc.start()
    with pytest.raises(TargetError, match="answers without end"):
        connect_there(host, 30)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2 * LONGEST_ANSWER
    assert [command.process.wait(120) for command in host.commands] == [-9]
