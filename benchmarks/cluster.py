"""What `submit` to a Hadoop cluster costs beside a bare ``spark-submit`` on its head node, and what it sends.

The cluster is the tests' one (HDFS, YARN and Spark in containers of this machine). The floor is ``spark-submit`` of the
same script in the same deploy mode with the same environment archive, without a login; it keeps and records nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from another_machine import change_a_megabyte
from link import Line, Shape, shaped
from measuring import BenchmarkError, Command, Figure, Pair, pair, seconds
from overhead import require_runs
from sized_project import MEGABYTE, SizedProject, make_sized_project
from surroundings import REPOSITORY, Surroundings, surroundings

NAME = "cluster"
MODES = ("client", "cluster")
RATIO_TARGET, MOST_MORE_S, MOST_SENT_MB, FASTER_TARGET = 1.25, 3.0, 2.0, 1.0
ROUNDS = 5
DATA_GB = float(os.environ.get("AMLTOOL_BENCHMARK_GB", "2"))
"""Of the data set that one worker and two read; a small machine takes less."""
ROW_BYTES = 46
CLUSTER = "amltool-benchmark"
SCRIPT = REPOSITORY / "tests/components/hadoop/cluster.sh"
WIDE = Shape(round_trip_s=0.0, bits_per_s=100e9)
"""A line that is only there to count what goes over it."""
SMALL = (
    "spark.executor.instances: {}\n  spark.executor.cores: 1\n  spark.executor.memory: 512m\n  spark.ui.enabled: false"
)
SUM = """
import attr
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(attr.__version__, spark.range(1000000).selectExpr("sum(id)").collect())
"""
GENERATE = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
rows = spark.range(int(sys.argv[1]), numPartitions=32).selectExpr("id", "uuid()")
rows.write.mode("overwrite").csv("/user/sshuser/benchmark-data")
"""
READ = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(spark.read.csv("/user/sshuser/benchmark-data").selectExpr("sum(hash(_c0, _c1))").collect())
"""


def absence() -> str | None:
    """Why this cannot be measured here, ``None`` where it can."""
    for program in ("docker", "mvn", "ssh-keygen", "curl"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if subprocess.run(("docker", "info"), capture_output=True).returncode:
        return "Docker does not answer"
    return None


@dataclass(slots=True)
class Cluster:
    """The cluster that runs, a project with a target for each deploy mode, and the line that counts."""

    project: SizedProject
    line: Line

    def submit(self, configuration: str, script: str = "sum.py", *arguments: str) -> float:
        """Seconds for a whole submit, followed to its end."""
        words = ("submit", script, "-c", configuration, *(("--", *arguments) if arguments else ()))
        return seconds(self.project.surroundings.program(self.project.folder, "amltool", *words))

    def bare(self, mode: str) -> float:
        """Seconds for ``spark-submit`` of the same script on the head node."""
        archive = self.run_there("hadoop fs -ls -C .amltool/environments").split()[0]
        python = "./environment/bin/python"
        driver = f"$(ls -d ~/.amltool/environments/{Path(archive).name.partition('.')[0]}/environment)/bin/python"
        words = (
            f"cd ~/bare && PYSPARK_PYTHON={python} PYSPARK_DRIVER_PYTHON={python if mode == 'cluster' else driver} "
            f"spark-submit --master yarn --deploy-mode {mode} --archives hdfs:///user/sshuser/{archive}#environment "
            f"--conf spark.yarn.appMasterEnv.PYSPARK_PYTHON={python} --conf spark.executor.instances=1 "
            "--conf spark.executor.cores=1 --conf spark.executor.memory=512m --conf spark.ui.enabled=false sum.py"
        )
        return seconds(_there(words))

    def run_there(self, words: str) -> str:
        return _there(words).run().decode()


def measure(programs: Path, rounds: int) -> Iterator[tuple[Figure, str]]:
    """The figures, each with the disk it was measured on."""
    with _cluster(programs) as cluster:
        disk = cluster.project.surroundings.disk
        for mode in MODES:
            cluster.submit(mode)
        submits, sent = len(MODES), []
        for mode in MODES:
            pairs = []
            for number in range(rounds + 1):
                change_a_megabyte(cluster.project)
                before = cluster.line.sent
                pairs.append(pair(lambda mode=mode: cluster.bare(mode), lambda mode=mode: cluster.submit(mode), number))
                sent.append(Pair(MOST_SENT_MB, (cluster.line.sent - before) / MEGABYTE))
            submits += rounds + 1
            what = f"PySpark on YARN, deploy mode {mode}"
            yield Figure(f"{what}: beside spark-submit", RATIO_TARGET, tuple(pairs[1:])), disk
            more = tuple(Pair(MOST_MORE_S, max(0.0, each.ours - each.floor)) for each in pairs[1:])
            yield Figure(f"{what}: seconds more, beside 3 s", 1.0, more), disk
        yield Figure("again on a cluster after 1 MB changed: MB sent, beside 2 MB", 1.0, tuple(sent)), disk
        cluster.submit("two", "generate.py", str(int(DATA_GB * 1e9 / ROW_BYTES)))
        faster = [
            pair(lambda: cluster.submit("one", "read.py"), lambda: cluster.submit("two", "read.py"), number)
            for number in range(rounds)
        ]
        yield Figure(f"{DATA_GB:g} GB of CSV: two executors beside one", FASTER_TARGET, tuple(faster)), disk
        require_runs(cluster.project, submits + 2 * rounds + 1)


@contextlib.contextmanager
def _cluster(programs: Path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(surroundings(programs, 2))
        found = _up(place.folder / "cluster")
        stack.callback(_run, "down", place.folder / "cluster")
        line = stack.enter_context(shaped(found["head"], 22, WIDE))
        project = make_sized_project(place, 40, 1, packed=True)
        _attach(project, found["key"], line.port)
        cluster = Cluster(project, line)
        cluster.run_there(f"mkdir -p ~/bare && cat > ~/bare/sum.py <<'EOF'\n{SUM}\nEOF")
        yield cluster


def _up(state: Path) -> dict[str, str]:
    done = _run("up", state)
    if done.returncode:
        raise BenchmarkError(f"The cluster does not start: {done.stderr[-2000:]}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _run(verb: str, state: Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "CLUSTER": CLUSTER, "CLUSTER_STATE": str(state)}
    return subprocess.run(["bash", str(SCRIPT), verb], env=variables, capture_output=True, text=True)


def _there(words: str) -> Command:
    command = (
        "docker",
        "exec",
        "-u",
        "sshuser",
        "-w",
        "/home/sshuser",
        "-e",
        "HOME=/home/sshuser",
        "-e",
        "USER=sshuser",
    )
    return Command((*command, f"{CLUSTER}-hn0-aml", "bash", "-lc", words), REPOSITORY, os.environ)


def _attach(project: SizedProject, key: str, port: int) -> None:
    """Write what `attach` writes for each deploy mode and number of executors, and the scripts."""
    place, configuration = project.surroundings, project.folder / "aml_config"
    _know(place, port)
    for mode in MODES:
        (configuration / f"{mode}.compute").write_text(
            f"type: cluster\naddress: 127.0.0.1\nport: {port}\nusername: sshuser\nprivateKeyFile: {key}\n"
            f"yarnDeployMode: {mode}\n"
        )
    for name, mode, executors in (
        ("client", "client", 1),
        ("cluster", "cluster", 1),
        ("one", "client", 1),
        ("two", "client", 2),
    ):
        (configuration / f"{name}.yml").write_text(f"configuration:\n  {SMALL.format(executors)}\n")
        (configuration / f"{name}.runconfig").write_text(
            f"Target: {mode}\nFramework: PySpark\nPrepareEnvironment: true\n"
            f"SparkDependenciesFile: aml_config/{name}.yml\n"
        )
    (configuration / "conda_dependencies.yml").write_text("dependencies:\n- python\n- pip:\n  - attrs==23.2.0\n")
    for name, text in (("sum", SUM), ("generate", GENERATE), ("read", READ)):
        (project.folder / f"{name}.py").write_text(text)
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "a cluster")):
        place.git(project.folder, *words).run()


def _know(place: Surroundings, port: int) -> None:
    key = _there("cat /etc/ssh/ssh_host_ed25519_key.pub").run().decode().split()
    (place.home / ".ssh").mkdir(mode=0o700)
    (place.home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
