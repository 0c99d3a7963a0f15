"""A real remote machine for tests: a container with its own files, sshd, user without root, address, and dockerd.

The word in AMLTOOL_REQUIRE is ``ssh``. What is named ``/work`` or ``~`` here is not there: a path of this machine that
is used on the other by mistake fails the test.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import secrets
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_host_keys import fingerprint
from tests.components import docker, docker_images, docker_service, mounts
from tests.components.required import is_required, missing
from tests.components.ssh_recipes import FIRST_PROCESS, HOME, LARGE_FOLDER, MACHINE, SSHD, USER

if TYPE_CHECKING:
    from amltool.containers.daemon import DockerDaemon

OWNER = "amltool.tests.owner"
START_S = 120
CAPABILITIES = (
    "SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "MKNOD", "NET_RAW", "SETFCAP", "DAC_READ_SEARCH",
    "SYS_NICE", "SYSLOG",
)  # fmt: skip
"""What a dockerd in a container needs; not ``privileged``, which would show it the devices of this machine."""
UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined")


class SshMachine:
    """A machine that answers on port 22 of ``address``; ``user`` may log in with ``key_file`` or ``password``."""

    user = USER
    port = 22
    home = HOME

    def __init__(self, folder: Path, disk: Path | None = None) -> None:
        """``disk`` is a folder of this machine that is to be the user's home there."""
        self._disk = disk
        self.key_file, public = _key_pair(folder)
        self.password = secrets.token_urlsafe(12)
        self._api = docker_service.client()
        self._container = self._create()
        self._api.start(self._container)
        self._put("/etc/ssh", {"sshd_config": SSHD.encode()})
        self._put(f"{HOME}/.ssh", {"authorized_keys": public}, owner=1000)
        self.execute(["chpasswd"], reads=f"{USER}:{self.password}\n")
        self.execute(["touch", "/etc/ssh/ready"])
        self._wait_for_sshd()

    @property
    def address(self) -> str:
        """Its address on the bridge network; another one may follow a `reboot`."""
        return str(self._api.inspect_container(self._container)["NetworkSettings"]["IPAddress"])

    @property
    def host_key(self) -> str:
        """Type and key, as known_hosts has them."""
        for _ in range(5):  # what is executed in a container of a busy daemon is sometimes not heard
            words = self.execute(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])[1].split()
            if len(words) > 1:
                break
        return " ".join(words[:2])

    @property
    def fingerprint(self) -> str:
        """Of that key, as `attach` shows it."""
        return fingerprint(base64.b64decode(self.host_key.split()[1]))

    @property
    def known_hosts_line(self) -> str:
        return f"{self.address} {self.host_key}\n"

    def settings(self, folder: Path) -> SshSettings:
        """How to reach it: with its key, and its host key in a file of ``folder``."""
        known = folder / f"known_hosts-{self.address}"
        known.write_text(self.known_hosts_line)
        return SshSettings(self.address, username=USER, key_file=self.key_file, known_hosts=(known,))

    def known_to(self, home: Path) -> None:
        """Let a user's ``~/.ssh/known_hosts`` have its host key."""
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        with (home / ".ssh/known_hosts").open("a") as stream:
            stream.write(self.known_hosts_line)

    def known_behind(self, other: SshMachine, home: Path) -> None:
        """Let a user reach it over another machine; both host keys are known."""
        self.known_to(home)
        other.known_to(home)
        (home / ".ssh/config").write_text(
            f"Host {self.address}\n  ProxyJump {other.user}@{other.address}\n"
            f"Host {other.address}\n  IdentityFile {other.key_file}\n"
        )

    def execute(self, command: Sequence[str], *, reads: str = "", user: str = "root") -> tuple[int, str]:
        """Run a command there behind sshd's back: exit code and all it said."""
        words = ["sh", "-c", 'printf %s "$0" | "$@"', reads, *command] if reads else list(command)
        execution = self._api.exec_create(self._container, words, user=user)["Id"]
        said = self._api.exec_start(execution).decode(errors="replace")
        return int(self._api.exec_inspect(execution)["ExitCode"]), said

    def cut(self) -> None:
        """No packet of SSH goes in or out any more, and nobody is told."""
        for chain, side in (("INPUT", "--dport"), ("OUTPUT", "--sport")):
            self._must("iptables", "-I", chain, "-p", "tcp", side, "22", "-j", "DROP")

    def mend(self) -> None:
        """The network is as it was: not cut, not slow, open to all."""
        self._must("iptables", "-F", "INPUT")
        self._must("iptables", "-F", "OUTPUT")
        self.execute(["tc", "qdisc", "del", "dev", "eth0", "root"])

    def slow(self, mbit: float) -> None:
        """What it sends goes out at a rate, in 10^6 bits a second (the kernel here need not be able to delay)."""
        kbit = f"{round(mbit * 1000)}kbit"
        self._must(
            "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", kbit, "burst", "16kb", "latency", "400ms"
        )

    def only_from(self, address: str) -> None:
        """Only one other machine reaches its sshd, as behind a firewall."""
        self._must("iptables", "-I", "INPUT", "-p", "tcp", "--dport", "22", "!", "-s", address, "-j", "REJECT")

    def restart_sshd(self, *, whole: bool = True) -> None:
        """End sshd, with all its connections or without them, and start it again."""
        if whole:
            self.stop_sshd()
        else:
            self._must("sh", "-c", "kill -KILL $(cat /run/sshd.pid); rm /run/sshd.pid")
        self._start_listening()

    def stop_sshd(self) -> None:
        """End sshd with all its connections."""
        self._end("sshd", "KILL")

    def start_sshd(self) -> None:
        """Have an sshd that listens."""
        if self.execute(["sh", "-c", "kill -0 $(cat /run/sshd.pid)"])[0]:
            self._start_listening()
        self._wait_for_sshd()

    def wait_for_silence(self) -> None:
        """Return when sshd serves no connection: each writes its last line to the log only when it ends."""
        until = time.monotonic() + START_S
        while len(self.execute(["pgrep", "-x", "sshd|sshd-session"])[1].split()) != 1:
            if time.monotonic() > until:
                pytest.fail("sshd still serves a connection on the remote machine", pytrace=False)
            time.sleep(0.05)

    def reboot(self) -> None:
        """All its processes end, and it comes up again with another boot id."""
        self._api.restart(self._container, timeout=1)
        self._wait_for_sshd()

    def start_docker(self, *options: str) -> None:
        """Have its own dockerd running; its containers have a network of their own."""
        if not self.execute(["docker", "version"])[0]:
            return
        words = " ".join((_DOCKERD, *options))
        self._must("sh", "-c", f"rm -f /run/docker.pid; setsid dockerd {words} > /var/log/dockerd.log 2>&1 &")
        until = time.monotonic() + START_S
        while self.execute(["docker", "version"])[0]:
            if time.monotonic() > until:
                log = self.execute(["tail", "-n", "20", "/var/log/dockerd.log"])[1]
                pytest.fail(f"dockerd does not start on the remote machine:\n{log}", pytrace=False)
            time.sleep(0.1)

    def stop_docker(self) -> None:
        """As a machine does that shuts down: dockerd stops its containers first."""
        self._end("dockerd", "TERM")

    def kill_docker(self) -> None:
        """Kill dockerd; its containers go on."""
        self._end("dockerd", "KILL")

    def bring_image(self, file: Path, name: str) -> None:
        """Make an image of its dockerd from a tar file of a root folder."""
        with file.open("rb") as stream:
            self._api.put_archive(self._container, LARGE_FOLDER, _archive_of(stream, "amltool-image.tar"))
        self._must("docker", "import", f"{LARGE_FOLDER}/amltool-image.tar", name)
        self._must("rm", f"{LARGE_FOLDER}/amltool-image.tar")

    def clear(self) -> None:
        """Nothing of an earlier test's is there: what a test left that failed is no fault of the next."""
        self.execute(["pkill", "-KILL", "-u", USER])
        self.execute(["sh", "-c", "docker ps -aq 2>/dev/null | xargs -r docker rm -f"])
        self.execute(["sh", "-c", f"rm -rf {HOME}/.amltool {HOME}/.azureml {HOME}/.cache"])

    def close(self) -> None:
        self.execute(["sh", "-c", "docker ps -aq | xargs -r docker rm -f"])  # else their control groups stay
        self._api.remove_container(self._container, force=True, v=True)

    def _create(self) -> str:
        configuration = self._api.create_host_config(
            cap_add=list(CAPABILITIES),
            security_opt=list(UNCONFINED),
            binds=["/sys/fs/cgroup:/sys/fs/cgroup:rw", *([f"{self._disk}:{HOME}"] if self._disk else [])],
        )
        configuration.update(MaskedPaths=[], ReadonlyPaths=[])  # what the command line calls systempaths=unconfined
        created = self._api.create_container(
            MACHINE.image,
            ["python3", "-c", FIRST_PROCESS],
            labels={OWNER: str(os.getpid())},
            volumes=[LARGE_FOLDER],
            host_config=configuration,
        )
        return str(created["Id"])

    def _put(self, folder: str, files: Mapping[str, bytes], owner: int = 0) -> None:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.uid, member.gid = len(content), 0o600, owner, owner
                tar.addfile(member, io.BytesIO(content))
        self._api.put_archive(self._container, folder, archive.getvalue())

    def _must(self, *command: str) -> None:
        code, said = self.execute(command)
        if code:
            pytest.fail(f"{' '.join(command)} on the remote machine ends with {code}: {said}", pytrace=False)

    def _end(self, program: str, signal: str) -> None:
        """Send a signal, and wait until it is over: a process that was killed may have its port for a while."""
        self.execute(["pkill", f"-{signal}", "-x", program])
        until = time.monotonic() + START_S
        while not self.execute(["pgrep", "-x", program])[0] and time.monotonic() < until:
            time.sleep(0.05)

    def _start_listening(self) -> None:
        until = time.monotonic() + START_S  # one that was just killed may still have the port
        while self.execute(["/usr/sbin/sshd", "-E", "/var/log/sshd.log"])[0] and time.monotonic() < until:
            time.sleep(0.05)
        self._wait_for_sshd()

    def _wait_for_sshd(self) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection((self.address, 22), timeout=1) as answering:
                if answering.recv(4) == b"SSH-":
                    return
            time.sleep(0.02)
        log = self.execute(["tail", "-n", "20", "/var/log/sshd.log"])[1]
        pytest.fail(f"sshd does not answer on the remote machine:\n{log}", pytrace=False)


