"""Reasons of a failed Spark application that have a remedy, found in what Spark or YARN says; Python 3.6.

The texts are those of Hadoop 3.3 and Spark 3.5, each seen on the test cluster.
"""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_REASONS = (
    (
        r"unknown queue: ?'?([\w.-]+)",
        r"YARN has no queue {0}: name one it has as spark.yarn.queue in spark_dependencies.yml",
    ),
    (
        r"Required (?:AM|executor) memory \(([0-9][^)]{0,40})\).{0,200}?above the max threshold \(([^)]+)\)",
        (
            "more memory is asked for ({0}) than a container may have ({1}): lower spark.driver.memory or "
            "spark.executor.memory in spark_dependencies.yml"
        ),
    ),
    (
        (
            r"greater than maximum allowed allocation.{0,200}?"
            r"Requested resource=<([^>]+)>, maximum allowed allocation=<([^>]+)>"
        ),
        (
            "more is asked for ({0}) than a container may have ({1}): lower spark.driver.memory, "
            "spark.executor.memory or spark.executor.cores in spark_dependencies.yml"
        ),
    ),
    (
        r"unresolved dependency: ([^\s:\]]+): not found",
        (
            "there is no package {0} where the head node looks for packages: see its coordinates in "
            "spark_dependencies.yml, and that the head node reaches the repositories"
        ),
    ),
    (
        (
            r"(?:NumberFormat|Spark)Exception: "
            r"((?:Size|Time) must be specified[^\n]{1,200}|[A-Za-z ]{1,40} must be a positive number)"
        ),
        "a value in spark_dependencies.yml is not as Spark reads it: {0}",
    ),
    (
        r"JAVA_HOME is not set|java: (?:command )?not found",
        "there is no Java on the head node: set JAVA_HOME for logins there, or take a node that has Spark",
    ),
    (
        r"beyond the '?(PHYSICAL|VIRTUAL)'? memory limit",
        (
            "out of memory: the driver's container was over its limit; raise spark.driver.memory or "
            "spark.driver.memoryOverhead in spark_dependencies.yml"
        ),
    ),
    (
        r"Container killed by YARN for exceeding (physical|virtual) memory limits",
        (
            "out of memory: an executor's container was over its limit; raise spark.executor.memory or "
            "spark.executor.memoryOverhead in spark_dependencies.yml"
        ),
    ),
    (
        r"YARN application has exited unexpectedly with state KILLED",
        "the application was killed in YARN",
    ),
    (
        r"YARN application has exited unexpectedly with state FAILED",
        "the application master was lost: yarn logs -applicationId with the id of the application tells more",
    ),
    (
        r"SafeModeException|Name ?node is in safe mode",
        "the cluster's file system is in safe mode: wait, or have it left (hdfs dfsadmin -safemode leave)",
    ),
    (
        r"could only be (?:written to|replicated to) 0|DSQuotaExceeded|NSQuotaExceeded|No space left on device",
        "the cluster's file system is full, or the quota of this user is used up: make room there",
    ),
    (
        r"AccessControlException: ([^\n]{1,200})",
        "the cluster's file system refuses it: {0}; have the permissions of your home folder there changed",
    ),
    (
        r"Cannot run program \"?([^\" ]*environment/bin/python[^\" ]*)",
        (
            "a node of the cluster has not the Python that the environment was built with (a link to that of the "
            "head node): install the same version on all nodes, or ask for one that they have in conda_dependencies.yml"
        ),
    ),
    (
        r"PYTHON_VERSION_MISMATCH|Python in worker has different version",
        "the nodes' Python is another version than the driver's: name one that all nodes have as pythonLocation",
    ),
    (
        r"Can't get Kerberos realm|SIMPLE authentication is not enabled|GSSException",
        "the cluster wants Kerberos, which amltool does not speak",
    ),
    (
        r"Call From [^\n]{1,200}Connection refused",
        "a service of the cluster does not answer (connection refused): see that HDFS and YARN run",
    ),
)


def reason_in(text: str) -> "Optional[str]":
    """The first reason that a text names; ``None`` where it names none that is known."""
    for pattern, reason in _REASONS:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return reason.format(*found.groups())
    return None
