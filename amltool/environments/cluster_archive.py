"""Environments for the nodes of a Hadoop cluster: built on its head node, packed, kept on its file system."""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import PurePosixPath

import msgspec

from amltool.configuration.compute import ComputeTarget
from amltool.environments.base import EnvironmentRequest, KeptEnvironment, Prepared, Progress
from amltool.environments.cluster_nodes import ClusterNodes
from amltool.environments.conda import CondaEnvironment
from amltool.environments.folder import Choice, FolderEnvironment, Kind
from amltool.environments.interpreter_there import InterpreterThere
from amltool.environments.lock import LockSource
from amltool.environments.login import Login
from amltool.environments.recipe import Recipe
from amltool.environments.spark import without_spark
from amltool.environments.steps import Steps
from amltool.environments.venv import UV, VirtualEnvironment
from amltool.environments.wheels import wheels_from_here
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host
from amltool.layout import CLUSTER_ENVIRONMENTS, HostLayout
from amltool.tracking.cluster_leftovers import sizes_in

ARCHIVE = "environment.tar.gz"
"""In the folder of an environment on the head node."""
KIND = "environment archive"
_NAME = re.compile(r"/([0-9a-f]{16,})\.tar\.gz$")
"""Of an archive; the key becomes a path on the head node, so it is taken for none else."""
ALONE = "no environment of this head node is kept in it"
REMOVE_S = 60.0
TOOLS = "tools"
PACKERS_NEED = ("setuptools<81",)
"""Both packers import pkg_resources, which newer ones have not."""
IMPATIENT = ("install", "--retries", "1", "--timeout", "15")
"""Seen first where there is no index: the packages of the environment then need not be waited for."""
_FIX = "See that the head node reaches a package index, or set userManagedEnvironment: true in the .compute."


class ClusterArchive:
    """The environment of `conda_dependencies.yml` (or of a lock) as an archive that YARN brings to every node."""

    def __init__(self, compute: ComputeTarget, login: Login, bootstrap: Callable[[], PurePosixPath]) -> None:
        """``bootstrap`` puts what travels with runs on the head node, and gives the path of one of its files."""
        kinds = (
            _ArchivedVenv(compute, ClusterNodes(login, bootstrap)),
            _ArchivedConda(compute),
        )
        self._login = login
        self._folder = FolderEnvironment(compute, kinds, login, without_spark)
        self._spark = InterpreterThere("python3", login, compute.spark_submit_location)

    def find(self, host: Host, request: EnvironmentRequest) -> Prepared | None:
        """As `ExecutionEnvironment.find`."""
        found = self._folder.find(host, request)
        return None if found is None else self._archived(host, request, found)

    def prepare(self, host: Host, request: EnvironmentRequest, progress: Progress) -> Prepared:
        """As `ExecutionEnvironment.prepare`; the archive is on the cluster's file system when it returns."""
        return self._archived(host, request, self._folder.prepare(host, request, progress))

    def kept(self, host: Host) -> list[KeptEnvironment]:
        """Environments as `ExecutionEnvironment.kept` gives them, and archives of which the head node has none.

        Raises:
            TargetError: the cluster's file system does not answer.
        """
        found = self._folder.kept(host)
        keys = {each.key for each in found}
        return [*found, *(each for each in self._archives(host) if each.key not in keys)]

    def remove(self, host: Host, kept: KeptEnvironment) -> None:
        """As `ExecutionEnvironment.remove`; its archive on the cluster's file system goes too."""
        place = str(HostLayout(host.root).environments / kept.key)
        self._folder.remove(host, msgspec.structs.replace(kept, place=place))
        command = ["hadoop", "fs", "-rm", "-f", "-skipTrash", str(_remote(kept.key))]
        removed = self._login.seen(host).run(command, timeout_s=REMOVE_S)
        if removed.exit_code:
            raise TargetError(
                f"{_remote(kept.key)} stays on the cluster's file system (hadoop fs -rm: {removed.exit_code}).",
                "Try again when HDFS (or the Blob storage) answers.",
            )

    def _archives(self, host: Host) -> list[KeptEnvironment]:
        listed = self._login.seen(host).run(["hadoop", "fs", "-du", str(CLUSTER_ENVIRONMENTS)], timeout_s=REMOVE_S)
        said = listed.stderr.decode("utf-8", "backslashreplace").strip()
        if listed.exit_code and "No such file or directory" not in said:
            raise TargetError(
                f"{host.name} does not say what environments lie on the cluster's file system: "
                f"{said.rpartition(chr(10))[2]}.",
                "Try again when HDFS (or the Blob storage) answers.",
            )
        return [
            KeptEnvironment(kind=KIND, place=place, size=size, key=named[1], reason=ALONE)
            for place, size in sizes_in(listed.stdout)
            if (named := _NAME.search(place))
        ]

    def _archived(self, host: Host, request: EnvironmentRequest, found: Prepared) -> Prepared:
        """The same, with the cluster's own spark-submit: the environment's pyspark has no settings of the cluster."""
        spark = self._spark.find(host, request).spark_submit
        local = PurePosixPath(found.python[0]).parents[2] / ARCHIVE
        archive = msgspec.json.encode({"local": str(local), "remote": str(_remote(found.key))}).decode()
        return msgspec.structs.replace(found, spark_submit=spark or found.spark_submit, archive=archive)


