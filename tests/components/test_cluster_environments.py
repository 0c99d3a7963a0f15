"""The environment of a run on a Hadoop cluster: Blob storage as the default file system, Pythons of the nodes, packages
that the head node cannot get itself, conda's, and secrets in the Spark dependencies.

All are tests of `make torture`: each waits for containers that the other tests of a cluster may have taken.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import artifact, artifacts, completed, compute_file, submit, unfinished
from tests.components.hadoop_cluster import HadoopCluster
from tests.environments.conda_channel import make_channel
from tests.environments.wheel_index import serving, wheel, wheel_name
from tests.repositories import make_repository

pytestmark = pytest.mark.torture

RUN_CONFIGURATION = "ArgumentVector:\n- $file\nTarget: {}\nFramework: PySpark\nPrepareEnvironment: true\n"
SETTINGS = "configuration:\n  spark.executor.instances: 1\n  spark.sql.shuffle.partitions: 2\n"
SECRET = "spark.hadoop.fs.azure.account.key.other.blob.core.windows.net"
TRAIN = f"""
import hashlib, os, sys, urllib.request
import attr
from amltool import tracking
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
context = spark.sparkContext
versions = context.parallelize([0], 1).map(lambda _: __import__("attr").__version__).collect()
tracking.log_metric("rows", spark.range(20).count())
spark.range(20).coalesce(1).write.mode("overwrite").json("outputs/numbers")
open("outputs/result.txt", "w").write("%s %s" % (attr.__version__, versions))
open("logs/training.log", "w").write("log")
print("on", context._jsc.hadoopConfiguration().get("fs.defaultFS"))

key = context._jsc.hadoopConfiguration().get({SECRET.partition("hadoop.")[2]!r}) or ""
print("key", hashlib.sha256(key.encode()).hexdigest())
page = "http://hn0-aml:8088/proxy/%s/environment/" % context.applicationId
open("outputs/page.html", "wb").write(urllib.request.urlopen(page, timeout=60).read())
with open("outputs/processes.txt", "wb") as stream:
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            stream.write(open("/proc/%s/cmdline" % number, "rb").read() + b"\\n")
        except OSError:
            pass
"""
HELLO = """
import greeting, os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
there = spark.sparkContext.parallelize([0], 1).map(lambda _: __import__("greeting").greet()).collect()
print("said", greeting.greet(), there)
"""
ATTRS = "dependencies:\n- python>=3.8\n- pip:\n  - attrs==23.2.0\n"


def project_for(folder: Path, cluster: HadoopCluster, conda: str = ATTRS, **compute: object) -> Path:
    """A project with a target for each deploy mode."""
    cluster.known_to(Path.home())
    files: dict[str, bytes | str] = {
        "train.py": TRAIN,
        "hello.py": HELLO,
        "aml_config/conda_dependencies.yml": conda,
        "aml_config/spark_dependencies.yml": f"{SETTINGS}  {SECRET}: ${{env:STORAGE_KEY}}\n",
    }
    way = {"type": "cluster", "address": cluster.head, "username": cluster.user, "privateKeyFile": str(cluster.key)}
    for mode in ("client", "cluster"):
        files[f"aml_config/{mode}.compute"] = compute_file({**way, "yarnDeployMode": mode, **compute})
        files[f"aml_config/{mode}.runconfig"] = RUN_CONFIGURATION.format(mode)
    return make_repository(folder / "project", files)


@pytest.mark.usefixtures("package_index")
def test_with_blob_storage_as_the_default_file_system_both_modes_work(
    blob_cluster: HadoopCluster, tmp_path: Path
) -> None:
    """In one test, since both share what takes long: the cluster and the environment."""
    project = project_for(tmp_path, blob_cluster)
    secret = f"canary{uuid.uuid4().hex}"
    assert blob_cluster.default_fs.startswith("wasb://")

    for mode in ("cluster", "client"):
        done = submit(project, target=mode, STORAGE_KEY=secret)

        found = completed(done)
        assert f"on {blob_cluster.default_fs}" in done.printed
        assert found["metrics"]["rows"]["last"] == 20
        assert {"outputs/numbers/_SUCCESS", "logs/training.log"} <= {*artifacts(found)}
        assert artifact(project, "outputs/result.txt", tmp_path / f"result-{mode}") == b"23.2.0 ['23.2.0']"
        assert blob_cluster.application(found["application_id"])["finalStatus"] == "SUCCEEDED"
        assert ("Building" in done.said) == (mode == "cluster"), "the second run has the environment of the first"
        assert unfinished(project) == []
        blob_cluster.nothing_is_left(found["run_id"])
        _no_secret(project, tmp_path / mode, secret, done.printed)


def _no_secret(project: Path, folder: Path, secret: str, printed: str) -> None:
    """The script had the secret, and neither a command line beside it nor Spark's page showed it."""
    assert f"key {hashlib.sha256(secret.encode()).hexdigest()}" in printed
    page = artifact(project, "outputs/page.html", folder / "page")
    processes = artifact(project, "outputs/processes.txt", folder / "processes")
    assert SECRET.encode() in page
    assert b"java" in processes
    assert secret.encode() not in page + processes


