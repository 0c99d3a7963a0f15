"""The camelCase run configuration of mid-2018, which followed the Workbench's (WORKBENCH 1.2), and azureml-core's.

Every key of theirs is done, or named in a warning where it asks for something that amltool does otherwise. Tools of
then wrote whole files, so a key with the value that they wrote by themselves asks for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from typing import Any

import msgspec

from amltool.configuration import fields as kind
from amltool.configuration.fields import Field, Kind, Table, read_given, without_style
from amltool.configuration.tree import Findings, Mapping, Node, Scalar, plain_value, shorten
from amltool.configuration.writing import plain

_MARKS = frozenset(
    {"script", "command", "arguments", "framework", "environment", "history", "autoprepareenvironment", "docker"}
)
_GONE_FRAMEWORKS = frozenset({"CNTK", "TensorFlow", "PyTorch"})


class ContainerWishes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run configuration asks of the container: whether there is one, and what wins over the ``.compute``."""

    enabled: bool = False
    base_docker_image: str | None = None
    shared_volumes: bool | None = None
    nvidia_docker: bool | None = None
    shm_size: int | None = None
    user_managed_environment: bool | None = None


def is_successor(root: Mapping, title_case: list[str]) -> bool:
    """Whether a file is in this form: keys of its own, none of the Title-case ones."""
    keys = set(root.keys())
    return bool({without_style(key) for key in keys} & _MARKS) and not keys & set(title_case)


def read_successor(findings: Findings, root: Mapping, framework: Kind, target: Kind) -> dict[str, Any]:
    """The values of a run configuration that are given, by the names of ``RunConfiguration``."""
    top = read_given(findings, root, _top(framework, target))
    values: dict[str, Any] = {
        name: top[name] for name in ("target", "framework", "max_run_duration_seconds") if name in top
    }
    if script := top.get("script"):
        values["argument_vector"] = (script, *top.get("arguments", ()))
    values["prepare_environment"] = top.get("prepare_environment", top.get("auto_prepare_environment", False))
    values["tracked_run"] = _child(findings, root, "history", _HISTORY).get("enabled", True)
    _child(findings, root, "spark", _SPARK)
    environment = _at(root, "environment")
    inside: dict[str, Any] = {}
    docker = _child(findings, root, "docker", _DOCKER)
    if isinstance(environment, Mapping):
        inside = read_given(findings, environment, _ENVIRONMENT)
        docker = {**_child(findings, environment, "docker", _DOCKER), **docker}
        _child(findings, environment, "spark", _SPARK)
        python = _child(findings, environment, "python", _PYTHON)
        if "conda_dependencies_file" in python:
            values["conda_dependencies_file"] = python["conda_dependencies_file"]
        if "user_managed_environment" in python:
            docker["user_managed_environment"] = python["user_managed_environment"]
    variables = {**inside.get("environment_variables", {}), **top.get("environment_variables", {})}
    if variables:
        values["environment_variables"] = variables
    if docker:
        values["container"] = ContainerWishes(**docker)
    return values


def write_successor(values: AbstractMapping[str, Any]) -> dict[str, Any]:
    """The content of a run configuration that asks for a container: the other way of `read_successor`.

    There is no key in this form for Spark's dependency file, sampling or data sources.
    """
    wishes = msgspec.structs.asdict(values["container"])
    script, *arguments = values["argument_vector"] or (None,)
    environment = {"python": _written(_PYTHON, {**values, **wishes}), "docker": _written(_DOCKER, wishes)}
    history = {"enabled": values["tracked_run"]}
    told = {"script": script, "arguments": tuple(arguments), "environment": environment, "history": history}
    return _written(_top(kind.text, kind.text), {**values, **told})


def _written(table: Table, values: AbstractMapping[str, Any]) -> dict[str, Any]:
    """What is given of a table, by the first key of each value."""
    keys = {each.name: each.key for each in reversed(table.fields)}
    return {key: plain(values[name]) for name, key in keys.items() if values.get(name) is not None}


def _at(mapping: Mapping, key: str) -> Node | None:
    return next((value for found, value in mapping.entries if without_style(found.text) == key), None)


def _child(findings: Findings, mapping: Mapping, key: str, table: Table) -> dict[str, Any]:
    node = _at(mapping, key)
    return read_given(findings, node, table) if isinstance(node, Mapping) else {}


def _map(findings: Findings, key: str, node: Node) -> bool | None:
    """Only that it is a map; what is in it is read by a table of its own."""
    if isinstance(node, Mapping):
        return True
    findings.mistake(f"{key}: expected a map", node)
    return None


def _told(instead: str, *usual: Any) -> Kind:
    """A key that amltool does otherwise: a warning that says what to do instead, unless it asks for nothing."""

    def tell(findings: Findings, key: str, node: Node) -> None:
        asking = list(_asking(key, plain_value(node), usual))
        if asking:
            findings.warning(f"{' and '.join(map(shorten, asking[:5]))}: not done from here: {instead}", node)

    return tell


def _done_always(what: str) -> Kind:
    """A key that cannot be switched off; trying to gives a warning."""

    def tell(findings: Findings, key: str, node: Node) -> None:
        if kind.boolean(findings, key, node) is False:
            findings.warning(f"{key}: false is not done: {what}", node)

    return tell


