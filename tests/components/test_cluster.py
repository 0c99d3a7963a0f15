"""The compute target ``cluster`` as a user has it: the real command line over real SSH, Spark on a real YARN."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.cluster_projects import MODES, ended, make, shown, start, wait_for_console
from tests.components.docker_projects import artifact, artifacts, completed, submit, unfinished
from tests.components.hadoop_cluster import HadoopCluster

TRAIN = """
import os, sys
import attr
from helper import double
from amltool import tracking
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
total = spark.sparkContext.parallelize(range(10), 2).map(double).sum()
versions = spark.sparkContext.parallelize([0], 1).map(lambda _: __import__("attr").__version__).collect()
tracking.log_metric("total", total)
spark.range(int(sys.argv[1])).coalesce(1).write.mode("overwrite").json("outputs/numbers")
spark.read.json("outputs/numbers").count()
open("outputs/result.txt", "w").write("%d %s %s" % (total, attr.__version__, versions))
open("logs/training.log", "w").write("log")
print("arguments", sys.argv[1:], "share", os.environ.get("AZUREML_NATIVE_SHARE_DIRECTORY"))
"""
LONG = """
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("begun", spark.sparkContext.applicationId, flush=True)
time.sleep(3600)
"""
FILES = {"train.py": TRAIN, "long.py": LONG, "helper.py": "def double(number):\n    return 2 * number\n"}


@pytest.fixture
def project(tmp_path: Path, hadoop_cluster: HadoopCluster) -> Path:
    """A project with a target for each deploy mode."""
    return make(tmp_path / "project", hadoop_cluster, FILES)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_comes_back_with_its_outputs_and_is_known_to_yarn(
    mode: str, project: Path, hadoop_cluster: HadoopCluster, tmp_path: Path
) -> None:
    done = submit(project, target=mode, arguments=("10", "with blank"))

    found = completed(done)
    assert "arguments ['10', 'with blank'] share None\n" in done.printed
    assert (found["target_type"], found["host"]) == ("cluster", hadoop_cluster.head)
    assert found["metrics"]["total"]["last"] == 90
    assert artifact(project, "outputs/result.txt", tmp_path / "result") == b"90 23.2.0 ['23.2.0']"
    names = {*artifacts(found)}
    assert {"outputs/numbers/_SUCCESS", "logs/training.log", "console.log", "environment.lock.json"} <= names
    [application] = hadoop_cluster.applications(found["run_id"])
    assert (application["id"], application["finalStatus"]) == (found["application_id"], "SUCCEEDED")
    assert unfinished(project) == []
    hadoop_cluster.nothing_is_left(found["run_id"])


def test_two_runs_at_once_do_not_meet_on_the_file_system(project: Path) -> None:
    first = start(project, "client", "train.py", "3")
    second = submit(project, target="cluster", arguments=("5",))
    ended(project, first)

    sizes = []
    for run_id in (first, completed(second)["run_id"]):
        record = shown(project, run_id)
        assert record["status"] == "Completed", record["reason"]
        parts = [each for each in record["artifacts"] if re.match(r"outputs/numbers/part.*json$", each["path"])]
        sizes += [each["size"] for each in parts]
    assert sizes == [27, 45]  # a line of JSON is nine bytes


@pytest.mark.parametrize("mode", MODES)
def test_a_cancel_ends_the_application(mode: str, project: Path, hadoop_cluster: HadoopCluster) -> None:
    run_id = start(project, mode, "long.py")
    wait_for_console(project, run_id, "begun")

    amltool(project, "cancel", run_id)

    assert shown(project, run_id)["status"] == "Canceled"
    hadoop_cluster.nothing_is_left(run_id)
