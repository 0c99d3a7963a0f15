"""Compute targets: ``aml_config/NAME.compute`` in every form it was written (WORKBENCH 1.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as AbstractMapping
from enum import Enum
from typing import Any

import msgspec

from amltool.configuration import fields as kind
from amltool.configuration.addresses import check_address, check_username, read_address, write_address
from amltool.configuration.docker_names import is_image, is_network
from amltool.configuration.fields import Field, Table, read_fields, refuse_plain_secrets
from amltool.configuration.reading import read_tree
from amltool.configuration.secrets import SecretReference, without_logins
from amltool.configuration.tree import Findings, Mapping, Node, Scalar, describe, did_you_mean, quoted
from amltool.configuration.writing import dump, plain
from amltool.errors import UserError

DEFAULT_BASE_IMAGE = "mambaorg/micromamba:2-debian12-slim"
"""For a container when ``baseDockerImage`` is absent or null: small, public, maintained, with micromamba, which brings
any Python (https://micromamba-docker.readthedocs.io). The ancestor's images are no longer maintained."""
BASE_IMAGE_VARIABLE = "AMLTOOL_BASE_DOCKER_IMAGE"
"""An environment variable with the image that stands in for the default."""
DEFAULT_PORT = 22
DEFAULT_SHARE = "~/.azureml/share/"


class ComputeType(str, Enum):
    """What a compute target is; the values of the ancestor."""

    LOCAL = "local"
    LOCAL_DOCKER = "localdocker"
    REMOTE_DOCKER = "remotedocker"
    REMOTE = "remote"
    CLUSTER = "cluster"


class YarnDeployMode(str, Enum):
    """Where Spark's driver runs: on the cluster, or in the process that submits."""

    CLUSTER = "cluster"
    CLIENT = "client"


OVER_SSH = frozenset({ComputeType.REMOTE_DOCKER, ComputeType.REMOTE, ComputeType.CLUSTER})
IN_CONTAINER = frozenset({ComputeType.LOCAL_DOCKER, ComputeType.REMOTE_DOCKER})

_OWN_ENVIRONMENT = frozenset({ComputeType.LOCAL, ComputeType.REMOTE})
"""Types whose environment is the user's own unless ``userManagedEnvironment: false`` is written."""
_GONE = frozenset({"batchai", "containerinstance", "amlcompute"})


class PipSettings(msgspec.Struct, frozen=True):
    """Where pip finds packages when an environment is built on the target."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    configuration_file: str | None = None


NOT_COMPARED = frozenset({"warnings"})


class ComputeTarget(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Where to run. Sizes are bytes; ``warnings`` were found in the file and do not make two targets differ."""

    name: str
    type: ComputeType
    address: str | None = None
    port: int = DEFAULT_PORT
    username: str | None = None
    password: SecretReference | None = None
    private_key: SecretReference | None = None
    private_key_file: str | None = None
    private_key_passphrase: SecretReference | None = None
    use_ssh_key: bool = False
    base_docker_image: str | None = None
    shared_volumes: bool = True
    native_shared_directory: str = DEFAULT_SHARE
    nvidia_docker: bool = False
    python_location: str = "python"
    spark_submit_location: str = "spark-submit"
    master: str | None = None
    user_managed_environment: bool = False
    yarn_deploy_mode: YarnDeployMode = YarnDeployMode.CLUSTER
    root: str | None = None
    artifact_store: str | None = None
    artifact_store_credential: SecretReference | None = None
    artifact_store_url: str | None = None
    max_concurrent_runs: int | None = None
    gpu: str | None = None
    shm_size: int = 2 << 30
    memory: int | None = None
    cpus: float | None = None
    network: str | None = None
    volumes: tuple[str, ...] = ()
    ca_certificates: str | None = None
    pip: PipSettings = PipSettings()
    build_arguments: AbstractMapping[str, str] = {}
    environment_variables: AbstractMapping[str, str] = {}
    compression: bool = False
    warnings: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComputeTarget) and all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name not in NOT_COMPARED
        )

    __hash__ = None  # type: ignore[assignment] # it holds maps

    @property
    def over_ssh(self) -> bool:
        return self.type in OVER_SSH

    @property
    def in_container(self) -> bool:
        return self.type in IN_CONTAINER

    @property
    def wants_gpu(self) -> bool:
        return self.nvidia_docker or self.gpu is not None


