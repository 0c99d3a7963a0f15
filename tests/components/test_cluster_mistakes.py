"""Mistakes of users and clusters: a run says it in one sentence with its remedy; nothing is lost, nothing stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.cluster_projects import END_S, MODES, console, ended, make, shown, start, wait_for_console
from tests.components.docker_projects import artifact, artifacts, client, completed, compute_file, submit, unfinished
from tests.components.hadoop_cluster import HEAD, HadoopCluster
from tests.components.remote_projects import Client
from tests.waiting import wait_until

torture = pytest.mark.torture
COUNT = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print("rows", spark.range(20).count(), sys.argv[1:], flush=True)
open("outputs/result of it.txt", "w").write("result")
spark.range(20).coalesce(1).write.json("outputs/with blank")
"""
WAITS = """
import os, sys, time
from amltool import tracking
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
tracking.log_metric("steps", 7)
print("begun", flush=True)
number = 0
while not os.path.exists(sys.argv[1]):
    number += 1
    print("step", number, flush=True)
    time.sleep(0.2)
print("ended", context.parallelize(range(8), 2).sum(), flush=True)
"""
FILES = {"count.py": COUNT, "waits.py": WAITS, "a folder/count it.py": COUNT}
NODES = (HEAD, "wn0-aml", "wn1-aml")


@pytest.fixture
def project(tmp_path: Path, hadoop_cluster: HadoopCluster) -> Path:
    return make(tmp_path / "project", hadoop_cluster, FILES)


@pytest.fixture
def alone(tmp_path: Path, hadoop_cluster_alone: HadoopCluster) -> Path:
    """A project whose test has the cluster for itself; the environment is there."""
    made = make(tmp_path / "project", hadoop_cluster_alone, FILES)
    amltool(made, "prepare", "--target", "client")
    return made


def of_hdfs(cluster: HadoopCluster, *words: str) -> None:
    """Run a command as HDFS's superuser."""
    code, said = cluster.execute(["hdfs", *words], user="hdfs")
    assert code == 0, said


def fails(project: Path, mode: str, reason: str, cluster: HadoopCluster, script: str = "count.py") -> str:
    """A run fails with a reason, and leaves nothing; the run's id."""
    done = submit(project, script, target=mode)
    assert (done.record["status"], done.exit_code) == ("Failed", 1), done.said
    assert reason in done.record["reason"], done.record["reason"]
    assert reason in done.said
    assert unfinished(project) == []
    cluster.nothing_is_left(done.record["run_id"])
    return str(done.record["run_id"])


def works(project: Path, mode: str) -> None:
    """The mistake is put right, and the same project runs."""
    assert "rows 20" in completed_of(project, mode)


def completed_of(project: Path, mode: str) -> str:
    done = submit(project, "count.py", target=mode)
    completed(done)
    return done.printed


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_file_system_in_safe_mode_is_the_reason(mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster) -> None:
    of_hdfs(hadoop_cluster_alone, "dfsadmin", "-safemode", "enter")
    try:
        fails(alone, mode, "the cluster's file system is in safe mode: wait, or", hadoop_cluster_alone)
    finally:
        of_hdfs(hadoop_cluster_alone, "dfsadmin", "-safemode", "leave")
    works(alone, mode)


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_quota_that_is_used_up_is_the_reason(mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster) -> None:
    home = f"/user/{hadoop_cluster_alone.user}"
    of_hdfs(hadoop_cluster_alone, "dfsadmin", "-setSpaceQuota", "1k", home)
    try:
        fails(alone, mode, "the quota of this user is used up: make room there", hadoop_cluster_alone)
        checked = amltool(alone, "targets", "--check", check=False)
    finally:
        of_hdfs(hadoop_cluster_alone, "dfsadmin", "-clrSpaceQuota", home)
    assert "is used up" in checked.stdout + checked.stderr
    works(alone, mode)


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_head_node_without_java_is_the_reason(mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster) -> None:
    assert hadoop_cluster_alone.execute(["mv", "/usr/bin/java", "/usr/bin/java.away"])[0] == 0
    try:
        fails(alone, mode, "there is no Java on the head node: set JAVA_HOME", hadoop_cluster_alone)
        checked = amltool(alone, "targets", "--check", check=False)
    finally:
        assert hadoop_cluster_alone.execute(["mv", "/usr/bin/java.away", "/usr/bin/java"])[0] == 0
    assert "There is no Java on" in checked.stdout + checked.stderr
    works(alone, mode)


