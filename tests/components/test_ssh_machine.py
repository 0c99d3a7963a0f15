"""The remote machine of the tests is one: it has what a machine has, and nothing of this one."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from amltool.hosts.ssh import SshHost
from tests.components.ssh_machine import SshMachine


def test_its_files_are_not_those_of_this_machine(ssh_host: SshHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not ssh_host.exists(PurePosixPath(tmp_path))


def test_its_user_is_not_root_and_may_use_docker(ssh_host: SshHost) -> None:
    assert ssh_host.facts().uid == 1000
    assert b"docker" in ssh_host.run(["id", "-nG"]).stdout.split()


def test_its_docker_is_its_own(ssh_docker: SshMachine, ssh_host: SshHost, python_image: str) -> None:
    words = ["docker", "run", "--rm", "-v", f"{ssh_docker.home}:/there", python_image, "ls", "-A", "/there"]
    ran = ssh_host.run(words)
    assert (ran.exit_code, ran.stderr) == (0, b"")
    assert b".ssh" in ran.stdout.split()


def test_a_docker_that_was_killed_leaves_its_containers_running(
    ssh_docker: SshMachine, ssh_host: SshHost, python_image: str
) -> None:
    ran = ssh_host.run(["docker", "run", "-d", "--rm", python_image, "sleep", "4711"])
    assert (ran.exit_code, ran.stderr) == (0, b"")
    ssh_docker.kill_docker()
    assert ssh_host.run(["docker", "version"]).exit_code
    assert ssh_host.run(["pgrep", "-f", "sleep 4711"]).exit_code == 0


def test_its_docker_is_reached_through_a_stream(ssh_docker: SshMachine, ssh_host: SshHost) -> None:
    with ssh_host.open_stream(["docker", "system", "dial-stdio"]) as stream:
        stream.write(b"GET /version HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
        head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["Os"] == "linux"