def _asking(key: str, value: Any, usual: tuple[Any, ...]) -> Iterator[str]:
    """The keys below one, itself among them, whose values ask for something: nothing empty does, nor what is usual."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _asking(f"{key}.{name}", each, usual)
    elif isinstance(value, list):
        if any(True for each in value for _ in _asking(key, each, usual)):
            yield key
    elif value not in (None, "", False, 0, "None", "none", "null") and (value is True or value not in usual):
        yield key


def _framework(read: Kind) -> Kind:
    def known(findings: Findings, key: str, node: Node) -> Any:
        if isinstance(node, Scalar) and node.text in _GONE_FRAMEWORKS:
            findings.mistake(f"{key}: {node.text} was a service of Azure ML; a script takes Python", node)
            return None
        return read(findings, key, node)

    return known


_ONE_MACHINE = "a run of amltool is one process on one machine, which starts others itself"
_SERVICE = "it settles a service of Azure ML; amltool runs on the machine that the .compute names"
_DATA = "amltool mounts no data; read it from the shared folder (AZUREML_NATIVE_SHARE_DIRECTORY), or commit it"
_IN_COMPUTE = "write {} into the .compute"
_IN_CONDA = "write it into aml_config/conda_dependencies.yml"
_IN_SPARK = "write it into aml_config/spark_dependencies.yml"


def _top(framework: Kind, target: Kind) -> Table:
    return Table(
        (
            Field("script", "script", kind.text),
            Field("arguments", "arguments", kind.texts),
            Field("target", "target", target),
            Field("framework", "framework", _framework(framework)),
            Field("prepareEnvironment", "prepare_environment", kind.boolean),
            Field("autoPrepareEnvironment", "auto_prepare_environment", kind.boolean),
            Field("maxRunDurationSeconds", "max_run_duration_seconds", kind.integer(1, 10**9)),
            Field("environmentVariables", "environment_variables", kind.variables),
            *(Field(key, key, _map) for key in ("environment", "history", "spark", "docker")),
            Field("command", "told", _told("name the script and its arguments as script and arguments")),
            *(Field(key, "told", _told(_ONE_MACHINE, 1, *_WRITTEN)) for key in _MANY_MACHINES),
            *(Field(key, "told", _told(_DATA)) for key in _DATA_KEYS),
            *(Field(key, "told", _told(_SERVICE, 1, *_WRITTEN)) for key in _SERVICES),
            Field("containerInstance", "told", _told(_SERVICE, 1, 2, 3.5)),
            Field("hdi", "told", _told(_IN_COMPUTE.format("yarnDeployMode"), "cluster")),
        ),
        ignored=frozenset({"name", "id", "jobName", "instanceTypes"}),
        any_style=True,
    )


_MANY_MACHINES = ("communicator", "nodeCount", "tensorflow", "mpi", "pytorch", "paralleltask", "parallelTask")
_DATA_KEYS = (
    "data", "dataReferences", "datacaching", "datacaches", "outputData", "inputs", "outputs",
    "sourceDirectoryDataStore",
)  # fmt: skip
_SERVICES = (
    "batchai", "amlcompute", "amlCompute", "amlk8scompute", "kubernetescompute", "synapse",
    "instances", "cmk8sCompute", "credentialPassthrough", "identity", "priority", "services", "servicesConf",
    "exposedPorts", "commandReturnCodeConfig", "globalJobDispatcher", "appInsights",
)  # fmt: skip
_WRITTEN = ("Nccl", "nccl", "/azureml-envs", "SucceedOnZero", 0.3)
"""Values that tools wrote unasked."""

_HISTORY = Table(
    (
        Field("enabled", "enabled", kind.boolean),
        Field("outputCollection", "told", _done_always("outputs and logs are collected always")),
        Field("snapshotProject", "told", _done_always("the snapshot is a commit, and is kept always")),
        Field("directoriesToWatch", "told", _told("only outputs and logs are collected", "logs", "outputs")),
    ),
    any_style=True,
)
_SPARK = Table(
    (
        Field("configuration", "told", _told(_IN_SPARK, "Azure ML Experiment", 1)),
        Field("repositories", "told", _told(_IN_SPARK)),
        Field("packages", "told", _told(_IN_SPARK)),
    ),
    ignored=frozenset({"precachePackages"}),
    any_style=True,
)
_ENVIRONMENT = Table(
    (
        Field("environmentVariables", "environment_variables", kind.variables),
        *(Field(key, key, _map) for key in ("python", "docker", "spark")),
        Field("databricks", "told", _told(_SERVICE)),
        Field("r", "told", _told("install R's packages in the base image")),
        Field("inferencingStackVersion", "told", _told(_SERVICE)),
        Field("assetId", "told", _told(_SERVICE)),
    ),
    ignored=frozenset({"name", "version"}),
    any_style=True,
)
_PYTHON = Table(
    (
        Field("userManagedDependencies", "user_managed_environment", kind.boolean),
        Field("interpreterPath", "told", _told(_IN_COMPUTE.format("pythonLocation"), "python")),
        Field("condaDependenciesFile", "conda_dependencies_file", kind.project_path),
        Field("baseCondaEnvironment", "told", _told(_IN_CONDA)),
        Field("condaDependencies", "told", _told(_IN_CONDA)),
    ),
    any_style=True,
)
_DOCKER = Table(
    (
        Field("enabled", "enabled", kind.boolean),
        Field("useDocker", "enabled", kind.boolean),
        Field("baseImage", "base_docker_image", kind.text),
        Field("sharedVolumes", "shared_volumes", kind.boolean),
        Field("gpuSupport", "nvidia_docker", kind.boolean),
        Field("shmSize", "shm_size", kind.size),
        Field("arguments", "told", _told(_IN_COMPUTE.format("volumes, network, memory, cpus or gpu"))),
        Field("baseDockerfile", "told", _told("build that image and name it as baseImage")),
        Field("buildContext", "told", _told("build that image and name it as baseImage")),
        Field("preparedImage", "told", _told("name it as baseImage")),
        Field("baseImageRegistry", "told", _told("log in to it with `docker login`, and name it before the image")),
        Field("platform", "told", _told("an image is built for the machine it runs on", "Linux", "amd64")),
    ),
    any_style=True,
)