_DOCKERD = "--host=unix:///var/run/docker.sock --group=docker --bip=172.31.213.1/24 --userland-proxy=false"


@pytest.fixture(scope="session")
def ssh_image(docker_daemon: DockerDaemon) -> str:
    """The name of the image that remote machines start from."""
    if docker_daemon.image(MACHINE.image) is None:
        if not is_required("ssh"):
            missing("ssh", f"the image {MACHINE.image} is not here")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AMLTOOL_REQUIRE", "docker")
            docker_images.image(docker_daemon, MACHINE)
    return MACHINE.image


@pytest.fixture(scope="session")
def _ssh_machine(ssh_image: str) -> Iterator[SshMachine]:
    yield from new_machine()


@pytest.fixture(scope="session")
def _ssh_jump(ssh_image: str) -> Iterator[SshMachine]:
    yield from new_machine()


@pytest.fixture
def ssh_machine(_ssh_machine: SshMachine) -> Iterator[SshMachine]:
    """A remote machine, whole; one for all tests of a worker."""
    yield from _whole(_ssh_machine)


@pytest.fixture
def ssh_docker(ssh_machine: SshMachine, python_image: str) -> SshMachine:
    """The remote machine with its dockerd running, which has the image ``python_image``."""
    ssh_machine.start_docker()
    if ssh_machine.execute(["docker", "image", "inspect", python_image])[0]:
        with tempfile.TemporaryDirectory() as folder:
            ssh_machine.bring_image(docker._root_folder(python_image, Path(folder)), python_image)
    return ssh_machine


