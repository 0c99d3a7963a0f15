"""What is said of a cluster on which a run could not be: one sentence of what, one of what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from amltool.configuration.compute import ComputeTarget, ComputeType
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.targets.cluster_health import ClusterFacts, check_facts

SOUND = {
    "spark_submit": "/usr/bin/spark-submit",
    "hadoop": "/usr/bin/hadoop",
    "file_system": "hdfs://hn0-aml:8020",
    "python": "3.11.2",
    "spark": "3.5.9",
    "yarn": "3.3.4",
    "yarn_state": "STARTED",
}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"authentication": "kerberos"}, "Kerberos", "without it"),
    ({"spark_submit": None, "spark": None}, "no spark-submit on hn0", "sparkSubmitLocation"),
    ({"spark": None}, "/usr/bin/spark-submit on hn0 does not say a version of Spark", "sparkSubmitLocation"),
    ({"hadoop": None}, "no Hadoop client", "head or edge node"),
    ({"python": None}, "no python on hn0", "pythonLocation"),
    ({"yarn": None, "yarn_state": "http://hn0:8088/x does not answer"}, "YARN does not answer", "ResourceManager"),
    ({"home_state": "java", "home_said": "java: not found"}, "no Java", "JAVA_HOME"),
    ({"home_state": "silent", "home_said": "Connection refused"}, "does not answer on hn0", "NameNode"),
    ({"home_state": "missing"}, "no home folder", "hdfs dfs -mkdir"),
    ({"home_state": "closed"}, "may not write", "permissions"),
    ({"safe_mode": True}, "safe mode", "-safemode leave"),
    ({"is_full": True}, "quota", "room"),
]


def _check(facts: ClusterFacts) -> None:
    compute = ComputeTarget(name="hdi", type=ComputeType.CLUSTER)
    check_facts(facts, compute, cast("Host", SimpleNamespace(name="hn0")))


@pytest.mark.parametrize(("change", "what", "remedy"), BAD, ids=[next(iter(each[0])) for each in BAD])
def test_what_is_missing_is_said_with_a_remedy(change: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(UserError) as refused:
        _check(ClusterFacts(**{**SOUND, **change}))

    assert what in refused.value.what
    assert remedy in refused.value.remedy


def test_a_sound_cluster_is_told_in_a_line() -> None:
    facts = ClusterFacts(**SOUND)

    _check(facts)

    assert str(facts) == "Spark 3.5.9, YARN 3.3.4, Python 3.11.2, hdfs://hn0-aml:8020"