@torture
def test_a_password_that_is_expired_is_said_and_nothing_is_lost(
    alone: Path, hadoop_cluster_alone: HadoopCluster
) -> None:
    cluster = hadoop_cluster_alone
    run_id = start(alone, "client", "waits.py", f"/tmp/{uuid.uuid4().hex}")
    wait_for_console(alone, run_id, "begun")
    assert cluster.execute(["chage", "-d", "0", cluster.user])[0] == 0
    try:
        refused = amltool(alone, "submit", "count.py", "--target", "client", check=False)
    finally:
        assert cluster.execute(["chage", "-d", "99999", cluster.user])[0] == 0
    assert refused.returncode == 1, refused.stderr
    assert "expired" in refused.stderr
    assert unfinished(alone) == [run_id]
    amltool(alone, "cancel", run_id)
    cluster.nothing_is_left(run_id)


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_loses_all_workers_says_so_or_goes_on_when_they_are_back(
    mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster
) -> None:
    cluster = hadoop_cluster_alone
    run_id = start(alone, mode, "waits.py", f"/tmp/{uuid.uuid4().hex}")
    wait_for_console(alone, run_id, "begun")
    for node in NODES[1:]:
        subprocess.run(["docker", "kill", cluster.container(node)], check=True, capture_output=True)
    metrics = f"http://{HEAD}:8088/ws/v1/cluster/metrics"
    wait_until(lambda: '"activeNodes":0' in cluster.execute(["curl", "-s", metrics])[1], END_S)
    if mode == "client":  # the script is on the head node, and would wait for executors
        amltool(alone, "cancel", run_id)

    for node in NODES[1:]:  # `up` alone would make them anew, without the blocks of HDFS
        subprocess.run(["docker", "start", cluster.container(node)], check=True, capture_output=True)
    cluster.up()
    found = ended(alone, run_id)

    assert found["status"] == ("Canceled" if mode == "client" else "Failed")
    assert mode == "client" or "the driver was lost" in found["reason"], found["reason"]
    cluster.nothing_is_left(run_id)


@torture
@pytest.mark.parametrize("mode", MODES)
def test_a_connection_that_is_silent_for_a_while_loses_and_doubles_nothing(
    mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster
) -> None:
    cluster, word = hadoop_cluster_alone, f"/tmp/{uuid.uuid4().hex}"
    follower = Client(alone, "submit", "waits.py", "--target", mode, "--", word)
    follower.prints("begun", END_S)
    run_id = follower.run_id
    assert run_id is not None

    cluster.execute(["pkill", "-STOP", "-x", "sshd"])  # what one sees who sits behind a network that was cut
    try:
        follower.says("unreachable", END_S)
        for node in NODES:
            cluster.execute(["touch", word], node=node)
    finally:
        cluster.execute(["pkill", "-CONT", "-x", "sshd"])

    assert follower.end(END_S) == 0, follower.said
    assert "ended 28\n" in follower.printed
    assert follower.printed.count("begun\n") == 1
    assert console(alone, run_id) in follower.printed
    steps = [int(line.split()[1]) for line in follower.printed.splitlines() if line.startswith("step ")]
    assert steps == list(range(1, len(steps) + 1))
    assert shown(alone, run_id)["metrics"]["steps"]["last"] == 7
    cluster.nothing_is_left(run_id)


@pytest.mark.parametrize("mode", ["client", pytest.param("cluster", marks=torture)])
def test_a_setting_that_spark_cannot_read_is_said(mode: str, tmp_path: Path, hadoop_cluster: HadoopCluster) -> None:
    project = make(tmp_path / "project", hadoop_cluster, FILES, spark_executor_memory="lots")

    run_id = fails(project, mode, "a value in spark_dependencies.yml is not as Spark reads it: ", hadoop_cluster)

    assert hadoop_cluster.applications(run_id) == []


@torture
@pytest.mark.parametrize("mode", MODES)
def test_blanks_in_names_are_kept(mode: str, project: Path, tmp_path: Path, hadoop_cluster: HadoopCluster) -> None:
    done = submit(project, "a folder/count it.py", target=mode, arguments=("a b", "", "c'd\"e", "$HOME *"))

    found = completed(done)
    assert "rows 20 " + repr(["a b", "", "c'd\"e", "$HOME *"]) in done.printed
    assert "outputs/with blank/_SUCCESS" in artifacts(found)
    assert artifact(project, "outputs/result of it.txt", tmp_path / "result") == b"result"
    hadoop_cluster.nothing_is_left(found["run_id"])


