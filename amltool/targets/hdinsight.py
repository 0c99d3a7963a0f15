"""The compute target ``cluster``: Spark on YARN, submitted on the head node of an HDInsight or any Hadoop cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from amltool.configuration.compute import ComputeTarget, YarnDeployMode
from amltool.configuration.runconfig import Framework
from amltool.environments.base import Prepared, ReadFile
from amltool.errors import UserError
from amltool.history.journal import RunRequest
from amltool.launchers.spark_submit import CLUSTER_PROGRAM, SparkSubmitLauncher
from amltool.layout import cluster_run_folder, cluster_tag
from amltool.targets.command import NOTEBOOK_SUFFIX, RunCommand, SeenByRun, script_of, spark_settings
from amltool.targets.drive import Target
from amltool.targets.over_ssh import Machine
from amltool.targets.variables import inherited_there

if TYPE_CHECKING:
    from amltool.environments.base import ExecutionEnvironment
    from amltool.targets import Place

NO_SHARE = (
    "The script looks for AZUREML_NATIVE_SHARE_DIRECTORY, which a cluster does not have: no folder is shared by its "
    "nodes.\nUse the cluster's storage: wasb:// or abfs:// paths, or amltool.tracking.spark.attach_storage_container."
)
SETTINGS_VARIABLE = "AMLTOOL_CLUSTER_RUN"
"""Takes the settings of a run to ``tracking/cluster_run.py``: no secret stands on a command line."""


def cluster(compute: ComputeTarget, place: Place) -> Target:
    """Spark on YARN: a snapshot placed on the head node, an environment that YARN brings to the nodes."""
    from amltool.launchers.process import ProcessLauncher

    machine = Machine(compute, place)

    def command(request: RunRequest, prepared: Prepared, seen: SeenByRun, read: ReadFile) -> RunCommand:
        return cluster_command(compute, request, prepared, seen, read)

    return Target(
        name=compute.name,
        type=compute.type.value,
        host=machine.host,
        environment=_environment(compute, machine),
        launcher=SparkSubmitLauncher(
            ProcessLauncher(lambda: machine.bootstrap), machine.login, lambda: machine.bootstrap
        ),
        place=machine.place,
        begin_place=machine.begin_place,
        place_input=machine.place_input,
        share=None,
        share_in_run=None,
        tracking=machine.tracking,
        inherited=lambda _: inherited_there(machine.login.variables()),
        check=lambda request: check_script(compute, request),
        command=command,
        hint=NO_SHARE,
        sends_less=True,
    )


def _environment(compute: ComputeTarget, machine: Machine) -> ExecutionEnvironment:
    if compute.user_managed_environment:
        from amltool.environments.interpreter_there import InterpreterThere

        return InterpreterThere(compute.python_location, machine.login, compute.spark_submit_location)
    from amltool.environments.cluster_archive import ClusterArchive

    return ClusterArchive(compute, machine.login, lambda: machine.bootstrap)


def cluster_command(
    compute: ComputeTarget, request: RunRequest, prepared: Prepared, seen: SeenByRun, read: ReadFile
) -> RunCommand:
    """The command of a run on the head node: `tracking/cluster_run.py`, its settings in a variable.

    Raises:
        UserError: there is no ``spark-submit``.
        ConfigurationError: with every mistake of the Spark dependencies file.
    """
    if not prepared.spark_submit:
        raise UserError(
            f"There is no spark-submit on the head node of {compute.name}.",
            "Set sparkSubmitLocation in the .compute to it (on HDInsight: /usr/bin/spark-submit), or log in to a node "
            "that has Spark.",
        )
    settings = spark_settings(request, seen.work, read, on_cluster=True)
    archive = msgspec.json.decode(prepared.archive) if prepared.archive else None
    nodes_python = "./environment/bin/python" if archive else prepared.python[0]
    mode = compute.yarn_deploy_mode.value
    options = [*settings.options]
    if mode == "cluster":
        options = [
            "--conf", f"spark.yarn.appMasterEnv.PYSPARK_PYTHON={nodes_python}",
            "--conf", f"spark.executorEnv.PYSPARK_PYTHON={nodes_python}",
            *options,
        ]  # fmt: skip
    content = {
        "mode": mode,
        "tag": cluster_tag(request.run_id),
        "spark_submit": prepared.spark_submit,
        "options": options,
        "archive": archive,
        "folder": str(cluster_run_folder(request.run_id)),
        "library": str(seen.tracking.parent),
        "script": script_of(request, seen),
        "own": sorted({*request.environment_variables, *compute.environment_variables}),
    }
    variables = {
        "PYSPARK_PYTHON": nodes_python,
        "PYSPARK_DRIVER_PYTHON": nodes_python if mode == "cluster" else prepared.python[0],
        SETTINGS_VARIABLE: msgspec.json.encode(content).decode(),
    }
    variables.update(settings.private_variables())
    program = str(seen.tracking / "amltool/tracking" / CLUSTER_PROGRAM)
    return RunCommand(command=[*prepared.python, program], variables=variables, secrets=settings.secrets)


def check_script(compute: ComputeTarget, request: RunRequest) -> None:
    """Refuse what Spark on YARN cannot run.

    Raises:
        UserError: it is no Python script, a notebook in deploy mode ``cluster``, or of another framework.
    """
    script = os.fsdecode(request.command[0])
    if not request.interpreted:
        raise UserError(f"{script} is no Python script, and a cluster runs PySpark.", "Give a .py file.")
    if script.endswith(NOTEBOOK_SUFFIX) and compute.yarn_deploy_mode is YarnDeployMode.CLUSTER:
        raise UserError(
            f"{script} is a notebook, and {compute.name} runs scripts on a node (yarnDeployMode: cluster).",
            f"Set yarnDeployMode: client in {compute.name}.compute: then it runs on the head node.",
        )
    if request.inputs and compute.yarn_deploy_mode is YarnDeployMode.CLUSTER:
        raise UserError(
            f"Inputs lie on the head node of {compute.name}, and it runs scripts on another one (yarnDeployMode: "
            "cluster).",
            f"Set yarnDeployMode: client in {compute.name}.compute, or read the file from the cluster's storage.",
        )
    if request.framework != Framework.PYSPARK.value:
        raise UserError(
            f"The run configuration {request.run_configuration} says Framework: {request.framework}, and "
            f"{compute.name} is a cluster, which runs PySpark.",
            "Set Framework: PySpark in it.",
        )
