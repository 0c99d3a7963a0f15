"""Each way in which a run on a Hadoop cluster ends: status, exit code and reason, one application, nothing left."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool
from tests.components.cluster_projects import END_S, MODES, console, ended, make, shown, start, wait_for_console
from tests.components.docker_projects import artifacts, client, submit, unfinished
from tests.components.hadoop_cluster import HEAD, OVER, HadoopCluster
from tests.waiting import wait_until

torture = pytest.mark.torture
ENDS = """
import os, sys, signal
if sys.argv[1] != "early":
    from pyspark.sql import SparkSession
    SparkSession.builder.getOrCreate().range(3).count()
open("outputs/left.txt", "w").write("left")
print("last words", flush=True)
if sys.argv[2] == "raise":
    raise ValueError("it does not work")
if not sys.argv[2].isdigit():
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
sys.exit(int(sys.argv[2]))
"""
LONG = """
import os, subprocess, sys, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
subprocess.Popen(["sleep", "7654321"])
print("begun", spark.sparkContext.applicationId, flush=True)
time.sleep(3600)
"""
WORKS = """
import os, time
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
folder = context.applicationId
print("begun", folder, flush=True)

def slow(number):
    time.sleep(0.5)
    return number

def step(count):
    return context.parallelize(range(8), 8).map(slow).sum()

sums = [step(each) for each in range(15)]
open("outputs/sums.txt", "w").write(str(sums))
print("sums", set(sums), flush=True)
"""
HUNGRY = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("begun", flush=True)
held = bytearray(3 << 30)
for place in range(0, len(held), 4096):
    held[place] = 1
import time
time.sleep(600)
"""
FILES = {"ends.py": ENDS, "long.py": LONG, "works.py": WORKS, "hungry.py": HUNGRY}
LEFT = "sleep 7654321"
"""A process that the script leaves running, wherever the script runs."""
NODES = (HEAD, "wn0-aml", "wn1-aml")


@pytest.fixture
def project(tmp_path: Path, hadoop_cluster: HadoopCluster) -> Path:
    return make(tmp_path / "project", hadoop_cluster, FILES)


@pytest.fixture
def alone(tmp_path: Path, hadoop_cluster_alone: HadoopCluster) -> Path:
    """A project whose test has the cluster for itself."""
    return make(tmp_path / "project", hadoop_cluster_alone, FILES)


def begun(project: Path, mode: str, script: str = "long.py") -> str:
    """A run whose script has its application."""
    run_id = start(project, mode, script)
    wait_for_console(project, run_id, "begun")
    return run_id


def is_running(cluster: HadoopCluster, pattern: str) -> bool:
    """Return True if a process on any node has a pattern in its command line."""
    return any(cluster.execute(["pgrep", "-f", "--", pattern], node=node)[0] == 0 for node in NODES)


def is_over(cluster: HadoopCluster, found: dict[str, Any], status: str) -> None:
    """The run ended so, made one application, and nothing of it is left anywhere."""
    assert found["status"] == status, found["reason"]
    assert [each["id"] for each in cluster.applications(found["run_id"])] == [found["application_id"]]
    cluster.nothing_is_left(found["run_id"])
    wait_until(lambda: not is_running(cluster, f"{LEFT}|{found['application_id']}"), END_S)


