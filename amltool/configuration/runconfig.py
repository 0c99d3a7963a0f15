"""Run configurations: ``aml_config/NAME.runconfig`` in every form it was written (WORKBENCH 1.2)."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence as AbstractSequence
from enum import Enum
from typing import Any

import msgspec

from amltool.configuration import fields as kind
from amltool.configuration.fields import Field, Table, read_fields, refuse_plain_secrets
from amltool.configuration.reading import read_tree
from amltool.configuration.successor import ContainerWishes, is_successor, read_successor, write_successor
from amltool.configuration.tree import Findings, Mapping, Node, Sequence, describe, plain_value
from amltool.configuration.writing import dump, plain
from amltool.errors import UserError

CONDA_DEPENDENCIES_FILE = "aml_config/conda_dependencies.yml"
SPARK_DEPENDENCIES_FILE = "aml_config/spark_dependencies.yml"

RUN_CONFIGURATION_MISSING = "Run config with name = {} doesn't exist in the aml_config folder"
RUN_CONFIGURATION_SUFFIXED = "Run config name should not be suffixed with .runconfig"
ARGUMENT_VECTOR_EMPTY = "ArgumentVector in runconfig cannot be empty."
COMPUTE_MISSING = "Compute target = {} doesn't exist at {}"
SPARK_DEPENDENCIES_MISSING = "Spark dependencies file = {} doesn't exist at {}"
SCRIPT_NOT_NAMED = "Please specify the script to run, with its arguments if any."
"""The ancestor's words (WORKBENCH 1, 2.3)."""

FILE_PLACEHOLDER = "$file"
"""In an ArgumentVector: the script at hand; the ancestor's app put the open file there."""


class Framework(str, Enum):
    """What the script is written for: ``PySpark`` is run by ``spark-submit``."""

    PYTHON = "Python"
    PYSPARK = "PySpark"


NOT_COMPARED = frozenset({"content", "warnings"})


