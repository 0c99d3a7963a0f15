"""Every key of azureml-core's run configuration is done, warned of or refused, in every style; none is dropped."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from amltool.configuration.choosing import choose
from amltool.configuration.compute import ComputeType
from amltool.configuration.folder import Files
from amltool.configuration.runconfig import RunConfiguration, read_run_configuration
from amltool.errors import ConfigurationError

ASKING: dict[str, Any] = {
    "script": "other.py",
    "command": "python other.py",
    "arguments": ["--x"],
    "target": "elsewhere",
    "framework": "PySpark",
    "communicator": "IntelMpi",
    "nodeCount": 4,
    "maxRunDurationSeconds": 60,
    "autoPrepareEnvironment": True,
    "prepareEnvironment": True,
    "priority": 100,
    "credentialPassthrough": True,
    "environment.environmentVariables": {"A": "1"},
    "environment.python.userManagedDependencies": True,
    "environment.python.interpreterPath": "/opt/py36/bin/python",
    "environment.python.condaDependenciesFile": "aml_config/other.yml",
    "environment.python.baseCondaEnvironment": "base",
    "environment.python.condaDependencies": {"dependencies": ["python=3.6.2", {"pip": ["xgboost==0.90"]}]},
    "environment.docker.enabled": True,
    "environment.docker.baseImage": "python:3.8",
    "environment.docker.baseDockerfile": "FROM x",
    "environment.docker.sharedVolumes": False,
    "environment.docker.gpuSupport": True,
    "environment.docker.shmSize": "8g",
    "environment.docker.arguments": ["--cpus=1"],
    "environment.docker.platform": {"os": "Windows", "architecture": "amd64"},
    "environment.docker.baseImageRegistry": {"address": "registry.example.org", "username": "ada"},
    "environment.docker.buildContext": {"locationType": "git"},
    "environment.spark.repositories": ["https://repo.example.org"],
    "environment.spark.packages": [{"group": "g", "artifact": "a", "version": "1"}],
    "environment.databricks": {"pypiLibraries": [{"package": "x"}]},
    "environment.r": {"rVersion": "3.5"},
    "environment.inferencingStackVersion": "latest",
    "history.enabled": False,
    "history.outputCollection": False,
    "history.snapshotProject": False,
    "history.directoriesToWatch": ["elsewhere"],
    "spark.configuration": {"spark.executor.memory": "4g"},
    "docker.useDocker": True,
    "docker.sharedVolumes": False,
    "docker.shmSize": "8g",
    "docker.arguments": ["--ipc=host"],
    "hdi.yarnDeployMode": "client",
    "tensorflow": {"workerCount": 4, "parameterServerCount": 1},
    "mpi": {"processCountPerNode": 2},
    "pytorch": {"processCount": 4},
    "batchai": {"nodeCount": 2},
    "containerInstance": {"region": "westus"},
    "amlcompute": {"vmSize": "STANDARD_D2"},
    "dataReferences": {"d": {"dataStoreName": "x"}},
    "data": {"d": {"dataLocation": {}, "mechanism": "mount"}},
    "outputData": {"o": {"mechanism": "upload"}},
    "sourceDirectoryDataStore": "store",
    "notAKeyOfAnybody": "x",
}
"""Where a key stands, and a value by which it asks for something."""
WRITTEN_UNASKED: dict[str, Any] = {
    "script": "train.py", "arguments": [], "target": "local", "framework": "Python", "communicator": "None",
    "maxRunDurationSeconds": None, "nodeCount": 1,
    "environment": {
        "name": "project_environment", "version": None, "environmentVariables": {},
        "python": {"userManagedDependencies": True, "interpreterPath": "python", "condaDependenciesFile": None,
                   "baseCondaEnvironment": None},
        "docker": {"enabled": False, "sharedVolumes": True, "gpuSupport": False, "shmSize": "2g", "arguments": [],
                   "baseImageRegistry": {"address": None, "username": None, "password": None},
                   "platform": {"os": "Linux", "architecture": "amd64"}},
        "spark": {"repositories": [], "packages": [], "precachePackages": True},
        "databricks": {"mavenLibraries": [], "pypiLibraries": []}, "r": None, "inferencingStackVersion": None,
    },
    "history": {"outputCollection": True, "snapshotProject": True, "directoriesToWatch": ["logs"]},
    "spark": {"configuration": {"spark.app.name": "Azure ML Experiment", "spark.yarn.maxAppAttempts": 1}},
    "hdi": {"yarnDeployMode": "cluster"}, "tensorflow": {"workerCount": 1, "parameterServerCount": 1},
    "mpi": {"processCountPerNode": 1, "nodeCount": 1}, "pytorch": {"communicationBackend": "nccl"},
    "amlcompute": {"vmSize": None, "vmPriority": None, "retainCluster": False, "clusterMaxNodeCount": 1},
    "dataReferences": {}, "data": {}, "outputData": {}, "sourceDirectoryDataStore": None,
}  # fmt: skip
STYLES = {
    "camelCase": lambda key: key,
    "snake_case": lambda key: re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), key),
    "PascalCase": lambda key: key[0].upper() + key[1:],
}
LOCAL = b"type: local\n"
DOCKER = b"type: localdocker\nbaseDockerImage: python:3.11\nsharedVolumes: false\nuserManagedEnvironment: false\n"


def read(content: dict[str, Any]) -> RunConfiguration:
    return read_run_configuration("later", json.dumps(content).encode(), "aml_config/later.runconfig")


def nested(path: list[str], value: Any, style: Any) -> dict[str, Any]:
    return {style(path[0]): value if len(path) == 1 else nested(path[1:], value, style)}


def bare(configuration: RunConfiguration) -> RunConfiguration:
    return replace(configuration, content={}, warnings=())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("key", ASKING)
def test_a_key_that_asks_for_something_is_done_or_named(key: str, style: str) -> None:
    written = STYLES[style]
    base = {"script": "train.py", "arguments": []}
    asked = {**base, **nested(key.split("."), ASKING[key], written)}
    if key in ("script", "arguments"):
        asked = {
            "history": {},
            **nested([key], ASKING[key], written),
            **({"script": "train.py"} if key != "script" else {}),
        }
    try:
        found = read(asked)
    except ConfigurationError as error:
        found, told = None, str(error)
    else:
        told = "\n".join(found.warnings)
    done = found is not None and bare(found) != bare(read(base))
    assert done or written(key.split(".")[-1]) in told


@given(
    some.lists(some.sampled_from(sorted(ASKING)), min_size=1, max_size=6, unique=True),
    some.sampled_from(["camelCase", "snake_case"]),
)
@settings(deadline=None, max_examples=60)
def test_of_several_keys_each_is_done_or_named(keys: list[str], style: str) -> None:
    def merged(into: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        for key, value in other.items():
            both = isinstance(value, dict) and isinstance(into.get(key), dict)
            into[key] = merged(into[key], value) if both else value
        return into

    content: dict[str, Any] = {} if "script" in keys else {"script": "train.py"}
    for key in keys:
        merged(content, nested(key.split("."), ASKING[key], STYLES[style]))
    told: set[str] = set()
    try:
        told = set(read(content).warnings)
    except ConfigurationError as error:
        told = set(str(error).splitlines())
    done = {"script", "arguments", "target", "framework", "maxRunDurationSeconds", "autoPrepareEnvironment", "enabled"}
    done |= {
        "prepareEnvironment",
        "environmentVariables",
        "userManagedDependencies",
        "condaDependenciesFile",
        "useDocker",
    }
    done |= {"baseImage", "sharedVolumes", "gpuSupport", "shmSize"}
    for key in keys:
        last = key.split(".")[-1]
        assert last in done or any(STYLES[style](last) in sentence for sentence in told), key


def test_a_file_as_tools_wrote_it_unasked_warns_of_nothing() -> None:
    assert read(WRITTEN_UNASKED).warnings == ()


def chosen(compute: bytes, **docker: Any) -> Any:
    content = {"script": "t.py", "target": "local", "environment": {"docker": docker}}
    files = {"aml_config/local.runconfig": json.dumps(content).encode(), "aml_config/local.compute": compute}
    there = Files(files.get, lambda: [path.rpartition("/")[2] for path in files])
    return choose(there, there)


def test_docker_switched_on_makes_a_local_target_one_with_docker() -> None:
    compute = chosen(LOCAL, enabled=True, baseImage="python:3.8", shmSize="8g").compute

    assert compute.type is ComputeType.LOCAL_DOCKER
    assert (compute.base_docker_image, compute.shm_size, compute.shared_volumes) == ("python:3.8", 8 << 30, True)
    assert not compute.user_managed_environment


def test_docker_switched_off_leaves_the_compute_target_as_it_is() -> None:
    assert chosen(LOCAL, enabled=False, baseImage="python:3.8").compute.type is ComputeType.LOCAL


def test_what_is_said_of_a_container_without_switching_it_on_is_warned_of() -> None:
    found = chosen(DOCKER, enabled=False, baseImage="python:3.8")

    assert found.compute.base_docker_image == "python:3.11"
    assert any("enabled: true" in warning for warning in found.run_configuration.warnings)


def test_an_environment_that_is_to_be_built_is_warned_of_where_the_target_uses_its_own() -> None:
    content = {"script": "t.py", "environment": {"python": {"userManagedDependencies": False}}, "target": "local"}
    files = {"aml_config/local.runconfig": json.dumps(content).encode(), "aml_config/local.compute": LOCAL}
    there = Files(files.get, lambda: [path.rpartition("/")[2] for path in files])

    assert any("userManagedEnvironment" in warning for warning in choose(there, there).run_configuration.warnings)
