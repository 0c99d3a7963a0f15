"""The command of a run on a cluster, and what is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest

from amltool.configuration.compute import ComputeTarget, ComputeType, YarnDeployMode
from amltool.environments.base import Prepared
from amltool.errors import UserError
from amltool.history.journal import RunRequest
from amltool.layout import cluster_tag
from amltool.targets.command import SPARK_PROPERTIES_VARIABLE, RunCommand, SeenByRun
from amltool.targets.hdinsight import SETTINGS_VARIABLE, check_script, cluster_command
from tests.targets.test_command import request

REQUEST = request()

SEEN = SeenByRun(PurePosixPath("/home/ada/.amltool/lib/1/path"), PurePosixPath("/home/ada/.amltool/runs/r/work"))
COMPUTE = ComputeTarget(name="hdi", type=ComputeType.CLUSTER, address="head", username="ada")
ARCHIVE = json.dumps({"local": "/home/ada/e.tar.gz", "remote": ".amltool/environments/1.tar.gz"})
PREPARED = Prepared(
    python=["/home/ada/.amltool/environments/1/environment/bin/python"],
    key="1",
    lock=b"{}",
    spark_submit=["/usr/bin/spark-submit"],
    archive=ARCHIVE,
)
SECRET = "configuration:\n  spark.hadoop.fs.azure.account.key.a.blob.core.windows.net: ${env:STORAGE_KEY}\n"


def asked_for(**changes: Any) -> RunRequest:
    return msgspec.structs.replace(REQUEST, **{"framework": "PySpark", "target_type": "cluster", **changes})


def command(dependencies: str = "", compute: ComputeTarget = COMPUTE, **changes: Any) -> RunCommand:
    return cluster_command(compute, asked_for(**changes), PREPARED, SEEN, lambda _: dependencies.encode() or None)


def settings(found: RunCommand) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(found.variables[SETTINGS_VARIABLE])
    return content


def test_a_run_is_tagged_and_has_a_folder_of_its_own() -> None:
    found = settings(command())

    assert found["tag"] == cluster_tag(REQUEST.run_id)
    assert found["folder"] == f".amltool/runs/{REQUEST.run_id}"


def test_the_nodes_have_the_python_of_the_archive_in_both_modes() -> None:
    for mode in YarnDeployMode:
        compute = msgspec.structs.replace(COMPUTE, yarn_deploy_mode=mode)
        found = command(compute=compute)
        driver = "./environment/bin/python" if mode is YarnDeployMode.CLUSTER else PREPARED.python[0]
        assert found.variables["PYSPARK_PYTHON"] == "./environment/bin/python"
        assert found.variables["PYSPARK_DRIVER_PYTHON"] == driver


def test_no_secret_stands_on_a_command_line_or_among_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_KEY", "canary")

    found = command(SECRET)

    assert "canary" not in " ".join(found.command)
    assert "canary" not in found.variables[SETTINGS_VARIABLE]
    assert "canary" in found.variables[SPARK_PROPERTIES_VARIABLE]
    assert found.secrets == ["canary"]


def test_where_the_project_says_local_the_cluster_is_meant_all_the_same() -> None:
    written = "configuration: {spark.yarn.queue: best, spark.submit.deployMode: cluster, spark.master: 'local[2]'}"
    options = settings(command(written))["options"]

    assert "spark.yarn.queue=best" in options
    assert not any(option.startswith(("spark.master=", "spark.submit.deployMode=")) for option in options)


def test_the_users_settings_come_last_and_so_win() -> None:
    options = settings(command("configuration:\n  spark.executorEnv.PYSPARK_PYTHON: /usr/bin/python3\n"))["options"]

    assert [option for option in options if "executorEnv.PYSPARK_PYTHON" in option][-1].endswith("/usr/bin/python3")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"framework": "Python"}, "Framework: PySpark"),
        ({"command": [b"run.sh"], "interpreted": False}, "no Python script"),
        ({"command": [b"look.ipynb"]}, "notebook"),
    ],
)
def test_what_spark_on_yarn_cannot_run_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        check_script(COMPUTE, asked_for(**changes))

    assert words in f"{refused.value.what} {refused.value.remedy}"


def test_a_notebook_runs_on_the_head_node_in_client_mode() -> None:
    compute = msgspec.structs.replace(COMPUTE, yarn_deploy_mode=YarnDeployMode.CLIENT)
    asked = asked_for(command=[b"look.ipynb", b"n=7"])

    check_script(compute, asked)

    script = settings(cluster_command(compute, asked, PREPARED, SEEN, lambda _: None))["script"]
    assert script == [f"{SEEN.tracking}/amltool/tracking/notebook.py", "look.ipynb", "n=7"]


def test_a_head_node_without_spark_is_a_sentence() -> None:
    prepared = msgspec.structs.replace(PREPARED, spark_submit=[])
    asked: RunRequest = msgspec.structs.replace(REQUEST, framework="PySpark", target_type="cluster")

    with pytest.raises(UserError, match="no spark-submit on the head node of hdi"):
        cluster_command(COMPUTE, asked, prepared, SEEN, lambda _: None)
