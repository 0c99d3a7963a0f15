"""What is executed for the script of a run: by its interpreter, as itself, as a notebook, through ``spark-submit``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from amltool.configuration.compute import ComputeType
from amltool.configuration.runconfig import SPARK_DEPENDENCIES_FILE, SPARK_DEPENDENCIES_MISSING, Framework
from amltool.configuration.secrets import references_in, resolve_text
from amltool.environments.base import Prepared, ReadFile
from amltool.errors import UserError
from amltool.history.journal import RunRequest

if TYPE_CHECKING:
    from amltool.configuration.dependencies import SparkDependencies

NOTEBOOK_SUFFIX = ".ipynb"
_NOTEBOOK, _SPARK_RUN = "amltool/tracking/notebook.py", "amltool/tracking/spark_run.py"
_MASTER = "spark.master"
_DEPLOY_MODE = "spark.submit.deployMode"
_REPOSITORIES = "spark.jars.repositories"
_REDACTION = "spark.redaction.regex"
_OF_HADOOP = "spark.hadoop."
_REDACTED = "(?i)secret|password|token|access[.]?key"
"""Spark's own: the properties whose values its pages and its logs do not show."""
SPARK_PROPERTIES_VARIABLE = "AMLTOOL_SPARK_PROPERTIES"
"""Takes private properties to tracking/spark_run.py; whoever may read a process's variables may read its memory."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_RELATIVE_FILE = re.compile(r"file:(?!/)")


class SeenByRun(msgspec.Struct, frozen=True):
    """Paths as the run itself sees them: the folder on whose module search path tracking lies, and the work folder."""

    tracking: PurePosixPath
    work: PurePosixPath


class RunCommand(msgspec.Struct, frozen=True, kw_only=True):
    """The command of a run, program first; ``variables`` are set before the run configuration's own; ``secrets`` are
    the values among them that must not be shown."""

    command: list[str]
    variables: dict[str, str] = {}
    secrets: list[str] = []


class SparkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``spark-submit`` is given: ``options``, which anybody on the host can see, and ``private`` properties, whose
    values came from references; ``secrets`` are what the references stood for."""

    options: list[str]
    private: dict[str, str] = {}
    secrets: list[str] = []

    def private_variables(self) -> dict[str, str]:
        """The variables that bring the private properties to the process that starts Spark."""
        return {SPARK_PROPERTIES_VARIABLE: msgspec.json.encode(self.private).decode()} if self.private else {}


