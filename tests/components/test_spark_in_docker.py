"""PySpark on a Docker target, for real: ``pyspark`` and what notebooks need come from the package index, once."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool
from tests.notebooks import NEEDED, notebook, printed
from tests.repositories import make_repository
from tests.waiting import promised

TOP = Path(__file__).parents[2]
CSV = TOP / "examples" / "iris" / "iris.csv"
BUILD_S = 1200
"""How long an image may take: 500 MB come from the package index."""
pytestmark = pytest.mark.timeout(BUILD_S + 60)
PACKAGES = ["pyspark", *NEEDED]
RUN_CONFIGURATION = (
    'ArgumentVector:\n- "$file"\nTarget: "docker"\nFramework: "PySpark"\nPrepareEnvironment: true\nTrackedRun: true\n'
)
COUNT = """
from amltool import tracking
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
rows = spark.read.csv("measured.csv", header=True, inferSchema=True)
species = rows.columns[-1]
tracking.log_metric("rows", rows.count())
with open("outputs/counts.txt", "w") as stream:
    for row in rows.groupBy(species).count().orderBy(species).collect():
        stream.write("%s %d\\n" % (row[0], row[1]))
rows.groupBy(species).count().write.csv("outputs/counts")
print(spark.sparkContext.appName, spark.sparkContext.master)
"""
RESOURCE = """
from pyspark.sql import SparkSession

