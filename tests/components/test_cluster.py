"""The compute target ``cluster`` as a user has it: the real command line over real SSH, Spark on a real YARN."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import artifact, artifacts, completed, compute_file, submit, unfinished
from tests.components.hadoop_cluster import HadoopCluster
from tests.repositories import make_repository
from tests.waiting import wait_until

MODES = ["client", "cluster"]
END_S = 240.0
RUN_CONFIGURATION = (
    "ArgumentVector:\n- $file\nTarget: {}\nFramework: PySpark\nPrepareEnvironment: true\nTrackedRun: true\n"
    "CondaDependenciesFile: aml_config/conda_dependencies.yml\n"
    "SparkDependenciesFile: aml_config/spark_dependencies.yml\n"
)
SMALL = (
    "configuration:\n  spark.executor.instances: 1\n  spark.sql.shuffle.partitions: 2\n"
    "  spark.ui.enabled: false\nrepositories: []\npackages: []\n"
)
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
ENDS = """
import os, sys, signal
if sys.argv[1] != "early":
    from pyspark.sql import SparkSession
    SparkSession.builder.getOrCreate().range(3).count()
open("outputs/left.txt", "w").write("left")
print("last words", flush=True)
if sys.argv[2] == "raise":
    raise ValueError("it does not work")
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(sys.argv[2]))
"""
LONG = """
import time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("begun", spark.sparkContext.applicationId, flush=True)
time.sleep(600)
"""
FILES: dict[str, bytes | str] = {
    "train.py": TRAIN,
    "ends.py": ENDS,
    "long.py": LONG,
    "helper.py": "def double(number):\n    return 2 * number\n",
    "aml_config/conda_dependencies.yml": "dependencies:\n- python>=3.8\n- pip:\n  - attrs==23.2.0\n",
    "aml_config/spark_dependencies.yml": SMALL,
    ".gitignore": "outputs/\n",
}


@pytest.fixture
def project(tmp_path: Path, hadoop_cluster: HadoopCluster) -> Path:
    """A project with a target for each deploy mode."""
    return _project(tmp_path / "project", hadoop_cluster)


def _project(folder: Path, cluster: HadoopCluster, files: dict[str, bytes | str] | None = None) -> Path:
    cluster.known_to(Path.home())
    files = {**FILES, **(files or {})}
    for mode in MODES:
        compute = {
            "type": "cluster", "address": cluster.head, "username": cluster.user, "privateKeyFile": str(cluster.key),
            "yarnDeployMode": mode,
        }  # fmt: skip
        files[f"aml_config/{mode}.compute"] = compute_file(compute)
        files[f"aml_config/{mode}.runconfig"] = RUN_CONFIGURATION.format(mode)
    return make_repository(folder, files)


def _ends(project: Path, mode: str, when: str, how: str) -> tuple[int, dict[str, Any], str]:
    done = submit(project, "ends.py", target=mode, arguments=(when, how))
    return done.exit_code, done.record, done.printed


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
    assert hadoop_cluster.application(found["application_id"])["finalStatus"] == "SUCCEEDED"
    assert len(hadoop_cluster.applications(found["run_id"])) == 1
    assert unfinished(project) == []
    hadoop_cluster.nothing_is_left(found["run_id"])


@pytest.mark.parametrize(
    ("mode", "when", "how", "exit_code", "signal_name"),
    [
        ("client", "late", "7", 7, None),
        ("cluster", "late", "7", 7, None),
        ("client", "late", "kill", None, "SIGKILL"),
        ("cluster", "late", "kill", None, "SIGKILL"),
        ("cluster", "late", "raise", 1, None),
        ("client", "early", "3", 3, None),
        ("cluster", "early", "3", 3, None),
        ("cluster", "early", "0", 0, None),
    ],
)
def test_an_end_is_the_scripts_own(
    mode: str,
    when: str,
    how: str,
    exit_code: int | None,
    signal_name: str | None,
    project: Path,
    hadoop_cluster: HadoopCluster,
) -> None:
    _, found, printed = _ends(project, mode, when, how)

    assert (found["exit_code"], found["signal"]) == (exit_code, signal_name)
    assert found["status"] == ("Completed" if exit_code == 0 else "Failed")
    assert "last words\n" in printed
    assert "outputs/left.txt" in artifacts(found)
    assert len(hadoop_cluster.applications(found["run_id"])) <= 1
    hadoop_cluster.nothing_is_left(found["run_id"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"spark.yarn.queue": "nobody"}, "YARN has no queue"),
        ({"spark.driver.memory": "90g"}, "more memory"),
    ],
)
def test_what_yarn_refuses_is_a_reason_with_a_remedy(
    settings: dict[str, str], reason: str, tmp_path: Path, hadoop_cluster: HadoopCluster
) -> None:
    lines = "".join(f"  {name}: {value}\n" for name, value in settings.items())
    files: dict[str, bytes | str] = {"aml_config/spark_dependencies.yml": f"configuration:\n{lines}"}
    project = _project(tmp_path / "project", hadoop_cluster, files)

    found = submit(project, target="cluster", arguments=("1",)).record

    assert found["status"] == "Failed"
    assert reason in found["reason"]
    hadoop_cluster.nothing_is_left(found["run_id"])


def test_two_runs_at_once_do_not_meet_on_the_file_system(project: Path, hadoop_cluster: HadoopCluster) -> None:
    first = _start(project, "client", "train.py", "3")
    second = submit(project, target="cluster", arguments=("5",))
    amltool(project, "wait", first)

    sizes = {}
    for run_id in (first, completed(second)["run_id"]):
        record = json.loads(amltool(project, "show", run_id, "--json").stdout)
        assert record["status"] == "Completed", record["reason"]
        sizes[run_id] = [
            each["size"] for each in record["artifacts"] if re.match(r"outputs/numbers/part.*json$", each["path"])
        ]
    assert sorted(sizes.values()) == [[30], [50]]


@pytest.mark.parametrize("mode", MODES)
def test_a_cancel_ends_the_application(mode: str, project: Path, hadoop_cluster: HadoopCluster) -> None:
    run_id = _start(project, mode, "long.py")
    _wait_for_console(project, run_id, "begun")

    amltool(project, "cancel", run_id)

    record = json.loads(amltool(project, "show", run_id, "--json").stdout)
    assert record["status"] == "Canceled"
    hadoop_cluster.nothing_is_left(run_id)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_outlives_its_client_and_is_submitted_once(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    command = [sys.executable, "-m", "amltool", "submit", "train.py", "--target", mode, "--", "4"]
    root = str(Path(__file__).resolve().parents[2])
    nothing = subprocess.DEVNULL
    environment = {**os.environ, "PYTHONPATH": root}
    client = subprocess.Popen(command, cwd=project, env=environment, stdout=nothing, stderr=nothing)
    wait_until(lambda: any(_launched(project)), END_S)
    client.send_signal(signal.SIGKILL)
    client.wait()
    [run_id] = _launched(project)

    amltool(project, "wait", run_id)

    record = json.loads(amltool(project, "show", run_id, "--json").stdout)
    assert record["status"] == "Completed"
    assert [each["id"] for each in hadoop_cluster.applications(run_id)] == [record["application_id"]]


def test_an_application_whose_program_on_the_head_node_was_killed_is_ended(
    project: Path, hadoop_cluster: HadoopCluster
) -> None:
    run_id = _start(project, "cluster", "long.py")
    _wait_for_console(project, run_id, "begun")
    hadoop_cluster.execute(["pkill", "-KILL", "-u", "sshuser", "python3"])

    amltool(project, "wait", run_id, check=False)

    record = json.loads(amltool(project, "show", run_id, "--json").stdout)
    assert record["status"] == "Failed"
    hadoop_cluster.nothing_is_left(run_id)


def _start(project: Path, mode: str, script: str, *arguments: str) -> str:
    said = amltool(project, "submit", script, "--target", mode, "--detach", "--", *arguments).stdout
    found = re.search(r"RunId: (\S+)", said)
    assert found is not None, said
    return found[1]


def _launched(project: Path) -> list[str]:
    states = (project / ".git/amltool/runs").glob("*/state.json")
    return [state.parent.name for state in states if json.loads(state.read_bytes())["step"] == "launched"]


def _wait_for_console(project: Path, run_id: str, words: str) -> None:
    wait_until(lambda: words in amltool(project, "logs", run_id, check=False).stdout, END_S)