def command_of_run(request: RunRequest, prepared: Prepared, seen: SeenByRun, read: ReadFile) -> RunCommand:
    """What is executed for a run.

    An executable file that is no ``.py`` runs as itself, any other by the environment's Python; for the framework
    PySpark through ``spark-submit``, in client mode, a notebook too: its kernel connects to the Spark that is there.

    Raises:
        UserError: Spark is asked for and cannot be had, or a secret of its dependencies file is not there.
        ConfigurationError: with every mistake of the Spark dependencies file.
    """
    script = script_of(request, seen)
    if not request.interpreted:
        return RunCommand(command=script)
    if request.framework != Framework.PYSPARK.value:
        return RunCommand(command=[*prepared.python, *script])
    if not prepared.spark_submit:
        raise UserError(
            "The run configuration asks for PySpark, and the execution environment has no spark-submit.",
            "Add pyspark under pip in conda_dependencies.yml (or install it for the interpreter of pythonLocation), "
            "choose a base image with Spark, or set sparkSubmitLocation in the .compute.",
        )
    settings = spark_settings(request, seen.work, read)
    through = [*prepared.python, str(seen.tracking / _SPARK_RUN), *prepared.spark_submit, *settings.options, "--"]
    python = prepared.python[0]
    variables = {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    variables.update(settings.private_variables())
    return RunCommand(command=[*through, *script], variables=variables, secrets=settings.secrets)


def script_of(request: RunRequest, seen: SeenByRun) -> list[str]:
    """The script of a run with its arguments, as its interpreter takes them; a notebook by the program that runs it."""
    script = [os.fsdecode(part) for part in request.command]
    if not request.interpreted or script[0].startswith("-"):  # else Python takes it for an option of its own
        script[0] = f"./{script[0]}"
    if request.interpreted and script[0].endswith(NOTEBOOK_SUFFIX):
        script = [str(seen.tracking / _NOTEBOOK), *script]
    return script


def check_spark_dependencies(request: RunRequest, read: ReadFile) -> None:
    """Refuse what `command_of_run` would refuse of the Spark dependencies file, before anything is built.

    Raises:
        UserError, ConfigurationError: as `command_of_run`.
    """
    if request.interpreted and request.framework == Framework.PYSPARK.value:
        on_cluster = request.target_type == ComputeType.CLUSTER.value
        spark_settings(request, PurePosixPath("/"), read, on_cluster=on_cluster)


def spark_settings(
    request: RunRequest,
    work: PurePosixPath,
    read: ReadFile,
    environment: Mapping[str, str] | None = None,
    *,
    on_cluster: bool = False,
) -> SparkSettings:
    """What ``spark-submit`` is given for a run: what its Spark dependencies file says, after our own.

    Spark runs where the run does (``local[*]``), is named after the script and logs warnings only, unless the file says
    otherwise: what it logs by itself is some 100 lines for every 10 seconds, and hides what the script prints. The
    ``master`` of the ``.compute`` wins over the file's: a project moves by its target only. A
    repository that is a path (``maven``, ``file:maven``) lies in the work folder. References to secrets are resolved,
    those to variables in ``environment`` (this process's by default).

    Raises:
        UserError, ConfigurationError: as `command_of_run`.
    """
    from amltool.configuration.dependencies import SparkDependencies

    found = _spark_dependencies(request, read, on_cluster=on_cluster)
    defaults = {} if on_cluster else {_MASTER: "local[*]"}
    defaults.update({"spark.app.name": request.script, "spark.log.level": "WARN"})
    written = {**defaults, **found.configuration}
    if on_cluster:
        written = {name: value for name, value in written.items() if name not in (_MASTER, _DEPLOY_MODE)}
    if request.compute_effect.get("master"):
        written[_MASTER] = request.compute_effect["master"]
    repositories = tuple(_address(repository, work) for repository in found.repositories)
    if any(references_in(repository) for repository in repositories):
        written, repositories = {**written, _REPOSITORIES: ",".join(repositories)}, ()
    configuration: dict[str, str] = {}
    private: dict[str, str] = {}
    secrets: list[str] = []
    for name, text in written.items():
        value, hidden = resolve_text(text, environment)
        (private if references_in(text) else configuration)[name] = value
        secrets += hidden
    if private and _REDACTION not in written:  # "account.key" is none of Spark's own words
        # Spark's page of the environment lists Hadoop's properties a second time, without the prefix
        names = [re.escape(name.removeprefix(_OF_HADOOP)) for name in private]
        private[_REDACTION] = "|".join([_REDACTED, *names])
    settled = SparkDependencies(configuration=configuration, repositories=repositories, packages=found.packages)
    return SparkSettings(options=settled.spark_submit_options(), private=private, secrets=secrets)


def _spark_dependencies(request: RunRequest, read: ReadFile, *, on_cluster: bool) -> SparkDependencies:
    from amltool.configuration.dependencies import SparkDependencies, read_spark_dependencies

    path = request.spark_dependencies_file or SPARK_DEPENDENCIES_FILE
    content = read(path)
    if content is None:
        if path == SPARK_DEPENDENCIES_FILE:
            return SparkDependencies()
        raise UserError(
            SPARK_DEPENDENCIES_MISSING.format(path, f"commit {request.commit[:12]}"),
            "Add it to Git, or name another as SparkDependenciesFile of the run configuration.",
        )
    found = read_spark_dependencies(content, path)
    if not on_cluster and found.configuration.get(_DEPLOY_MODE, "client") != "client":
        raise UserError(
            f"{path}: {_DEPLOY_MODE} is {found.configuration[_DEPLOY_MODE]!r}, and here the script runs where Spark is "
            "started.",
            f"Remove {_DEPLOY_MODE}, or run on a compute target of the type cluster.",
        )
    return found


def _address(repository: str, work: PurePosixPath) -> str:
    """A repository as Spark takes it: an URL; what is a path becomes one."""
    path = _RELATIVE_FILE.sub("", repository)
    if path == repository and _URL.match(repository):
        return repository
    from urllib.parse import quote

    return "file://" + quote(os.path.normpath(work / path))
