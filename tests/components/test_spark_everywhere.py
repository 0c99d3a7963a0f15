"""One Spark project on every kind of target: `examples/spark` as it is, and a standalone master."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components import places
from tests.components.docker_projects import TOP, artifacts, completed, compute_file, submit
from tests.components.hadoop_cluster import HadoopCluster
from tests.repositories import make_repository
from tests.waiting import wait_until

EXAMPLE = Path(TOP) / "examples/spark"
START_S = 300.0
CLUSTER = {"type": "cluster", "userManagedEnvironment": True, "pythonLocation": "python3"}
HELPER = "from amltool import tracking\n\ndef double(number):\n    return 2 * number\n"
DOUBLES = """
from amltool import tracking
from parts.helper import double
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
tracking.log_metric("total", context.parallelize(range(10), 2).map(double).sum())
print("master", context.master)
"""
SMALL = "configuration: {spark.executor.memory: 500m, spark.ui.enabled: false}\n"
RUN_CONFIGURATION = (
    "ArgumentVector:\n- $file\nTarget: {}\nFramework: PySpark\nPrepareEnvironment: true\nTrackedRun: true\n"
)


@pytest.fixture
def spark_here(tmp_path: Path, hadoop_cluster: HadoopCluster) -> dict[str, object]:
    """A compute target of this machine with the Spark that the cluster has: it lies in the cache of the tests."""
    del hadoop_cluster  # with it Java and Spark are here
    [spark] = places.CACHE.glob("pyspark-*[0-9]")
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    [py4j] = spark.glob("pyspark/python/lib/py4j-*-src.zip")
    (packages / "spark.pth").write_text(f"{spark}\n{py4j}\n")
    return {
        "type": "local",
        "pythonLocation": str(folder / "bin/python"),
        "sparkSubmitLocation": str(spark / "bin/spark-submit"),
    }


@pytest.fixture
def local_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark on this machine asks nobody for the machine's name."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")


@pytest.mark.torture
@pytest.mark.usefixtures("local_address")
def test_the_example_comes_out_the_same_here_and_on_a_cluster(
    tmp_path: Path, spark_here: dict[str, object], hadoop_cluster: HadoopCluster
) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    hadoop_cluster.known_to(Path.home())
    cluster = {
        **CLUSTER,
        "address": hadoop_cluster.head,
        "username": hadoop_cluster.user,
        "privateKeyFile": str(hadoop_cluster.key),
    }
    local = (project / "aml_config/local.runconfig").read_text()
    make_repository(
        project,
        {
            "aml_config/local.compute": compute_file(spark_here),
            "aml_config/hdi.compute": compute_file(cluster),
            "aml_config/hdi.runconfig": re.sub("Target: .*", "Target: hdi", local),
        },
    )

    first = completed(submit(project, "count.py", target="local", arguments=("2000",)))
    verdict = amltool(project, "rerun", first["run_id"], "--target", "hdi").stdout
    compared = amltool(project, "compare", first["run_id"], "@").stdout

    assert any(re.fullmatch(r"outputs/counts/part-00000-.*\.csv", path) for path in artifacts(first))
    assert "Verdict: reproduced\n" in verdict
    assert first["environment"]["spark"] == _spark_version()
    assert all(word in compared for word in ("target", "cluster", "compute"))


def _spark_version() -> str:
    [spark] = places.CACHE.glob("pyspark-*[0-9]")
    return spark.name.partition("-")[2]


class _Standalone:
    """A standalone master and one worker, which are processes of this machine."""

    def __init__(self, folder: Path) -> None:
        [spark] = places.CACHE.glob("pyspark-*[0-9]")
        self._folder, self._home = folder, spark / "pyspark"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def start(self) -> None:
        package = "org.apache.spark.deploy"
        common = ("--host", "127.0.0.1", "--webui-port", "0")
        self._run("master", f"{package}.master.Master", *common, "--port", "0")
        self.address = self._said("master", r"(spark://127\.0\.0\.1:[0-9]+)")
        self._run("worker", f"{package}.worker.Worker", *common, "-c", "1", "-m", "600m", self.address)
        self._said("worker", r"(Successfully registered with master)")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()

    def _run(self, name: str, *words: str) -> None:
        variables = {
            **os.environ,
            "SPARK_HOME": str(self._home),
            "SPARK_DAEMON_MEMORY": "200m",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_WORKER_DIR": str(self._folder / "worker"),
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            words = (str(self._home / "bin/spark-class"), *words)
            self._processes.append(
                subprocess.Popen(words, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _said(self, name: str, pattern: str) -> str:
        log = self._folder / f"{name}.log"
        wait_until(lambda: re.search(pattern, log.read_text(errors="replace")) is not None, START_S)
        found = re.search(pattern, log.read_text(errors="replace"))
        assert found is not None
        return found[1]


@pytest.fixture
def standalone(tmp_path: Path, spark_here: dict[str, object], local_address: None) -> Iterator[_Standalone]:
    del spark_here, local_address
    made = _Standalone(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.torture
def test_a_run_computes_on_a_standalone_master(
    tmp_path: Path, spark_here: dict[str, object], standalone: _Standalone
) -> None:
    project = make_repository(
        tmp_path / "project",
        {
            "train.py": DOUBLES,
            "parts/helper.py": HELPER,
            "aml_config/many.compute": compute_file({**spark_here, "master": standalone.address}),
            "aml_config/many.runconfig": RUN_CONFIGURATION.format("many"),
            "aml_config/spark_dependencies.yml": SMALL,
        },
    )

    done = submit(project, target="many")

    assert completed(done)["metrics"]["total"]["last"] == 90
    assert f"master {standalone.address}\n" in done.printed
