"""A Docker daemon of the test's own, which can be stopped, killed and started while runs go on in it."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from amltool.containers.daemon import DockerDaemon
from tests.components import docker_service, mounts
from tests.components.docker_images import bring_tar

START_S = 120
_PREFIX = "amltool-docker-"
_CONTAINERD = """\
version = 2
root = "{0}/containerd/root"
state = "{0}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{0}/containerd.sock"
[ttrpc]
address = "{0}/containerd.sock.ttrpc"
"""


class PrivateDocker:
    """A daemon with its own socket, images, containers and bridge; its containers have no way out of this machine.

    containerd is its own process, as where a distribution installs it: a daemon that is killed leaves the containers
    running. DOCKER_HOST=``host`` selects it. Needs root, Linux and an installed ``dockerd``.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self.folder / "owner").write_text(str(os.getpid()))
        self.host = f"unix://{self.folder}/docker.sock"
        self.image = ""
        self._bridge = _bridge_of(self.folder)
        self._dockerd: subprocess.Popen[bytes] | None = None
        self._containerd = self._begin_containerd()
        _make_bridge(self._bridge)

    @property
    def pid(self) -> int | None:
        """The process id of dockerd; ``None`` while it is stopped."""
        return self._dockerd.pid if self._dockerd else None

    def daemon(self) -> DockerDaemon:
        """A new connection, whatever DOCKER_HOST says."""
        return docker_service.daemon_of(self.host)

    def bring(self, file: Path, name: str) -> None:
        """Make an image of a tar file of a root folder."""
        bring_tar(docker_service.client(self.host), file, name)
        self.image = name

    def start(self) -> None:
        """Start dockerd and wait until it answers (0.4 s; 10 s more where a container of before does not stop)."""
        if self._dockerd:
            return
        # Left by a kill; dockerd would take a process that is dead but not yet reaped for a living one.
        (self.folder / "docker.pid").unlink(missing_ok=True)
        self._dockerd = self._begin(
            "dockerd", f"--host={self.host}", f"--containerd={self.folder}/containerd.sock",
            f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/docker.pid",
            f"--bridge={self._bridge}", "--iptables=false", "--ip-forward=false", "--ip-masq=false",
            "--userland-proxy=false",
        )  # fmt: skip
        self._wait_for(self._dockerd, "dockerd", lambda: bool(self.daemon()))

    def stop(self) -> None:
        """Stop dockerd as a system does that shuts it down (SIGTERM): it stops its containers first."""
        if self._dockerd:
            self._dockerd.terminate()
            self._dockerd.wait(120)
            self._dockerd = None

    def kill(self) -> None:
        """Kill dockerd (SIGKILL); its containers go on."""
        if self._dockerd:
            self._dockerd.kill()
            self._dockerd.wait(120)
            self._dockerd = None

    def close(self) -> None:
        """End it all: no process, mount, interface or file is left."""
        with contextlib.suppress(Exception):  # what does not go politely goes with the folder
            self.start()
            self.empty()
            self.stop()
        self._containerd.kill()
        self._containerd.wait(120)
        clear(self.folder)
        self.kill()

    def empty(self) -> None:
        """Remove all containers."""
        api = docker_service.client(self.host)
        for container in api.containers(all=True):
            api.remove_container(container["Id"], force=True, v=True)

    def _begin_containerd(self) -> subprocess.Popen[bytes]:
        (self.folder / "containerd.toml").write_text(_CONTAINERD.format(self.folder))
        process = self._begin("containerd", f"--config={self.folder}/containerd.toml")
        self._wait_for(process, "containerd", (self.folder / "containerd.sock").exists)
        return process

    def _begin(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        variables = {**os.environ, "PATH": mounts.SYSTEM_PATH}
        variables.pop("DOCKER_HOST", None)
        with (self.folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen(
                [mounts.found(program) or program, *options],
                env=variables,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for(self, process: subprocess.Popen[bytes], program: str, is_ready: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(Exception):  # it does not answer yet
                if is_ready():
                    return
            time.sleep(0.05)
        said = (self.folder / f"{program}.log").read_text(errors="replace")[-1500:]
        pytest.fail(f"{program} does not start:\n{said}", pytrace=False)


def clear(folder: Path) -> None:
    """Remove a private daemon by its folder alone, whatever became of the process that made it."""
    inits = []
    for file in folder.glob("containerd/state/io.containerd.runtime.v2.task/*/*/init.pid"):
        with contextlib.suppress(OSError, ValueError):
            inits.append(int(file.read_text()))
    mounts.kill(mounts.processes_of(folder))
    mounts.kill(inits)
    mounts.remove(folder)
    subprocess.run([mounts.found("ip") or "ip", "link", "delete", _bridge_of(folder)], capture_output=True)


def clear_abandoned() -> None:
    """Remove private daemons whose test run was killed."""
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/owner"):
        with contextlib.suppress(OSError, ValueError):
            if not mounts.is_alive(int(owner.read_text())):
                clear(owner.parent)


def _bridge_of(folder: Path) -> str:
    return f"aml-{folder.name.removeprefix(_PREFIX)}"  # an interface's name has at most 15 characters


def _make_bridge(name: str) -> None:
    """A bridge of its own network; dockerd makes none but ``docker0``, which is the machine's."""
    ip = mounts.found("ip") or "ip"
    taken = subprocess.run([ip, "-4", "-brief", "address"], check=True, capture_output=True, text=True).stdout
    free = [number for number in range(256) if f" 10.213.{number}." not in taken]
    address = f"10.213.{random.choice(free)}.1/24"
    for words in (["link", "add", name, "type", "bridge"], ["address", "add", address, "dev", name],
                  ["link", "set", name, "up"]):  # fmt: skip
        subprocess.run([ip, *words], check=True, capture_output=True)
