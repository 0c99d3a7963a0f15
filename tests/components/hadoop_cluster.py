"""A real Hadoop cluster for tests: HDFS, YARN and Spark in containers (``hadoop/cluster.sh``), reached over SSH.

The word in AMLTOOL_REQUIRE is ``yarn``; with it the cluster is made (jars from Maven, Spark from PyPI, Debian by
debootstrap; kept in the cache of the tests) and started. One cluster serves all workers of a run of the tests: the
first that needs it starts it, the controller takes it down at the end, and what a killed run left is removed by the
next. Several tests use it at once; one that hurts the cluster itself has it alone (``hadoop_cluster_alone``).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amltool.files import locked
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.layout import cluster_tag
from tests.components import docker_service, mounts, places
from tests.components.required import is_required, missing
from tests.waiting import wait_until

FIXTURES = frozenset({"hadoop_cluster", "hadoop_cluster_alone", "blob_cluster"})
LIMIT_S = 1800
"""What a test may take that uses the cluster: the first one may have to make it, others wait for it."""
HEAD = "hn0-aml"
OVER = frozenset({"FINISHED", "FAILED", "KILLED"})
_SCRIPT = Path(__file__).parent / "hadoop/cluster.sh"
_FAMILY = "amltool-tests-yarn-"
_LABEL = "amltool-tests.yarn"
_UP_S = 1500
_INSTALL_S = 600
_PROGRAMS = {
    "mvn": "maven",
    "java": "default-jdk-headless",
    "debootstrap": "debootstrap",
    "ssh-keygen": "openssh-client",
    "curl": "curl",
}
_BLOB_PROGRAMS = {"npm": "npm", "node": "nodejs"}
_HOME = os.environ.get("HOME", "")
"""The developer's own: Maven and pip find their settings there; a test has a home of its own by then."""


@dataclass(frozen=True, slots=True)
class HadoopCluster:
    """A cluster that runs: ``head`` is the address of its head node; ``user`` logs in there with ``key``."""

    name: str
    head: str
    user: str
    key: Path
    resourcemanager: str
    default_fs: str

    def execute(self, command: Sequence[str], *, node: str = HEAD, user: str = "root") -> tuple[int, str]:
        """Run a command on a node behind sshd's back: exit code and all it said."""
        return _docker("exec", "-u", user, self.container(node), *command)

    def container(self, node: str) -> str:
        """The name of a node's container."""
        return f"{self.name}-{node}"

    def known_to(self, home: Path) -> None:
        """Let a user's ``~/.ssh/known_hosts`` have the head node's host key."""
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        with (home / ".ssh/known_hosts").open("a") as stream:
            stream.write(self._known_hosts_line())

    def settings(self, folder: Path) -> SshSettings:
        """How to reach the head node: with the key, and its host key in a file of ``folder``."""
        known = folder / f"known_hosts-{self.head}"
        known.write_text(self._known_hosts_line())
        return SshSettings(self.head, username=self.user, key_file=self.key, known_hosts=(known,))

    def _known_hosts_line(self) -> str:
        code, key = self.execute(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])
        assert code == 0, key
        return f"{self.head} {' '.join(key.split()[:2])}\n"

    def application(self, name: str) -> dict[str, Any]:
        """An application, as YARN tells of it."""
        found: dict[str, Any] = self._ask(f"/apps/{name}")["app"]
        return found

    def applications(self, run_id: str) -> list[dict[str, Any]]:
        """The applications of a run, asked of YARN by its tag."""
        tag = urllib.parse.quote(cluster_tag(run_id))
        found: list[dict[str, Any]] = (self._ask(f"/apps?applicationTags={tag}")["apps"] or {}).get("app", [])
        return found

    def kill(self, name: str) -> None:
        """Kill an application, as somebody else on the cluster does."""
        code, said = self.execute(["yarn", "application", "-kill", name], user=self.user)
        assert code == 0, said

    def files(self, folder: str) -> list[str]:
        """The names in a folder below the user's home on the default file system; empty where there is none."""
        if self.default_fs.startswith("hdfs:"):  # Java takes seconds to ask
            url = f"http://{HEAD}:9870/webhdfs/v1/user/{self.user}/{folder}?op=LISTSTATUS&user.name={self.user}"
            found = json.loads(self.execute(["curl", "-s", url])[1])
            return [each["pathSuffix"] for each in found.get("FileStatuses", {}).get("FileStatus", [])]
        said = self.execute(["hadoop", "fs", "-ls", "-C", folder], user=self.user)[1]
        return [line.rpartition("/")[2] for line in said.splitlines() if line.startswith(folder)]

    def processes_of(self, run_id: str) -> list[int]:
        """The processes of a run on the head node: those whose command line or current folder names it."""
        script = (
            "for each in /proc/[0-9]*; do [ $each = /proc/$$ ] && continue; "
            'case "$(tr "\\0" " " <$each/cmdline)$(readlink $each/cwd)" in '
            '*"$0"*) echo ${each#/proc/};; esac; done 2>/dev/null'
        )
        said = self.execute(["sh", "-c", script, run_id], user=self.user)[1]  # root in a container may not look there
        return [int(word) for word in said.split()]

    def nothing_is_left(self, run_id: str, *, within_s: float = 240.0) -> None:
        """Nothing of a run goes on or lies on the cluster, or soon will not: applications, processes, files."""
        assert {each["state"] for each in self.applications(run_id)} <= OVER
        names = [each["id"] for each in self.applications(run_id)]

        def is_gone() -> bool:
            lies = {*self.files(".amltool/runs"), *self.files(".sparkStaging")} & {run_id, *names}
            return not lies and not self.processes_of(run_id)

        wait_until(is_gone, within_s)

    def up(self) -> None:
        """Start what is missing of the cluster, and return when all of it runs."""
        done = _run("up", self.name, _settings_of(self.name))
        assert done.returncode == 0, done.stderr

    def end_all(self) -> None:
        """Kill what runs on YARN, and the user's processes on the head node."""
        running = self._ask("/apps?states=NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING")["apps"] or {}
        for each in running.get("app", []):
            self.execute(["yarn", "application", "-kill", each["id"]], user=self.user)
        self.execute(["pkill", "-KILL", "-u", self.user])

    def _ask(self, path: str) -> dict[str, Any]:
        said = self.execute(["curl", "-s", f"http://{HEAD}:8088/ws/v1/cluster{path}"])[1]
        found: dict[str, Any] = json.loads(said)
        return found