def default_base_image() -> str:
    """The base image of a container whose ``.compute`` names none.

    Raises:
        UserError: the variable that stands in for it is no image's name.
    """
    named = os.environ.get(BASE_IMAGE_VARIABLE) or DEFAULT_BASE_IMAGE
    if not is_image(named):
        raise UserError(
            f"{BASE_IMAGE_VARIABLE} is {named!r}, which is no image's name.",
            "Set it to one, such as registry/name:tag.",
        )
    return named


def _check_image(findings: Findings, image: str, node: Node | None) -> None:
    if any(map(str.isspace, image)):
        findings.mistake("baseDockerImage: the name of an image has no blanks", node)
    elif not is_image(image):
        findings.mistake(f"baseDockerImage: {quoted(image)} is no image's name, such as registry/name:tag", node)


def _network(findings: Findings, key: str, node: Node) -> str | None:
    text = kind.text(findings, key, node)
    if text is not None and not is_network(text):
        findings.mistake(f"{key}: {quoted(text)} is no network's name", node)
    return text


_MASTER = re.compile(
    r"local(\[(\*|[0-9]{1,4})(, ?[0-9]{1,4})?\])?|spark://[\w.-]+:[0-9]{1,5}(,[\w.-]+:[0-9]{1,5})*", re.ASCII
)
"""Masters that need nothing but Spark itself (https://spark.apache.org/docs/latest/submitting-applications.html)."""


def _master(findings: Findings, key: str, node: Node) -> str | None:
    text = kind.text(findings, key, node)
    if text is not None and not _MASTER.fullmatch(text):
        yarn = "; YARN is a compute target of type cluster" if text.startswith("yarn") else ""
        findings.mistake(f"{key}: expected local[*], local[N] or spark://HOST:PORT, found {describe(node)}{yarn}", node)
    return text


def _gpu(findings: Findings, key: str, node: Node) -> str | None:
    """``all``, a number of GPUs, or ``device=0,1``; true means all."""
    word = node.text.lower().replace(" ", "") if isinstance(node, Scalar) else ""
    if word in ("true", "yes", "on", "all"):
        return "all"
    if word in ("false", "no", "off", "none", "0"):
        return None
    if (word.isascii() and word.isdigit() and len(word) < 4) or (word.startswith("device=") and len(word) > 7):
        return word
    findings.mistake(f"{key}: expected true, all, a number of GPUs or device=0,1; found {describe(node)}", node)
    return None


_PIP = Table(
    (
        Field("indexUrl", "index_url", kind.text),
        Field("extraIndexUrls", "extra_index_urls", kind.texts, ()),
        Field("trustedHosts", "trusted_hosts", kind.texts, ()),
        Field("configurationFile", "configuration_file", kind.text),
    ),
    unknown=kind.Unknown.MISTAKE,
)