def test_a_python_that_the_nodes_do_not_have_is_refused_with_what_they_have(
    hadoop_cluster: HadoopCluster, tmp_path: Path
) -> None:
    folder = f"/home/{hadoop_cluster.user}/python-{uuid.uuid4().hex}"
    python = f"{folder}/python3"
    copied = ["sh", "-c", f"mkdir {folder} && cp /usr/bin/python3 {python}"]
    assert hadoop_cluster.execute(copied, user=hadoop_cluster.user)[0] == 0
    project = project_for(tmp_path, hadoop_cluster, "dependencies: [python]\n", pythonLocation=python)

    refused = amltool(project, "prepare", "--target", "cluster", check=False)

    assert refused.returncode == 1, refused.stderr
    assert f"would be made with {python}" in refused.stderr
    assert "which the nodes of the cluster do not have. They have Python 3." in refused.stderr
    assert "conda's own Python travels" in refused.stderr
    assert hadoop_cluster.execute(["rm", "-r", folder])[0] == 0


@pytest.mark.usefixtures("package_index")
def test_packages_of_a_head_node_without_an_index_are_got_here_and_sent(
    hadoop_cluster: HadoopCluster, tmp_path: Path
) -> None:
    project_name = f"sample_{uuid.uuid4().hex[:8]}"
    wheels = {path.name: path.read_bytes() for path in _download(tmp_path / "real", "venv-pack", "setuptools<81")}
    wheels[wheel_name(project_name, "1.0")] = wheel(project_name, "1.0")
    conda = f"dependencies:\n- python\n- pip:\n  - {project_name}\n"
    with serving(wheels) as index:  # on the head node nothing answers at this address
        project = project_for(tmp_path, hadoop_cluster, conda, pip={"indexUrl": index.url})
        done = amltool(project, "prepare", "--target", "client", check=False, PIP_FIND_LINKS="")
        again = amltool(project, "prepare", "--target", "client", "--check", check=False)

    assert done.returncode == 0, done.stderr
    assert "reaches no package index: the packages are got here and sent." in done.stderr
    assert "Sending 3 packages" in done.stderr
    assert again.returncode == 0, again.stderr


def _download(folder: Path, *packages: str) -> list[Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *packages]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


@pytest.mark.usefixtures("package_index")
def test_conda_packages_travel_with_their_python(hadoop_cluster: HadoopCluster, tmp_path: Path) -> None:
    asked = "import os, platform, sys; print(os.path.realpath(sys.executable), platform.python_version())"
    python, version = hadoop_cluster.execute(["python3", "-c", asked])[1].split()
    make_channel(tmp_path / "channel", python=python, version=version, packable=True)
    there = f"/home/{hadoop_cluster.user}/channel-{uuid.uuid4().hex}"
    copied = subprocess.run(
        ["docker", "cp", str(tmp_path / "channel"), f"{hadoop_cluster.container('hn0-aml')}:{there}"]
    )
    assert copied.returncode == 0
    conda = f"channels: ['file://{there}']\ndependencies: [python, greeting, phrases=1.0]\n"
    project = project_for(tmp_path, hadoop_cluster, conda)

    for mode in ("cluster", "client"):
        done = submit(project, "hello.py", target=mode, STORAGE_KEY="unused")
        completed(done)
        assert "said hello ['hello']" in done.printed
    hadoop_cluster.execute(["rm", "-r", there])