class RunConfiguration(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How to run. ``content`` is the file as read, plain values, secrets as references; duration in seconds.

    ``warnings`` were found in the file; neither they nor ``content`` make two configurations differ.
    """

    name: str
    argument_vector: tuple[str, ...] = ()
    target: str | None = None
    environment_variables: AbstractMapping[str, str] = {}
    framework: Framework = Framework.PYSPARK
    conda_dependencies_file: str = CONDA_DEPENDENCIES_FILE
    spark_dependencies_file: str = SPARK_DEPENDENCIES_FILE
    prepare_environment: bool = False
    tracked_run: bool = True
    use_sampling: bool = True
    data_source_settings: AbstractMapping[str, Any] = {}
    data_source_substitutions: AbstractMapping[str, Any] = {}
    max_run_duration_seconds: int | None = None
    container: ContainerWishes | None = None
    content: AbstractMapping[str, Any] = {}
    warnings: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunConfiguration) and all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name not in NOT_COMPARED
        )

    __hash__ = None  # type: ignore[assignment] # it holds maps

    @property
    def dependency_files(self) -> tuple[str, ...]:
        """The dependency files it reads, paths in the project; Spark's only for PySpark."""
        if self.framework is Framework.PYSPARK:
            return self.conda_dependencies_file, self.spark_dependencies_file
        return (self.conda_dependencies_file,)


def _arguments(findings: Findings, key: str, node: Node) -> tuple[str, ...] | None:
    if isinstance(node, Sequence) and not node.items:
        findings.mistake(f"{ARGUMENT_VECTOR_EMPTY} Write '- $file', or the script and its arguments", node)
        return None
    return kind.texts(findings, key, node)


def _any_map(findings: Findings, key: str, node: Node) -> Any:
    if isinstance(node, Mapping):
        return plain_value(node)
    findings.mistake(f"{key}: expected a map, found {describe(node)}", node)
    return None


def _target(findings: Findings, key: str, node: Node) -> str | None:
    name = kind.text(findings, key, node)
    if name is not None and not is_name(name):
        findings.mistake(f"{key}: expected the name of a compute target, found {describe(node)}", node)
        return None
    if name is not None and name.endswith(".compute"):
        findings.mistake(f"{key}: the name is written without .compute", node)
        return None
    return name


def is_name(name: str) -> bool:
    """Whether a text can be the name of a compute target or run configuration: a file name, not a path."""
    return 0 < len(name) <= 128 and name == name.strip() and not name.startswith((".", "-")) and "/" not in name


_TABLE = Table(
    (
        Field("ArgumentVector", "argument_vector", _arguments, ()),
        Field("Target", "target", _target),
        Field("EnvironmentVariables", "environment_variables", kind.variables, {}),
        Field("Framework", "framework", kind.choice(Framework), Framework.PYSPARK),
        Field("CondaDependenciesFile", "conda_dependencies_file", kind.project_path, CONDA_DEPENDENCIES_FILE),
        Field("SparkDependenciesFile", "spark_dependencies_file", kind.project_path, SPARK_DEPENDENCIES_FILE),
        Field("PrepareEnvironment", "prepare_environment", kind.boolean, False),
        Field("TrackedRun", "tracked_run", kind.boolean, True),
        Field("UseSampling", "use_sampling", kind.boolean, True),
        Field("DataSourceSettings", "data_source_settings", _any_map, {}),
        Field("DataSourceSubstitutions", "data_source_substitutions", _any_map, {}),
        Field("MaxRunDurationSeconds", "max_run_duration_seconds", kind.integer(1, 10**9)),
    ),
    ignored=frozenset({"Description", "CondaFile", "ManagedEnvironment", "AutoPrepareEnvironment"}),
)

_VARIABLES = frozenset({"EnvironmentVariables", "environmentVariables"})

_WRITTEN_ALWAYS = frozenset(
    {
        "ArgumentVector",
        "CondaDependenciesFile",
        "EnvironmentVariables",
        "Framework",
        "PrepareEnvironment",
        "SparkDependenciesFile",
        "Target",
        "TrackedRun",
        "UseSampling",
    }
)
"""What the last Workbench wrote (WORKBENCH 1.1)."""


def read_run_configuration(name: str, content: bytes, path: str) -> RunConfiguration:
    """Read a run configuration; ``path`` is what messages call the file.

    Raises:
        ConfigurationError: with every mistake of the file.
    """
    findings = Findings(path)
    root = read_tree(content, findings)
    if is_successor(root, _TABLE.known()):
        values = {"framework": Framework.PYTHON, **read_successor(findings, root, kind.choice(Framework), _target)}
    else:
        values = read_fields(findings, root, _TABLE)
    for each in ("DataSourceSettings", "DataSourceSubstitutions"):
        if root.get(each) is not None and plain_value(root)[each]:
            findings.warning(f"{each}: not done, for amltool prepares no data: the script reads its files itself", root)
    refuse_plain_secrets(findings, root, _VARIABLES)
    findings.check()
    return RunConfiguration(name=name, content=plain_value(root), warnings=findings.warning_texts(), **values)


def write_run_configuration(configuration: RunConfiguration) -> str:
    """The text of a ``.runconfig`` as the last Workbench wrote it, or, where it asks for a container, azureml-core."""
    if configuration.container is not None:
        return dump(write_successor(msgspec.structs.asdict(configuration)))
    content: dict[str, Any] = {}
    for each in _TABLE.fields:
        value = getattr(configuration, each.name)
        if each.key in _WRITTEN_ALWAYS or value != each.default:
            content[each.key] = plain(value) if value not in ({}, ()) else None
    return dump(content)


def dependency_paths(content: AbstractMapping[str, Any]) -> tuple[str, ...]:
    """The dependency files that a run configuration's ``content`` (as recorded with a run) names; paths in the project.

    Raises:
        ConfigurationError: it is no run configuration's content.
    """
    return read_run_configuration("recorded", dump(content).encode(), "the recorded run configuration").dependency_files


def command_of(
    configuration: RunConfiguration,
    script: str | None,
    arguments: AbstractSequence[str],
    default_script: str | None = None,
) -> tuple[str, tuple[str, ...]]:
    """What runs: the script and its arguments.

    A script given replaces the whole ArgumentVector. Without one the vector runs, the arguments after its own, and
    ``$file`` in its first place stands for the project's ``script`` setting (``default_script``).

    Raises:
        UserError: nothing says which script.
    """
    if script:
        return script, tuple(arguments)
    vector = configuration.argument_vector
    if not vector:
        raise UserError(
            ARGUMENT_VECTOR_EMPTY,
            f"Name the script (amltool submit SCRIPT), or write it into {configuration.name}.runconfig.",
        )
    first = default_script if vector[0] == FILE_PLACEHOLDER else vector[0]
    if not first:
        raise UserError(
            SCRIPT_NOT_NAMED,
            "Name it (amltool submit SCRIPT), or once for all: `script: train.py` in aml_config/project.yml.",
        )
    return first, (*vector[1:], *arguments)