@torture
@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_once_lets_the_run_go_on_and_it_can_be_shown(
    mode: str, project: Path, hadoop_cluster: HadoopCluster
) -> None:
    word = f"/tmp/{uuid.uuid4().hex}"
    process = client(project, "submit", "waits.py", "--target", mode, "--", word)
    run_id = id_when_begun(process)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=END_S)

    assert process.returncode == 130, said
    assert b"amltool logs -f" in said
    going = shown(project, run_id)
    assert going["status"] == "Running", going
    assert run_id in amltool(project, "show", run_id).stdout
    for node in NODES:
        hadoop_cluster.execute(["touch", word], node=node)
    found = ended(project, run_id)
    assert found["status"] == "Completed", found["reason"]
    assert found["metrics"]["steps"]["last"] == 7
    assert len(hadoop_cluster.applications(run_id)) == 1
    hadoop_cluster.nothing_is_left(run_id)


@torture
@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_twice_cancels_the_run(mode: str, project: Path, hadoop_cluster: HadoopCluster) -> None:
    process = client(project, "submit", "waits.py", "--target", mode, "--", f"/tmp/{uuid.uuid4().hex}")
    run_id = id_when_begun(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    for line in process.stderr:
        if b"Ctrl-C again within two seconds" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=END_S)

    assert process.returncode == 130, said
    assert shown(project, run_id)["status"] == "Canceled"
    hadoop_cluster.nothing_is_left(run_id)


def id_when_begun(process: subprocess.Popen[bytes]) -> str:
    """The run's id, when its script has begun."""
    assert process.stdout is not None
    assert process.stderr is not None
    run_id = next(found[1].decode() for line in process.stderr if (found := re.match(rb"RunId: (\S+)", line)))
    assert any(line == b"begun\n" for line in process.stdout)
    return run_id


@torture
@pytest.mark.parametrize("word", ["cluster", "native"])
def test_computes_of_the_ancestor_run(word: str, tmp_path: Path, hadoop_cluster: HadoopCluster) -> None:
    compute = {"address": hadoop_cluster.head, "username": hadoop_cluster.user}
    compute |= {"privateKeyFile": str(hadoop_cluster.key), word: True}
    files = {**FILES, "aml_config/old.compute": compute_file({"type": "cluster", **compute})}
    files["aml_config/old.runconfig"] = "Target: old\nFramework: PySpark\nPrepareEnvironment: true\n"
    project = make(tmp_path / "project", hadoop_cluster, files)

    done = submit(project, "count.py", target="old")

    found = completed(done)
    assert found["target_type"] == "cluster"
    [application] = hadoop_cluster.applications(found["run_id"])
    assert application["finalStatus"] == "SUCCEEDED"


@torture
@pytest.mark.parametrize("mode", MODES)
def test_an_archive_that_somebody_removed_is_put_there_again(
    mode: str, alone: Path, hadoop_cluster_alone: HadoopCluster
) -> None:
    cluster, folder = hadoop_cluster_alone, ".amltool/environments"
    before = cluster.files(folder)
    assert before
    code, said = cluster.execute(["hadoop", "fs", "-rm", "-r", "-skipTrash", folder], user=cluster.user)
    assert code == 0, said

    works(alone, mode)

    assert {*cluster.files(folder)} <= {*before}
    assert cluster.files(folder)


@torture
def test_an_archive_without_its_environment_is_listed_and_cleaned(project: Path, hadoop_cluster: HadoopCluster) -> None:
    key = uuid.uuid4().hex
    place = f".amltool/environments/{key}.tar.gz"
    put = f"hadoop fs -mkdir -p .amltool/environments && echo archive | hadoop fs -put - {place}"
    assert hadoop_cluster.execute(["bash", "-c", put], user=hadoop_cluster.user)[0] == 0

    listed = amltool(project, "clean", "--target", "client", "--environments").stdout

    assert f"{key}.tar.gz" in hadoop_cluster.files(".amltool/environments"), "listed, not removed"
    assert place in listed
    code, said = hadoop_cluster.execute(["hadoop", "fs", "-rm", "-skipTrash", place], user=hadoop_cluster.user)
    assert code == 0, said
