"""Projects that run on the test cluster, with a target for each deploy mode, and what is asked of their runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.amltool_command import amltool
from tests.components.docker_projects import compute_file
from tests.components.hadoop_cluster import HadoopCluster
from tests.repositories import make_repository
from tests.waiting import wait_until

MODES = ("client", "cluster")
"""Names of the targets, and their deploy modes."""
END_S = 900.0
"""How long something on a busy machine may take, in seconds."""
RUN_CONFIGURATION = (
    "ArgumentVector:\n- $file\nTarget: {}\nFramework: PySpark\nPrepareEnvironment: true\nTrackedRun: true\n"
    "CondaDependenciesFile: aml_config/conda_dependencies.yml\n"
    "SparkDependenciesFile: aml_config/spark_dependencies.yml\n"
)
CONDA = "dependencies:\n- python>=3.8\n- pip:\n  - attrs==23.2.0\n"
"""One for all, so that the environment is built once on a cluster."""
SMALL = {"spark.executor.instances": "1", "spark.sql.shuffle.partitions": "2", "spark.ui.enabled": "false"}


def make(folder: Path, cluster: HadoopCluster, files: Mapping[str, bytes | str], **settings: str) -> Path:
    """A repository with the targets ``client`` and ``cluster``; ``settings`` are Spark's, with ``_`` for each dot."""
    cluster.known_to(Path.home())
    configuration = {**SMALL, **{name.replace("_", "."): value for name, value in settings.items()}}
    lines = "".join(f"  {name}: {value}\n" for name, value in configuration.items())
    made: dict[str, bytes | str] = {
        "aml_config/conda_dependencies.yml": CONDA,
        "aml_config/spark_dependencies.yml": f"configuration:\n{lines}repositories: []\npackages: []\n",
        ".gitignore": "outputs/\n",
    }
    for mode in MODES:
        compute = {
            "type": "cluster", "address": cluster.head, "username": cluster.user, "privateKeyFile": str(cluster.key),
            "yarnDeployMode": mode,
        }  # fmt: skip
        made[f"aml_config/{mode}.compute"] = compute_file(compute)
        made[f"aml_config/{mode}.runconfig"] = RUN_CONFIGURATION.format(mode)
    return make_repository(folder, {**made, **files})


def start(project: Path, mode: str, script: str, *arguments: str) -> str:
    """Submit a script without waiting for its end: the run id."""
    said = amltool(project, "submit", script, "--target", mode, "--detach", "--", *arguments)
    found = re.search(r"RunId: (\S+)", said.stdout + said.stderr)
    assert found is not None, said
    return found[1]


def ended(project: Path, run_id: str) -> dict[str, Any]:
    """Wait for the end of a run: its record."""
    amltool(project, "wait", run_id, check=False)
    return shown(project, run_id)


def shown(project: Path, run_id: str) -> dict[str, Any]:
    """A run, as ``show`` tells of it."""
    found: dict[str, Any] = json.loads(amltool(project, "show", run_id, "--json").stdout)
    return found


def console(project: Path, run_id: str) -> str:
    """What a run printed so far."""
    return amltool(project, "logs", run_id, check=False).stdout


def wait_for_console(project: Path, run_id: str, words: str) -> None:
    """Return when a run has printed some words."""
    wait_until(lambda: words in console(project, run_id), END_S)
