"""Look at the head node of a Hadoop cluster: can Spark on YARN be used there?"""

from __future__ import annotations

import msgspec

from amltool.configuration.compute import ComputeTarget
from amltool.environments.login import Login
from amltool.errors import TargetError, UserError
from amltool.hosts.base import Host
from amltool.targets.library import install_library

ANSWER_S = 120.0
KERBEROS = "kerberos"
PROGRAM = "cluster_facts.py"


class ClusterFacts(msgspec.Struct, frozen=True):
    """What the head node says of its cluster; ``None`` for what is not there."""

    spark_submit: str | None = None
    hadoop: str | None = None
    authentication: str = "simple"
    file_system: str | None = None
    python: str | None = None
    spark: str | None = None
    yarn: str | None = None
    yarn_state: str = ""

    def __str__(self) -> str:
        return f"Spark {self.spark}, YARN {self.yarn}, Python {self.python}, {self.file_system}"


def cluster_facts(compute: ComputeTarget, host: Host) -> ClusterFacts:
    """Ask the head node of a cluster, as a login there sees it.

    Raises:
        UserError: something that a run needs is not there; says what to do.
        TargetError: the head node, or YARN, does not answer.
    """
    installed, seen = install_library(host), Login(host).seen(host)
    program = installed.bootstrap.with_name(PROGRAM)
    python = "python3" if compute.python_location == "python" else compute.python_location
    words = ["python3", str(program), compute.spark_submit_location or "spark-submit", python]
    said = seen.run(words, timeout_s=ANSWER_S)
    try:
        found = msgspec.json.decode(said.stdout, type=ClusterFacts)
    except msgspec.MsgspecError:
        last = said.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
        raise TargetError(f"{host.name} did not say what its cluster has: {last}.", "Try again.") from None
    _check(found, compute, host)
    return found


def _check(found: ClusterFacts, compute: ComputeTarget, host: Host) -> None:
    if found.authentication.lower() == KERBEROS:
        raise UserError(
            f"The cluster of {host.name} wants Kerberos, which amltool does not speak.",
            "Use a cluster without it (HDInsight without the Enterprise Security Package).",
        )
    if not found.spark_submit or not found.spark:
        raise UserError(
            f"There is no {compute.spark_submit_location or 'spark-submit'} on {host.name}.",
            "Log in to a head or edge node that has Spark, or set sparkSubmitLocation in the .compute.",
        )
    if not found.hadoop or not found.file_system:
        raise UserError(
            f"There is no Hadoop client on {host.name}: no hadoop on the PATH, or no fs.defaultFS in its settings.",
            "Log in to a head or edge node of the cluster.",
        )
    if not found.python:
        raise UserError(
            f"There is no {compute.python_location} on {host.name}.", "Set pythonLocation in the .compute to one there."
        )
    if found.yarn is None:
        raise TargetError(
            f"YARN does not answer on {host.name}: {found.yarn_state}.", "See that its ResourceManager runs."
        )
