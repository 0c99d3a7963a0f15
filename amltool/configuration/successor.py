"""The camelCase run configuration of mid-2018, which followed the Workbench's (WORKBENCH 1.2)."""

from __future__ import annotations

from typing import Any

from amltool.configuration import fields as kind
from amltool.configuration.fields import Field, Kind, Table, read_given
from amltool.configuration.tree import Findings, Mapping, Node, Scalar, plain_value

_MARKS = frozenset({"script", "arguments", "framework", "environment", "history", "autoPrepareEnvironment"})
_GONE_FRAMEWORKS = frozenset({"CNTK", "TensorFlow", "PyTorch"})
_LATER = frozenset(
    {"communicator", "nodeCount", "tensorflow", "mpi", "pytorch", "batchai", "containerInstance", "amlcompute"}
) | {"data", "dataReferences", "datacaching", "sourceDirectoryDataStore"}
"""Keys that settle services amltool has no use for."""


def is_successor(root: Mapping, title_case: list[str]) -> bool:
    """Whether a file is in this form: keys of its own, none of the Title-case ones."""
    keys = set(root.keys())
    return bool(keys & _MARKS) and not keys & set(title_case)


def read_successor(findings: Findings, root: Mapping, framework: Kind, target: Kind) -> dict[str, Any]:
    """The values of a run configuration that are given, by the names of ``RunConfiguration``.

    What this form says about the machine (Docker, interpreter) stands in the ``.compute`` here; where it asks for
    something, a warning says so.
    """
    top = read_given(findings, root, _top(framework, target))
    values: dict[str, Any] = {
        name: top[name] for name in ("target", "framework", "max_run_duration_seconds") if name in top
    }
    if script := top.get("script"):
        values["argument_vector"] = (script, *top.get("arguments", ()))
    values["prepare_environment"] = top.get("prepare_environment", top.get("auto_prepare_environment", False))
    values["tracked_run"] = _child(findings, root, "history", _HISTORY).get("enabled", True)
    environment = root.get("environment")
    if isinstance(environment, Mapping):
        inner = read_given(findings, environment, _ENVIRONMENT)
        if "environment_variables" in inner:
            values["environment_variables"] = inner["environment_variables"]
        python = _child(findings, environment, "python", _PYTHON)
        if "conda_dependencies_file" in python:
            values["conda_dependencies_file"] = python["conda_dependencies_file"]
        _docker(findings, environment)
        _ignored_spark(findings, environment.get("spark"), ("repositories", "packages"))
    _ignored_spark(findings, root.get("spark"), ("configuration",))
    return values


def _child(findings: Findings, mapping: Mapping, key: str, table: Table) -> dict[str, Any]:
    node = mapping.get(key)
    return read_given(findings, node, table) if isinstance(node, Mapping) else {}


def _docker(findings: Findings, environment: Mapping) -> None:
    docker = environment.get("docker")
    if not isinstance(docker, Mapping):
        return
    values = read_given(findings, docker, _DOCKER)
    if values.get("enabled"):
        findings.warning("docker is switched on by the compute target, not here: name one of type localdocker", docker)


def _ignored_spark(findings: Findings, node: Node | None, keys: tuple[str, ...]) -> None:
    if isinstance(node, Mapping) and any(plain_value(value) for key, value in node.entries if key.text in keys):
        findings.warning("what this says about Spark is read from aml_config/spark_dependencies.yml", node)


def _map(findings: Findings, key: str, node: Node) -> bool | None:
    """Only that it is a map; what is in it is read by a table of its own."""
    if isinstance(node, Mapping):
        return True
    findings.mistake(f"{key}: expected a map", node)
    return None


def _framework(read: Kind) -> Kind:
    def known(findings: Findings, key: str, node: Node) -> Any:
        if isinstance(node, Scalar) and node.text in _GONE_FRAMEWORKS:
            findings.mistake(f"{key}: {node.text} was a service of Azure ML; a script takes Python", node)
            return None
        return read(findings, key, node)

    return known


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
            Field("environment", "environment", _map),
            Field("history", "history", _map),
            Field("spark", "spark", _map),
            Field("hdi", "hdi", _map),
        ),
        ignored=_LATER,
    )


_HISTORY = Table(
    (Field("enabled", "enabled", kind.boolean), Field("outputCollection", "output_collection", kind.boolean)),
    ignored=frozenset({"snapshotProject", "directoriesToWatch"}),
)
_ENVIRONMENT = Table(
    (
        Field("environmentVariables", "environment_variables", kind.variables),
        Field("python", "python", _map),
        Field("docker", "docker", _map),
        Field("spark", "spark", _map),
    ),
    ignored=frozenset({"name", "version", "databricks", "r", "inferencingStackVersion", "assetId"}),
)
_PYTHON = Table(
    (
        Field("userManagedDependencies", "user_managed_dependencies", kind.boolean),
        Field("interpreterPath", "interpreter_path", kind.text),
        Field("condaDependenciesFile", "conda_dependencies_file", kind.project_path),
    ),
    ignored=frozenset({"baseCondaEnvironment", "condaDependencies"}),
)
_DOCKER = Table(
    (
        Field("enabled", "enabled", kind.boolean),
        Field("baseImage", "base_image", kind.text),
        Field("sharedVolumes", "shared_volumes", kind.boolean),
        Field("gpuSupport", "gpu_support", kind.boolean),
        Field("arguments", "arguments", kind.texts),
    ),
    ignored=frozenset({"baseImageRegistry", "shmSize", "baseDockerfile", "platform", "preparedImage", "buildContext"}),
)