_TABLE = Table(
    (
        Field("address", "address", kind.text),
        Field("port", "port", kind.integer(1, 65535)),
        Field("username", "username", kind.text),
        Field("password", "password", kind.secret),
        Field("privateKey", "private_key", kind.secret),
        Field("privateKeyFile", "private_key_file", kind.text),
        Field("privateKeyPassphrase", "private_key_passphrase", kind.secret),
        Field("useSshKey", "use_ssh_key", kind.boolean, False),
        Field("baseDockerImage", "base_docker_image", kind.text),
        Field("sharedVolumes", "shared_volumes", kind.boolean, True),
        Field("nativeSharedDirectory", "native_shared_directory", kind.text, DEFAULT_SHARE),
        Field("nvidiaDocker", "nvidia_docker", kind.boolean, False),
        Field("pythonLocation", "python_location", kind.text, "python"),
        Field("sparkSubmitLocation", "spark_submit_location", kind.text, "spark-submit"),
        Field("master", "master", _master),
        Field("userManagedEnvironment", "user_managed_environment", kind.boolean),
        Field("yarnDeployMode", "yarn_deploy_mode", kind.choice(YarnDeployMode), YarnDeployMode.CLUSTER),
        Field("root", "root", kind.text),
        Field("artifactStore", "artifact_store", kind.store),
        Field("artifactStoreCredential", "artifact_store_credential", kind.secret),
        Field("artifactStoreUrl", "artifact_store_url", kind.url),
        Field("maxConcurrentRuns", "max_concurrent_runs", kind.integer(1, 100_000)),
        Field("gpu", "gpu", _gpu),
        Field("shmSize", "shm_size", kind.size, 2 << 30),
        Field("memory", "memory", kind.size),
        Field("cpus", "cpus", kind.number),
        Field("network", "network", _network),
        Field("volumes", "volumes", kind.texts, ()),
        Field("caCertificates", "ca_certificates", kind.text),
        Field("pip", "pip", kind.nested(_PIP, PipSettings), PipSettings()),
        Field("buildArguments", "build_arguments", kind.text_map, {}),
        Field("environmentVariables", "environment_variables", kind.variables, {}),
        Field("compression", "compression", kind.boolean, False),
    ),
    ignored=frozenset({"type", "cluster", "native", "name", "nodeCount"}),
)

_WRITTEN_ALWAYS: dict[ComputeType, frozenset[str]] = {
    ComputeType.LOCAL: frozenset({"nativeSharedDirectory", "pythonLocation"}),
    ComputeType.LOCAL_DOCKER: frozenset({"baseDockerImage", "nativeSharedDirectory", "sharedVolumes"}),
    ComputeType.REMOTE_DOCKER: frozenset(
        {"address", "baseDockerImage", "nativeSharedDirectory", "sharedVolumes", "userManagedEnvironment", "username"}
    ),
    ComputeType.REMOTE: frozenset(
        {"address", "nativeSharedDirectory", "pythonLocation", "userManagedEnvironment", "username"}
    ),
    ComputeType.CLUSTER: frozenset({"address", "userManagedEnvironment", "username", "yarnDeployMode"}),
}
"""What ``attach`` and the templates wrote for each type, beside ``type`` (WORKBENCH 1.1)."""


def read_compute(name: str, content: bytes, path: str) -> ComputeTarget:
    """Read a compute target; ``path`` is what messages call the file.

    Raises:
        ConfigurationError: with every mistake of the file.
    """
    findings = Findings(path)
    root = read_tree(content, findings)
    of_type = _type(findings, root)
    values = read_fields(findings, root, _TABLE)
    values["address"], values["port"] = read_address(findings, root, values["address"], values["port"])
    if values["user_managed_environment"] is None:
        values["user_managed_environment"] = of_type in _OWN_ENVIRONMENT
    if of_type in OVER_SSH:
        check_address(findings, root, of_type is ComputeType.CLUSTER)
        check_username(findings, root, of_type is ComputeType.CLUSTER)
    if of_type is ComputeType.CLUSTER:
        _check_cluster(findings, root)
    if of_type in IN_CONTAINER and values["base_docker_image"]:
        _check_image(findings, values["base_docker_image"], root.get("baseDockerImage"))
    refuse_plain_secrets(findings, root, frozenset({"password", "privateKeyPassphrase", "environmentVariables"}))
    findings.check()
    assert of_type is not None  # noqa: S101 - a missing type is a mistake, and mistakes were raised
    return ComputeTarget(name=name, type=of_type, warnings=findings.warning_texts(), **values)


def _check_cluster(findings: Findings, root: Mapping) -> None:
    if root.get("master") is not None:
        findings.mistake("master: a cluster's master is YARN; remove it", root.get("master"))
    if root.get("nativeSharedDirectory") is not None:
        findings.warning(
            "nativeSharedDirectory has no effect: the nodes of a cluster share no folder, and "
            "AZUREML_NATIVE_SHARE_DIRECTORY is not set there; use wasb:// or abfs:// paths",
            root.get("nativeSharedDirectory"),
        )