@pytest.mark.parametrize(
    ("mode", "when", "how", "exit_code", "signal_name"),
    [
        ("client", "late", "7", 7, None),
        pytest.param("cluster", "late", "7", 7, None, marks=torture),
        pytest.param("client", "late", "SIGKILL", None, "SIGKILL", marks=torture),
        ("cluster", "late", "SIGKILL", None, "SIGKILL"),
        pytest.param("client", "late", "SIGTERM", None, "SIGTERM", marks=torture),
        pytest.param("cluster", "late", "SIGSEGV", None, "SIGSEGV", marks=torture),
        pytest.param("client", "late", "raise", 1, None, marks=torture),
        pytest.param("cluster", "late", "raise", 1, None, marks=torture),
        ("client", "early", "3", 3, None),
        pytest.param("client", "early", "0", 0, None, marks=torture),
        pytest.param("cluster", "early", "3", 3, None, marks=torture),
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
    done = submit(project, "ends.py", target=mode, arguments=(when, how))

    found = done.record
    assert (found["exit_code"], found["signal"]) == (exit_code, signal_name), done.said
    assert found["status"] == ("Completed" if exit_code == 0 else "Failed")
    assert "last words\n" in done.printed
    assert "outputs/left.txt" in artifacts(found)
    assert len(hadoop_cluster.applications(found["run_id"])) == (0 if (mode, when) == ("client", "early") else 1)
    hadoop_cluster.nothing_is_left(found["run_id"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"spark_yarn_queue": "nobody"}, "YARN has no queue nobody"),
        pytest.param({"spark_driver_memory": "90g"}, "more memory", marks=torture),
    ],
)
def test_what_yarn_refuses_is_a_reason_with_a_remedy(
    settings: dict[str, str], reason: str, tmp_path: Path, hadoop_cluster: HadoopCluster
) -> None:
    project = make(tmp_path / "project", hadoop_cluster, FILES, **settings)

    found = submit(project, "ends.py", target="cluster", arguments=("late", "0")).record

    assert found["status"] == "Failed"
    assert reason in found["reason"]
    assert len(hadoop_cluster.applications(found["run_id"])) <= 1
    hadoop_cluster.nothing_is_left(found["run_id"])