@pytest.fixture
def ssh_host(ssh_machine: SshMachine, tmp_path: Path) -> Iterator[SshHost]:
    """The remote machine as a host, connected at the first need."""
    host = SshHost(ssh_machine.settings(tmp_path))
    yield host
    host.close()


@pytest.fixture
def ssh_jump(_ssh_jump: SshMachine) -> Iterator[SshMachine]:
    """Another remote machine, on the way to the first."""
    yield from _whole(_ssh_jump)


def new_machine() -> Iterator[SshMachine]:
    """A machine of one's own, which no other test knows; for a fixture to yield from."""
    _clear_abandoned()
    with tempfile.TemporaryDirectory(prefix="amltool-ssh-") as folder:
        made = SshMachine(Path(folder))
        try:
            yield made
        finally:
            made.close()


def _whole(machine: SshMachine) -> Iterator[SshMachine]:
    machine.clear()
    yield machine
    machine.mend()
    machine.start_sshd()


def _clear_abandoned() -> None:
    """Remove the machines of test runs that were killed."""
    api = docker_service.client()
    for container in api.containers(all=True, filters={"label": OWNER}):
        if not mounts.is_alive(int(container["Labels"][OWNER])):
            with contextlib.suppress(Exception):  # another worker is removing it as well
                api.remove_container(container["Id"], force=True, v=True)


def _key_pair(folder: Path) -> tuple[Path, bytes]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, file = Ed25519PrivateKey.generate(), folder / "id_test"
    file.touch(mode=0o600)
    openssh, plain = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, openssh, plain))
    public_form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    public = key.public_key().public_bytes(*public_form) + b"\n"
    file.with_suffix(".pub").write_bytes(public)
    return file, public


def _archive_of(stream: io.BufferedReader, name: str) -> Iterator[bytes]:
    """A tar file that holds one file, block by block."""
    member = tarfile.TarInfo(name)
    member.size = os.fstat(stream.fileno()).st_size
    yield member.tobuf()
    while block := stream.read(1 << 20):
        yield block
    yield b"\0" * (-member.size % 512 + 1024)
