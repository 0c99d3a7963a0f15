"""A real Hadoop cluster for tests: HDFS, YARN and Spark in containers (``hadoop/cluster.sh``), reached over SSH.

The word in AMLTOOL_REQUIRE is ``yarn``; with it the cluster is made (jars from Maven, Spark from PyPI, Debian by
debootstrap; kept in the cache of the tests) and started. One cluster serves all tests of a run; it stays up for the
workers of the run and is taken down by the last.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from amltool.files import locked
from tests.components import docker_service, places
from tests.components.required import is_required, missing

SCRIPT = Path(__file__).parent / "hadoop/cluster.sh"
NAME = "amltool-tests-yarn"
UP_S = 900


@dataclass(frozen=True, slots=True)
class HadoopCluster:
    """A cluster that runs: ``head`` is the address of its head node; ``user`` logs in there with ``key``."""

    head: str
    user: str
    key: Path
    resourcemanager: str
    default_fs: str

    def execute(self, command: Sequence[str], *, node: str = "hn0-aml", user: str = "root") -> tuple[int, str]:
        """Run a command on a node behind sshd's back: exit code and all it said."""
        done = subprocess.run(
            ["docker", "exec", "-u", user, f"{NAME}-{node}", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        return done.returncode, done.stdout

    def known_to(self, home: Path) -> None:
        """Let a user's ``~/.ssh/known_hosts`` have the head node's host key."""
        code, key = self.execute(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])
        assert code == 0, key
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        with (home / ".ssh/known_hosts").open("a") as stream:
            stream.write(f"{self.head} {' '.join(key.split()[:2])}\n")

    def clear(self) -> None:
        """Nothing of an earlier test runs or lies there."""
        self.execute(["pkill", "-KILL", "-u", self.user])
        self.execute(["sh", "-c", "rm -rf /home/sshuser/.amltool /home/sshuser/outputs"])


def _variables() -> dict[str, str]:
    return {**os.environ, "CLUSTER": NAME, "CLUSTER_STATE": str(places.state() / NAME)}


def _run(verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(SCRIPT), verb], env=_variables(), capture_output=True, text=True, timeout=UP_S)


def _up() -> HadoopCluster:
    with locked(places.state() / "yarn.lock"):
        done = _run("up")
    if done.returncode:
        pytest.fail(f"the Hadoop cluster does not start:\n{done.stderr[-2000:]}", pytrace=False)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return HadoopCluster(said["head"], said["user"], Path(said["key"]), said["resourcemanager"], said["default_fs"])


@pytest.fixture(scope="session")
def hadoop_cluster() -> HadoopCluster:
    """The cluster, up."""
    if not is_required("yarn"):
        missing("yarn", "no Hadoop cluster is started by this run")
    for program in ("mvn", "ssh-keygen", "curl", "docker"):
        if shutil.which(program) is None:
            missing("yarn", f"there is no {program}")
    docker_service.daemon()
    return _up()