def stop_started() -> None:
    """Take the clusters down that this run of the tests started; called by its controller, at the end."""
    for state in places.state().glob(f"{_FAMILY}{os.getpid()}*"):
        _run("down", state.name, {})


def _session() -> int:
    """The process of this run of the tests: a worker of pytest-xdist is a child of its controller."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


def _settings_of(name: str) -> dict[str, str]:
    if not name.endswith("-blob"):
        return {}
    return {
        "AZURITE": "1",
        "WORKERS": "1",
        "DEFAULT_FS": "wasb://box@devstoreaccount1.blob.core.windows.net",
    }


def _docker(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        ["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    return done.returncode, done.stdout


def _run(verb: str, name: str, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    own = {"CLUSTER": name, "CLUSTER_STATE": str(places.state() / name), "CLUSTER_CACHE": str(places.CACHE)}
    variables = {**os.environ, "HOME": _HOME, "PATH": mounts.SYSTEM_PATH, **own, **settings}
    return subprocess.run(
        ["bash", str(_SCRIPT), verb],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_UP_S,
    )


def _up(name: str) -> HadoopCluster:
    settings = _settings_of(name)
    with locked(places.state() / "yarn.lock", within_s=2 * _UP_S):
        _install({**_PROGRAMS, **(_BLOB_PROGRAMS if settings else {})})
        _clear_abandoned()
        done = _run("up", name, settings)
    if done.returncode:
        pytest.fail(f"the Hadoop cluster does not start:\n{done.stderr[-2000:]}", pytrace=False)
    said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return HadoopCluster(
        name, said["head"], said["user"], Path(said["key"]), said["resourcemanager"], said["default_fs"]
    )


def _install(programs: Mapping[str, str]) -> None:
    packages = [package for program, package in programs.items() if mounts.found(program) is None]
    if packages:
        docker_service.install(packages)


def _clear_abandoned() -> None:
    """Take the clusters down of runs of the tests that were killed."""
    names = {folder.name for folder in places.state().glob(f"{_FAMILY}*")}
    names.update(
        _docker("ps", "-a", "--filter", f"label={_LABEL}", "--format", f'{{{{.Label "{_LABEL}"}}}}')[1].split()
    )
    for name in names:
        owner = re.match(re.escape(_FAMILY) + r"([0-9]+)", name)
        if owner and not mounts.is_alive(int(owner[1])):
            _run("down", name, {})


@contextlib.contextmanager
def _used(name: str, how: int) -> Iterator[None]:
    """Use a cluster beside others (`fcntl.LOCK_SH`), or alone (`fcntl.LOCK_EX`)."""
    with (places.state() / f"{name}/users").open("ab") as stream:
        fcntl.flock(stream, how)
        yield


def _started(suffix: str = "") -> HadoopCluster:
    if not is_required("yarn"):
        missing("yarn", "no Hadoop cluster is started by this run")
    docker_service.daemon()
    return _up(f"{_FAMILY}{_session()}{suffix}")


def _end_of(cluster: HadoopCluster, folder: Path) -> None:
    """What a failed test left running takes no room from the next."""
    for request in folder.rglob(".git/amltool/runs/*/request.json"):
        for each in cluster.applications(request.parent.name):
            if each["state"] not in OVER:
                cluster.execute(["yarn", "application", "-kill", each["id"]], user=cluster.user)


@pytest.fixture(scope="session")
def _hadoop_cluster() -> HadoopCluster:
    return _started()


@pytest.fixture(scope="session")
def _blob_cluster() -> HadoopCluster:
    return _started("-blob")


@pytest.fixture
def hadoop_cluster(_hadoop_cluster: HadoopCluster, tmp_path: Path) -> Iterator[HadoopCluster]:
    """The cluster, up; other tests use it at the same time, so it is left as it is."""
    with _used(_hadoop_cluster.name, fcntl.LOCK_SH):
        yield _hadoop_cluster
        _end_of(_hadoop_cluster, tmp_path)


@pytest.fixture
def head_node(hadoop_cluster: HadoopCluster, tmp_path: Path) -> Iterator[SshHost]:
    """The head node as a host, connected at the first need."""
    host = SshHost(hadoop_cluster.settings(tmp_path))
    yield host
    host.close()


@pytest.fixture
def hadoop_cluster_alone(_hadoop_cluster: HadoopCluster) -> Iterator[HadoopCluster]:
    """The cluster for one test alone, which may stop its nodes and services and set its file system in safe mode."""
    with _used(_hadoop_cluster.name, fcntl.LOCK_EX):
        try:
            yield _hadoop_cluster
        finally:
            _hadoop_cluster.up()
            _hadoop_cluster.end_all()


@pytest.fixture
def blob_cluster(_blob_cluster: HadoopCluster, tmp_path: Path) -> Iterator[HadoopCluster]:
    """A second, smaller cluster (one worker) whose default file system is Blob storage (Azurite), as HDInsight's."""
    with _used(_blob_cluster.name, fcntl.LOCK_SH):
        yield _blob_cluster
        _end_of(_blob_cluster, tmp_path)