jvm = SparkSession.builder.getOrCreate()._jvm
loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
print("from the jar:", jvm.java.lang.String(loader.getResourceAsStream("tiny.txt").readAllBytes()))
"""
SPARK_DEPENDENCIES = """
configuration: {spark.app.name: with a package}
repositories: [maven]
packages: [{group: org.example, artifact: tiny, version: "1.0"}]
"""
POM = (
    "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>tiny</artifactId>"
    "<version>1.0</version></project>"
)
MakeProject = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, spark_image: str, ca_certificates: Path | None, package_index: None) -> MakeProject:
    """Makes a project with the run configuration ``docker-spark``; of one name, so that all share one image."""

    def made(files: dict[str, bytes | str]) -> Path:
        compute = f'type: "localdocker"\nbaseDockerImage: "{spark_image}"\nsharedVolumes: true\n'
        if ca_certificates is not None:
            compute += f'caCertificates: "{ca_certificates}"\n'
        lines = "".join(f"  - {package}\n" for package in PACKAGES)
        configuration = {
            "aml_config/docker.compute": compute,
            "aml_config/docker-spark.runconfig": RUN_CONFIGURATION,
            "aml_config/conda_dependencies.yml": f"dependencies:\n- python\n- pip:\n{lines}",
        }
        return make_repository(tmp_path / "counts-with-spark", {**configuration, **files})

    return made


def submitted(folder: Path, script: str, *arguments: str) -> dict[str, Any]:
    """Submit and give the record, however the script ended; the first time it waits for the image."""
    words = [script, "-c", "docker-spark", "--json", *(("--", *arguments) if arguments else ())]
    done = subprocess.run(
        [sys.executable, "-m", "amltool", "submit", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(TOP)}, capture_output=True, timeout=BUILD_S,
    )  # fmt: skip
    assert done.stdout, done.stderr.decode()[-3000:]
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def artifact(folder: Path, record: dict[str, Any], path: str) -> Path:
    download = folder.parent / "downloaded"
    amltool(folder, "outputs", record["run_id"], f"--path={path}", f"--download={download}")
    return download / path


def console(folder: Path, record: dict[str, Any]) -> str:
    return amltool(folder, "logs", record["run_id"]).stdout


def containers() -> str:
    return subprocess.run(["docker", "ps", "-a"], capture_output=True, text=True, check=True).stdout


def tiny_jar() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as jar:
        jar.writestr("tiny.txt", "hello")
    return content.getvalue()


def test_a_script_counts_a_csv_and_its_outputs_are_collected(project: MakeProject) -> None:
    measured = CSV.read_text()
    rows = list(csv.reader(io.StringIO(measured)))[1:]
    species = sorted({row[-1] for row in rows})
    folder = project({"count.py": COUNT, "measured.csv": measured})
    record = submitted(folder, "count.py")
    assert (record["status"], record["exit_code"]) == ("Completed", 0), console(folder, record)
    assert record["framework"] == "PySpark"
    assert record["metrics"]["rows"]["last"] == len(rows)
    counted = artifact(folder, record, "outputs/counts.txt")
    expected = "".join(f"{name} {sum(row[-1] == name for row in rows)}\n" for name in species)
    assert counted.read_text() == expected
    assert any(one["path"].startswith("outputs/counts/part-") for one in record["artifacts"])
    assert "count.py local[*]\n" in console(folder, record)


@pytest.mark.parametrize(
    ("ending", "exit_code", "signal"),
    [("sys.exit(137)", 137, None), ("os.kill(os.getpid(), 9)", None, "SIGKILL")],
)
def test_how_a_script_ends_is_exact(
    project: MakeProject, ending: str, exit_code: int | None, signal: str | None
) -> None:
    folder = project({"end.py": f"import os, sys\nprint(ascii(sys.argv[1:]))\nsys.stdout.flush()\n{ending}\n"})
    given = ["a b", "é\r\n", ""]
    record = submitted(folder, "end.py", *given)
    assert (record["status"], record["exit_code"], record["signal"]) == ("Failed", exit_code, signal)
    assert f"{given!a}\n" in console(folder, record)


def test_a_package_comes_from_a_repository_in_the_project(project: MakeProject) -> None:
    below = "maven/org/example/tiny/1.0/tiny-1.0"
    folder = project(
        {
            "use.py": RESOURCE,
            "aml_config/spark_dependencies.yml": SPARK_DEPENDENCIES,
            f"{below}.jar": tiny_jar(),
            f"{below}.pom": POM,
        }
    )
    record = submitted(folder, "use.py")
    assert record["status"] == "Completed", console(folder, record)
    assert "from the jar: hello\n" in console(folder, record)


def test_a_notebook_has_the_spark_that_was_started_for_it(project: MakeProject) -> None:
    folder = project(
        {
            "analysis.ipynb": notebook(
                "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()",
                "print(spark.range(n).count(), spark.sparkContext.appName)",
                parameters="n = 1",
            )
        }
    )
    record = submitted(folder, "analysis.ipynb", "n=7")
    assert record["status"] == "Completed", console(folder, record)
    assert printed(artifact(folder, record, "outputs/analysis.ipynb").read_bytes()) == "7 analysis.ipynb\n"


def test_a_canceled_run_leaves_no_container(project: MakeProject) -> None:
    folder = project(
        {
            "wait.py": "import time\nfrom pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
            "print('up', flush=True)\nspark.sparkContext.range(2).map(lambda _: time.sleep(600)).collect()\n"
        }
    )
    words = [sys.executable, "-m", "amltool", "submit", "wait.py", "-c", "docker-spark", "--detach", "--json"]
    started = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(TOP)}, capture_output=True, check=True, timeout=BUILD_S
    )
    run_id = json.loads(started.stdout)["run_id"]
    until = time.monotonic() + BUILD_S
    while "up\n" not in amltool(folder, "logs", run_id).stdout:
        assert time.monotonic() < until
        time.sleep(0.5)
    assert run_id in containers()
    asked = time.monotonic()
    amltool(folder, "cancel", run_id)
    assert time.monotonic() - asked < promised(20)
    assert json.loads(amltool(folder, "show", run_id, "--json").stdout)["status"] == "Canceled"
    assert run_id not in containers()


SECRETIVE = """
import glob, os
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
secret = spark.conf.get("spark.hadoop.secret.key")
print("has", len(secret), secret[::-1], spark.conf.get("spark.kept"), spark.sparkContext.master)
for path in glob.glob("/proc/[0-9]*/cmdline"):
    with open(path, "rb") as stream:
        line = stream.read()
    assert secret.encode() not in line, line
    assert b"java" not in line or b"--properties-file" in line, line
print(secret)
"""
PRIVATE_DEPENDENCIES = """
configuration:
  spark.hadoop.secret.key: "${env:SPARK_CANARY}"
  spark.kept: beside
"""


def test_a_secret_reaches_spark_and_no_command_line_and_no_log(
    project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_CANARY", "canary/ä = 2018")
    folder = project({"secret.py": SECRETIVE, "aml_config/spark_dependencies.yml": PRIVATE_DEPENDENCIES})
    record = submitted(folder, "secret.py")
    printed_there = console(folder, record)
    assert record["status"] == "Completed", printed_there
    assert "has 15 8102 = ä/yranac beside local[*]\n" in printed_there
    assert "canary" not in printed_there
    assert "canary" not in json.dumps(record)