def write_compute(target: ComputeTarget) -> str:
    """The text of a ``.compute`` as the last Workbench wrote it: keys in alphabetical order, secrets as references."""
    always = _WRITTEN_ALWAYS[target.type]
    defaults = {**_TABLE.defaults(), "user_managed_environment": target.type in _OWN_ENVIRONMENT, "port": DEFAULT_PORT}
    content: dict[str, object] = {"type": target.type.value}
    for each in _TABLE.fields:
        value = getattr(target, each.name)
        if each.key in always or value != defaults[each.name]:
            content[each.key] = plain(value, _PIP) if each.key == "pip" else plain(value)
    content.pop("port", None)
    if target.address is not None:
        content["address"] = write_address(target.address, target.port, DEFAULT_PORT)
    return dump(content)


_LOGIN = frozenset({"password", "privateKey", "privateKeyFile", "privateKeyPassphrase", "useSshKey", "compression"})
"""How a machine is reached, which has no effect on a run there."""
_OVER_SSH_ONLY = frozenset({"address", "port", "username"})
_IN_CONTAINER_ONLY = frozenset(
    {"baseDockerImage", "sharedVolumes", "nvidiaDocker", "gpu", "shmSize", "memory", "cpus", "network", "volumes"}
)


def effect_of(target: ComputeTarget) -> dict[str, Any]:
    """The settings of a ``.compute`` that take effect on a run, defaults too, as plain values by their keys; secrets
    are references. Environment variables are left out: a run has them from several places."""
    left_out = _LOGIN | {"environmentVariables"}
    left_out |= frozenset() if target.over_ssh else _OVER_SSH_ONLY
    left_out |= frozenset() if target.in_container else _IN_CONTAINER_ONLY
    found: dict[str, Any] = {}
    for each in _TABLE.fields:
        value = getattr(target, each.name)
        if each.key == "baseDockerImage":
            value = value or default_base_image()
        if each.key not in left_out and value not in (None, (), {}, each.default if each.key == "pip" else None):
            found[each.key] = plain(value, _PIP) if each.key == "pip" else plain(value)
    effect: dict[str, Any] = without_logins(found)
    return effect


def _type(findings: Findings, root: Mapping) -> ComputeType | None:
    written = root.get("type")
    has_address = isinstance(address := root.get("address"), Scalar) and bool(address.value)
    on_docker = ComputeType.REMOTE_DOCKER if has_address else ComputeType.LOCAL_DOCKER
    if written is None or (isinstance(written, Scalar) and written.value is None):
        return _type_of_booleans(findings, root, on_docker, has_address)
    word = written.text if isinstance(written, Scalar) else ""
    known = {member.value: member for member in ComputeType}
    known |= {"docker": on_docker, "virtualmachine": ComputeType.REMOTE}
    if word in known:
        return known[word]
    if word in _GONE:
        findings.mistake(
            f"type: {quoted(word)} was a service of Azure ML that amltool does not have; "
            "use remote or remotedocker with a machine of your own",
            written,
        )
        return None
    names = [member.value for member in ComputeType]
    hint = did_you_mean(word, names)
    findings.mistake(f"type: expected {kind.one_of(names)}, found {describe(written)}{hint}", written)
    return None


def _type_of_booleans(
    findings: Findings, root: Mapping, on_docker: ComputeType, has_address: bool
) -> ComputeType | None:
    """Mid-2017 had two booleans in place of ``type``: neither meant Docker."""
    given = {}
    for key in ("cluster", "native"):
        node = root.get(key)
        given[key] = kind.boolean(findings, key, node) if node is not None else None
    if given["cluster"]:
        return ComputeType.CLUSTER
    if given["native"]:
        return ComputeType.REMOTE if has_address else ComputeType.LOCAL
    if any(root.get(key) is not None for key in ("cluster", "native", "address", "baseDockerImage")):
        return on_docker
    findings.mistake(f"type is missing: expected {kind.one_of(member.value for member in ComputeType)}", root)
    return None
