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
SAFE_MODE_REMEDY = "Wait until HDFS has left it, or have it left: hdfs dfsadmin -safemode leave"


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
    home_state: str = "ok"
    home_said: str = ""
    safe_mode: bool = False
    is_full: bool = False

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
    check_facts(found, compute, host)
    return found


def check_facts(found: ClusterFacts, compute: ComputeTarget, host: Host) -> None:
    """Refuse a cluster on which no run could be.

    Raises:
        UserError, TargetError: as `cluster_facts`.
    """
    _check_programs(found, compute, host)
    _check_file_system(found, host)
    if found.yarn is None:
        raise TargetError(
            f"YARN does not answer on {host.name}: {found.yarn_state}.", "See that its ResourceManager runs."
        )


def _check_programs(found: ClusterFacts, compute: ComputeTarget, host: Host) -> None:
    if found.authentication.lower() == KERBEROS:
        raise UserError(
            f"The cluster of {host.name} wants Kerberos, which amltool does not speak.",
            "Use a cluster without it (HDInsight without the Enterprise Security Package).",
        )
    if not found.spark_submit:
        raise UserError(
            f"There is no {compute.spark_submit_location or 'spark-submit'} on {host.name}.",
            "Log in to a head or edge node that has Spark, or set sparkSubmitLocation in the .compute.",
        )
    if not found.hadoop or not found.file_system:
        raise UserError(
            f"There is no Hadoop client on {host.name}: no hadoop on the PATH, or no fs.defaultFS in its settings.",
            "Log in to a head or edge node of the cluster.",
        )
    if found.home_state == "java":
        raise UserError(
            f"There is no Java on {host.name}: {found.home_said}.",
            "Log in to a head or edge node that has Spark, or set JAVA_HOME there for all logins.",
        )
    if not found.spark:
        raise UserError(
            f"{found.spark_submit} on {host.name} does not say a version of Spark.",
            "See what it says by itself there, or set sparkSubmitLocation in the .compute to another one.",
        )
    if not found.python:
        raise UserError(
            f"There is no {compute.python_location} on {host.name}.", "Set pythonLocation in the .compute to one there."
        )


def _check_file_system(found: ClusterFacts, host: Host) -> None:
    system = found.file_system
    if found.safe_mode:
        raise UserError(f"{system} is in safe mode: nothing can be written there.", SAFE_MODE_REMEDY)
    if found.home_state == "silent":
        raise TargetError(
            f"{system} does not answer on {host.name}: {found.home_said}.", "See that its NameNode (or storage) is up."
        )
    if found.home_state == "missing":
        raise UserError(
            f"You have no home folder on {system}.",
            "Have it made by the user hdfs: hdfs dfs -mkdir -p /user/NAME && hdfs dfs -chown NAME /user/NAME",
        )
    if found.home_state == "closed":
        raise UserError(
            f"You may not write to your home folder on {system}.", "Have its owner or permissions changed there."
        )
    if found.is_full:
        raise UserError(f"Your quota on {system} is used up.", "Make room there, or have the quota raised.")
