"""Environments for the nodes of a Hadoop cluster: built on its head node, packed, kept on its file system."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

import msgspec

from amltool.configuration.compute import ComputeTarget
from amltool.environments.base import EnvironmentRequest, KeptEnvironment, Prepared, Progress
from amltool.environments.conda import CondaEnvironment
from amltool.environments.folder import Choice, FolderEnvironment, Kind
from amltool.environments.interpreter_there import InterpreterThere
from amltool.environments.lock import LockSource
from amltool.environments.login import Login
from amltool.environments.recipe import Recipe
from amltool.environments.spark import without_spark
from amltool.environments.steps import Steps
from amltool.environments.venv import UV, VirtualEnvironment
from amltool.errors import TargetError
from amltool.hosts.base import Host
from amltool.layout import CLUSTER_ENVIRONMENTS

ARCHIVE = "environment.tar.gz"
"""In the folder of an environment on the head node."""
REMOVE_S = 60.0
_FIX = "See that the head node reaches a package index, or set userManagedEnvironment: true in the .compute."


class ClusterArchive:
    """The environment of `conda_dependencies.yml` (or of a lock) as an archive that YARN brings to every node."""

    def __init__(self, compute: ComputeTarget, login: Login) -> None:
        kinds = (
            _Archived(VirtualEnvironment(compute), "venv-pack"),
            _Archived(CondaEnvironment(compute.python_location), "conda-pack"),
        )
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
        """As `ExecutionEnvironment.kept`."""
        return self._folder.kept(host)

    def remove(self, host: Host, kept: KeptEnvironment) -> None:
        """As `ExecutionEnvironment.remove`; its archive on the cluster's file system goes too."""
        self._folder.remove(host, kept)
        removed = host.run(["hadoop", "fs", "-rm", "-f", "-skipTrash", str(_remote(kept.key))], timeout_s=REMOVE_S)
        if removed.exit_code:
            raise TargetError(
                f"{_remote(kept.key)} stays on the cluster's file system (hadoop fs -rm: {removed.exit_code}).",
                "Try again when HDFS (or the Blob storage) answers.",
            )

    def _archived(self, host: Host, request: EnvironmentRequest, found: Prepared) -> Prepared:
        """The same, with the cluster's own spark-submit: the environment's pyspark has no settings of the cluster."""
        spark = self._spark.find(host, request).spark_submit
        local = PurePosixPath(found.python[0]).parents[2] / ARCHIVE
        archive = msgspec.json.encode({"local": str(local), "remote": str(_remote(found.key))}).decode()
        return msgspec.structs.replace(found, spark_submit=spark or found.spark_submit, archive=archive)


class _Archived:
    """A kind of environment whose folder is packed, and sent to the cluster's file system, when it was made."""

    def __init__(self, kind: Kind, packer: str) -> None:
        self._kind = kind
        self._packer = packer

    @property
    def source(self) -> LockSource:
        return self._kind.source

    def choose(self, host: Host, recipe: Recipe) -> Choice | None:
        found = self._kind.choose(host, recipe)
        return None if found is None else _for_cluster(found)

    def fetch(self, host: Host, recipe: Recipe, steps: Steps) -> Choice:
        return _for_cluster(self._kind.fetch(host, recipe, steps))

    def make(self, steps: Steps, recipe: Recipe, choice: Choice, prefix: PurePosixPath) -> None:
        """As `Kind.make`.

        Raises:
            UserError: a step failed: packing it, or sending it to the cluster's file system.
        """
        self._kind.make(steps, recipe, choice, prefix)
        archive, remote = prefix.parent / ARCHIVE, _remote(prefix.parent.name)
        tools = steps.folder / "tools"
        python, base = str(tools / "bin/python"), choice.python or str(prefix / "bin/python")
        uv = choice.tool == UV
        steps.run(
            f"Installing {self._packer}",
            [*([UV, "venv", "--python", base] if uv else [base, "-m", "venv"]), str(tools)],
            _FIX,
        )
        install = [UV, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
        steps.run(f"Installing {self._packer}", [*install, self._packer, "setuptools<81"], _FIX)
        pack = [str(tools / "bin" / self._packer), "-f", "-q", "-p", str(prefix), "-o", str(archive)]
        steps.run("Packing the execution environment", pack, "Remove packages that are installed as editable.")
        steps.run(
            "Sending the execution environment to the cluster's file system", put_command(archive, remote), _SPACE
        )

    def variables(self, prefix: PurePosixPath) -> dict[str, str]:
        return self._kind.variables(prefix)


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
