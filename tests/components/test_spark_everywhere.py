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

PLAIN_SPARK = "/opt/spark/bin/spark-submit"
"""On the head node: Spark as any machine has it, without the settings of the cluster."""
EXAMPLE = Path(TOP) / "examples/spark"
START_S = 300.0
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


@pytest.fixture
def example(
    tmp_path: Path,
    spark_here: dict[str, object],
    spark_image: str,
    ca_certificates: Path | None,
    hadoop_cluster: HadoopCluster,
) -> Path:
    """`examples/spark` as it is, with a target of each kind; the machine over SSH is the cluster's head node, where
    Spark computes by itself."""
    hadoop_cluster.known_to(Path.home())
    there = {"address": hadoop_cluster.head, "username": hadoop_cluster.user, "privateKeyFile": str(hadoop_cluster.key)}
    certificates = {} if ca_certificates is None else {"caCertificates": str(ca_certificates)}
    computes: dict[str, dict[str, object]] = {
        "local": spark_here,
        "docker": {"type": "localdocker", "baseDockerImage": spark_image, **certificates},
        "remote": {
            "type": "remote",
            "userManagedEnvironment": True,
            "pythonLocation": "python3",
            "master": "local[2]",
            "sparkSubmitLocation": PLAIN_SPARK,
            **there,
        },
        "hdi": {"type": "cluster", **there},
    }
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    files: dict[str, bytes | str] = {}
    configuration = (project / "aml_config/local.runconfig").read_text()
    for name, compute in computes.items():
        files[f"aml_config/{name}.compute"] = compute_file(compute)
        files[f"aml_config/{name}.runconfig"] = re.sub("Target: .*", f"Target: {name}", configuration)
    return make_repository(project, files)


@pytest.mark.torture
@pytest.mark.usefixtures("local_address", "package_index")
def test_the_example_comes_out_the_same_on_every_kind_of_target(example: Path, hadoop_cluster: HadoopCluster) -> None:
    first = completed(submit(example, "count.py", target="local", arguments=("2000",)))
    assert any(re.fullmatch(r"outputs/counts/part-00000-.*\.csv", path) for path in artifacts(first))
    assert first["environment"]["spark"] == _spark_version()

    for target in ("remote", "hdi", "docker"):
        done = amltool(example, "rerun", first["run_id"], "--target", target, check=False)
        compared = amltool(example, "compare", first["run_id"], "@").stdout

        assert "Verdict: reproduced\n" in done.stdout, f"{target}\n{done.stdout}\n{done.stderr}"
        assert all(word in compared for word in ("target", target)), compared

    trained = completed(submit(example, "train.py", target="hdi"))
    assert trained["metrics"]["accuracy"]["last"] > 0.8
    hadoop_cluster.nothing_is_left(trained["run_id"])


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
