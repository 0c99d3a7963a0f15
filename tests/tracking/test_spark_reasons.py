"""Reasons that Spark and YARN give, in their own words as the test cluster printed them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking.spark_reasons import reason_in

SAID = {
    "org.apache.hadoop.yarn.exceptions.YarnException: Failed to submit application_1_0001 to YARN : Application "
    "application_1_0001 submitted by user sshuser to unknown queue: nobody": "no queue nobody",
    "java.lang.IllegalArgumentException: Required AM memory (92160+9216 MB) is above the max threshold (2048 MB) of "
    "this cluster! Please check": "more memory",
    "java.lang.IllegalArgumentException: Required executor memory (92160 MB), offHeap memory (0) MB, overhead (9216 "
    "MB), and PySpark memory (0 MB) is above the max threshold (2048 MB) of this cluster!": "more memory",
    "org.apache.hadoop.yarn.exceptions.InvalidResourceRequestException: Invalid resource request! Cannot allocate "
    "containers as requested resource is greater than maximum allowed allocation. Requested resource type=[vcores], "
    "Requested resource=<memory:896, vCores:90>, maximum allowed allocation=<memory:2048, vCores:4>, please note":
        "(memory:896, vCores:90) than a container may have (memory:2048, vCores:4)",
    'Exception in thread "main" java.lang.RuntimeException: [unresolved dependency: no.such.group#nothing_2.12;1.0: '
    "not found]\n\tat org.apache.spark.deploy": "no package no.such.group#nothing_2.12;1.0",
    'Exception in thread "main" org.apache.spark.SparkException: Executor memory must be a positive number\n\tat org':
        "not as Spark reads it: Executor memory must be a positive number",
    "/opt/bin/spark-submit: JAVA_HOME is not set": "no Java on the head node: set JAVA_HOME",
    "Container [pid=1,containerID=c] is running 1B beyond the 'PHYSICAL' memory limit. Current usage": "out of memory",
    "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create directory": "safe mode",
    "File /user/x could only be written to 0 of the 1 minReplication nodes.": "full",
    'java.io.IOException: Cannot run program "./environment/bin/python": error=2, No such file': "Python",
    "org.apache.hadoop.security.AccessControlException: SIMPLE authentication is not enabled.": "",
    "Call From hn0/1.2.3.4 to hn0:8020 failed on connection exception: java.net.ConnectException: Connection refused":
        "does not answer",
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_a_known_refusal_has_a_reason_with_a_remedy(said: str) -> None:
    found = reason_in(f"some\nlines\n{said}\nmore")

    assert found is not None
    assert SAID[said] in found


@given(st.text(alphabet="abc \n()", max_size=200))
def test_any_other_text_has_none(said: str) -> None:
    assert reason_in(said) is None