class _Archived(ABC):
    """A kind of environment whose folder is packed, and sent to the cluster's file system, when it was made."""

    kind: Kind
    packer: str

    @property
    def source(self) -> LockSource:
        return self.kind.source

    def choose(self, host: Host, recipe: Recipe) -> Choice | None:
        found = self.kind.choose(host, recipe)
        return None if found is None else _for_cluster(found)

    def fetch(self, host: Host, recipe: Recipe, steps: Steps) -> Choice:
        return _for_cluster(self.kind.fetch(host, recipe, steps))

    @abstractmethod
    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:
        """As `Kind.make`.

        Raises:
            UserError: a step failed: packing it, or sending it to the cluster's file system.
        """

    def variables(self, prefix: PurePosixPath) -> dict[str, str]:
        return self.kind.variables(prefix)

    def _make_place(self, steps: Steps, python: str, *, uv: bool) -> None:
        """Make an environment of its own for the packer."""
        begin = [UV, "venv", "--python", python] if uv else [python, "-m", "venv"]
        place = str(steps.folder / TOOLS)
        steps.run(f"Making a place for {self.packer}", [*begin, place], "Look whether that Python is whole.")

    def _install(self, steps: Steps, *, uv: bool) -> None:
        python = str(steps.folder / TOOLS / "bin/python")
        install = [UV, "pip", "install", "--python", python] if uv else [python, "-m", "pip", *IMPATIENT]
        steps.run(f"Installing {self.packer}", [*install, self.packer, *PACKERS_NEED], _FIX)

    def _send(self, steps: Steps, prefix: PurePosixPath) -> None:
        """Pack the environment and put it on the cluster's file system."""
        archive, remote = prefix.parent / ARCHIVE, _remote(prefix.parent.name)
        pack = [str(steps.folder / TOOLS / "bin" / self.packer), "-f", "-q", "-p", str(prefix), "-o", str(archive)]
        steps.run("Packing the execution environment", pack, "Remove packages that are installed as editable.")
        steps.run(
            "Sending the execution environment to the cluster's file system", put_command(archive, remote), _SPACE
        )


class _ArchivedVenv(_Archived):
    """A venv: its Python is a link to that of the nodes, so they are asked first; its packages are got here where the
    head node reaches no package index."""

    packer = "venv-pack"

    def __init__(self, compute: ComputeTarget, nodes: ClusterNodes) -> None:
        self.kind = VirtualEnvironment(compute)
        self._compute = compute
        self._nodes = nodes

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:
        unasked = self._nodes.check(steps.host, choice)
        if unasked:
            steps.say(unasked)
        uv = choice.tool == UV
        self._make_place(steps, choice.python, uv=uv)
        try:
            self._install(steps, uv=uv)
        except UserError:
            steps.say(f"{steps.host.name} reaches no package index: the packages are got here and sent.")
            tools = (self.packer, *PACKERS_NEED)
            steps, recipe = wheels_from_here(self._compute, steps, recipe, choice.circumstances[0], tools)
            self._install(steps, uv=uv)
        self.kind.make(steps, recipe, choice, prefix)
        self._send(steps, prefix)


class _ArchivedConda(_Archived):
    """A conda environment, whose own Python travels with it."""

    packer = "conda-pack"

    def __init__(self, compute: ComputeTarget) -> None:
        self.kind = CondaEnvironment(compute.python_location)

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:
        self.kind.make(steps, recipe, choice, prefix)
        self._make_place(steps, str(prefix / "bin/python"), uv=False)
        self._install(steps, uv=False)
        self._send(steps, prefix)


_SPACE = "See that the cluster's file system is up, not full, and may be written by you: hadoop fs -ls"


def put_command(archive: PurePosixPath, remote: PurePosixPath) -> list[str]:
    """Put a file of the head node on the cluster's file system, whole: ``-put`` writes beside and renames."""
    words = [shlex.quote(str(path)) for path in (remote.parent, archive, remote)]
    return ["sh", "-c", "hadoop fs -mkdir -p {} && hadoop fs -put -f {} {}".format(*words)]


def _for_cluster(choice: Choice) -> Choice:
    return msgspec.structs.replace(choice, circumstances=(*choice.circumstances, "archive"))


def _remote(key: str) -> PurePosixPath:
    """Below the user's home folder on the cluster's file system."""
    return CLUSTER_ENVIRONMENTS / f"{key}.tar.gz"
