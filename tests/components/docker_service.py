"""The Docker daemon of this machine: installed and started where the tests may not be skipped, used where it answers.

A daemon that the tests started runs in its own session and is stopped by the last test run that used it; one that
was there is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from amltool.containers.daemon import DockerDaemon, connect
from amltool.errors import UserError
from amltool.files import locked
from amltool.hosts.local import LocalHost
from tests.components import mounts, places
from tests.components.required import is_required, missing

if TYPE_CHECKING:
    from docker.api.client import APIClient  # noqa: TID251 (a type; the client comes through our one door)

PACKAGES = ("docker.io", "debootstrap", "debian-archive-keyring", "gpgv", "iproute2", "iptables", "ca-certificates")
PROGRAMS = ("dockerd", "debootstrap", "ip", "iptables")
PID_FILE = Path("/var/run/docker.pid")
"""Where a daemon that was started without a word about it keeps its process's number."""
START_S = 60
LATE_S = 60
INSTALL_S = 600
_users: list[int] = []


def daemon() -> DockerDaemon:
    """The daemon of this machine, ready to be asked; where it is required it is installed and started."""
    if is_required("docker"):
        with locked(places.state() / "docker.lock", within_s=INSTALL_S + START_S):
            _use()
            if _answer() is None:
                _start()
    answering = _answer()
    if answering is None:
        missing("docker", f"no Docker daemon answers at {places.DOCKER_HOST or 'the usual socket'}")
    return answering


def daemon_of(host: str | None) -> DockerDaemon:
    """A daemon that answered just now; ``None`` is the one of the usual socket.

    Raises:
        UserError: it does not answer.
    """
    with pytest.MonkeyPatch.context() as patch:
        if host:
            patch.setenv("DOCKER_HOST", host)
        answering = DockerDaemon(LocalHost())
        answering.connect()
    answering.version()
    return answering


def client(host: str | None = places.DOCKER_HOST) -> APIClient:
    """A client of a daemon, whatever DOCKER_HOST says by now."""
    with pytest.MonkeyPatch.context() as patch:
        if host:
            patch.setenv("DOCKER_HOST", host)
        return connect(LocalHost())


def stop_started() -> None:
    """Stop the daemon that tests started, unless another test run still uses it."""
    pid_file = places.state() / "dockerd.pid"
    if not pid_file.exists():
        return
    with locked(places.state() / "docker.lock", within_s=INSTALL_S + START_S):
        if not _is_last():
            return
        for process_id in mounts.processes_of(pid_file):
            os.kill(process_id, signal.SIGTERM)
            until = time.monotonic() + 120  # containers of a run that died have 10 s each to stop
            while mounts.is_alive(process_id) and time.monotonic() < until:
                time.sleep(0.05)
        pid_file.unlink(missing_ok=True)


def _answer() -> DockerDaemon | None:
    with contextlib.suppress(UserError):
        return daemon_of(places.DOCKER_HOST)
    return None


def _start() -> None:
    if places.DOCKER_HOST:
        pytest.fail(f"no daemon answers at {places.DOCKER_HOST}, which the tests do not start", pytrace=False)
    if os.getuid() != 0:
        pytest.fail("no Docker daemon answers, and only root can start one", pytrace=False)
    _install()
    if _answers_late():
        return
    log, pid_file = places.state() / "dockerd.log", places.state() / "dockerd.pid"
    if not any(mounts.is_alive(process_id) for process_id in mounts.processes_of(pid_file)):
        pid_file.unlink(missing_ok=True)
    with log.open("wb") as stream:
        started = subprocess.Popen(
            [mounts.found("dockerd") or "dockerd", "--pidfile", str(pid_file)],
            env={**os.environ, "PATH": mounts.SYSTEM_PATH},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    until = time.monotonic() + START_S
    while _answer() is None:
        if started.poll() is not None or time.monotonic() > until:
            pytest.fail(f"dockerd does not start:\n{_tail(log)}", pytrace=False)
        time.sleep(0.1)


def _answers_late() -> bool:
    """Whether the daemon that lives at the usual place answers after all; a second one would take its socket away."""
    with contextlib.suppress(OSError, ValueError):
        process_id = int(PID_FILE.read_text())
        if Path(f"/proc/{process_id}/comm").read_text().strip() != "dockerd":
            return False
        until = time.monotonic() + LATE_S
        while _answer() is None:
            if time.monotonic() > until:
                pytest.fail(f"dockerd (process {process_id}) runs and does not answer", pytrace=False)
            time.sleep(0.1)
        return True
    return False


def _install() -> None:
    if not all(mounts.found(program) for program in PROGRAMS):
        install(PACKAGES)


def install(packages: Sequence[str]) -> None:
    """Install Debian packages that a component needs."""
    if os.getuid() != 0 or mounts.found("apt-get") is None:
        pytest.fail(f"{' '.join(packages)} are not installed, and only root installs them, with apt-get", pytrace=False)
    log = places.state() / "apt.log"
    options = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
    variables = {**os.environ, "PATH": mounts.SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("wb") as stream:
        for verb in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", *options, *verb], env=variables, stdout=stream, stderr=stream, timeout=INSTALL_S
            )
    if done.returncode:
        pytest.fail(f"{' '.join(packages)} cannot be installed:\n{_tail(log)}", pytrace=False)


def _use() -> None:
    """Be counted as one that uses the daemon, until this process ends."""
    if not _users:
        _users.append(os.open(places.state() / "docker.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        fcntl.flock(_users[0], fcntl.LOCK_SH)


def _is_last() -> bool:
    while _users:
        os.close(_users.pop())
    until = time.monotonic() + 3  # the workers of this run may be about to end
    while time.monotonic() < until:
        with contextlib.suppress(BlockingIOError), locked(places.state() / "docker.users", wait=False):
            return True
        time.sleep(0.1)
    return False


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