def test_a_run_whose_program_on_the_head_node_was_killed_has_its_application_ended(
    project: Path, hadoop_cluster: HadoopCluster
) -> None:
    run_id = begun(project, "cluster")
    kill_of(hadoop_cluster, run_id, "cluster_run.py")

    found = ended(project, run_id)

    assert "the process on the head node" in found["reason"]
    assert found["signal"] == "SIGKILL"
    is_over(hadoop_cluster, found, "Failed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_run_whose_programs_on_the_head_node_were_killed_has_its_application_ended(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    run_id = begun(project, mode)
    kill_of(hadoop_cluster, run_id, "")

    is_over(hadoop_cluster, ended(project, run_id), "Failed")


@torture
def test_a_run_whose_spark_submit_was_killed_ends_by_that_signal(project: Path, hadoop_cluster: HadoopCluster) -> None:
    run_id = begun(project, "client")
    kill_of(hadoop_cluster, run_id, "org.apache.spark.deploy.SparkSubmit")

    found = ended(project, run_id)

    assert (found["signal"], found["reason"]) == ("SIGKILL", "Spark was ended by SIGKILL before the script ended")
    is_over(hadoop_cluster, found, "Failed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_an_application_that_somebody_kills_is_a_failed_run_that_says_so(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    run_id = begun(project, mode, "works.py")
    hadoop_cluster.kill(hadoop_cluster.applications(run_id)[0]["id"])

    found = ended(project, run_id)

    assert found["reason"] == "the application was killed in YARN"
    is_over(hadoop_cluster, found, "Failed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_run_whose_application_master_was_killed_is_not_run_again(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    run_id = begun(project, mode, "works.py")
    [application] = hadoop_cluster.applications(run_id)
    kill_on_workers(hadoop_cluster, f"{application['id']}.*(ApplicationMaster|ExecutorLauncher)")

    found = ended(project, run_id)

    lost = "the driver was lost" if mode == "cluster" else "the application master was lost"
    assert found["reason"].startswith(lost)
    is_over(hadoop_cluster, found, "Failed")


@torture
def test_a_driver_over_the_memory_of_its_container_is_out_of_memory(
    project: Path, hadoop_cluster: HadoopCluster
) -> None:
    found = submit(project, "hungry.py", target="cluster").record

    assert found["reason"].startswith("out of memory: the driver's container was over its limit")
    is_over(hadoop_cluster, found, "Failed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_run_goes_on_without_an_executor_that_was_killed(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    run_id = begun(project, mode, "works.py")
    [application] = hadoop_cluster.applications(run_id)
    kill_on_workers(hadoop_cluster, f"YarnCoarseGrainedExecutorBackend.*{application['id']}")

    found = ended(project, run_id)

    assert "sums {28}\n" in console(project, run_id)
    is_over(hadoop_cluster, found, "Completed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_run_goes_on_when_a_worker_is_lost(mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster) -> None:
    cluster = hadoop_cluster_alone
    run_id = begun(alone, mode, "works.py")
    [application] = cluster.applications(run_id)
    master = application["amHostHttpAddress"].partition(":")[0]
    other = next(node for node in NODES[1:] if node != master)
    subprocess.run(["docker", "kill", cluster.container(other)], check=True, capture_output=True)

    found = ended(alone, run_id)

    cluster.up()
    assert "sums {28}\n" in console(alone, run_id)
    is_over(cluster, found, "Completed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_resourcemanager_that_is_away_for_a_minute_is_waited_for(
    mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster
) -> None:
    cluster = hadoop_cluster_alone
    run_id = begun(alone, mode, "works.py")
    manager = "resourcemanager.ResourceManager"
    cluster.execute(["pkill", "-STOP", "-f", manager])
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            client(alone, "wait", run_id).wait(60)
    finally:
        cluster.execute(["pkill", "-CONT", "-f", manager])

    found = ended(alone, run_id)

    assert "sums {28}\n" in console(alone, run_id)
    is_over(cluster, found, "Completed")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_finds_no_room_is_queued_and_can_be_canceled(
    mode: str, alone: Path, tmp_path: Path, hadoop_cluster_alone: HadoopCluster
) -> None:
    settings = {"spark_executor_instances": "3", "spark_executor_memory": "512m"}
    full = make(tmp_path / "full", hadoop_cluster_alone, FILES, **settings)
    first = begun(full, "cluster")
    metrics = "http://hn0-aml:8088/ws/v1/cluster/metrics"
    wait_until(lambda: '"availableMB":0,' in hadoop_cluster_alone.execute(["curl", "-s", metrics])[1], END_S)

    second = start(alone, mode, "long.py")
    wait_until(lambda: shown(alone, second)["status"] == "Queued", END_S)
    amltool(alone, "cancel", second)
    assert shown(full, first)["status"] == "Running"
    amltool(full, "cancel", first)

    is_over(hadoop_cluster_alone, shown(alone, second), "Canceled")
    is_over(hadoop_cluster_alone, shown(full, first), "Canceled")


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_cancel_while_the_environment_is_built_leaves_nothing(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    conda = project / "aml_config/conda_dependencies.yml"
    conda.write_text(conda.read_text().replace("attrs==23.2.0", "attrs==22.2.0"))
    going = client(project, "submit", "long.py", "--target", mode)
    wait_until(lambda: unfinished(project), END_S)
    [run_id] = unfinished(project)
    wait_until(lambda: hadoop_cluster.processes_of("venv"), END_S)

    amltool(project, "cancel", run_id)
    going.communicate()

    assert shown(project, run_id)["status"] == "Canceled"
    assert hadoop_cluster.applications(run_id) == []
    hadoop_cluster.nothing_is_left(run_id)


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_cancel_while_it_is_submitted_leaves_nothing(mode: str, project: Path, hadoop_cluster: HadoopCluster) -> None:
    run_id = start(project, mode, "long.py")
    wait_until(lambda: processes_of(hadoop_cluster, run_id, "org.apache.spark.deploy.SparkSubmit"), END_S)

    amltool(project, "cancel", run_id)

    assert shown(project, run_id)["status"] == "Canceled"
    assert {each["state"] for each in hadoop_cluster.applications(run_id)} <= OVER
    hadoop_cluster.nothing_is_left(run_id)


def processes_of(cluster: HadoopCluster, run_id: str, pattern: str) -> list[str]:
    """Processes of a run on the head node that have a pattern in their command line."""
    found = {str(number) for number in cluster.processes_of(run_id)}
    named = cluster.execute(["pgrep", "-f", "--", pattern])[1].split() if pattern else found
    return sorted(found & {*named})


def kill_of(cluster: HadoopCluster, run_id: str, pattern: str) -> None:
    """Kill the processes of a run on the head node that have a pattern in their command line; all without one."""
    found = processes_of(cluster, run_id, pattern)
    assert found, pattern
    cluster.execute(["kill", "-KILL", *found])


def kill_on_workers(cluster: HadoopCluster, pattern: str) -> None:
    """Kill the processes on the workers that have a pattern in their command line."""
    assert 0 in {cluster.execute(["pkill", "-KILL", "-f", "--", pattern], node=node)[0] for node in NODES[1:]}
