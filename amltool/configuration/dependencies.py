"""What a run's execution environment is made of: ``conda_dependencies.yml`` and ``spark_dependencies.yml``."""

from __future__ import annotations

import re
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from typing import Any

from amltool.configuration import fields as kind
from amltool.configuration.fields import Field, Table, read_fields
from amltool.configuration.reading import read_tree
from amltool.configuration.tree import Findings, Mapping, Node, Scalar, Sequence, describe, quoted

_SPECIFICATION = re.compile(r"(?:[A-Za-z0-9_./:-]+::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*)", re.DOTALL)
_EXACT_BUILD = re.compile(r"=(=?)\s*([^\s=<>!~,|]+)\s*=\s*[^\s=]+")
_BUILD_AFTER_VERSION = re.compile(r"((?:^|[=<>!~])[^\s,|]*[^\s,|=<>!~])\s+[^\s,|=<>!~]+$")
_COMES_WITH_PYTHON = frozenset({"python", "pip", "setuptools", "wheel"})
_COORDINATE = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class CondaDependencies:
    """A conda environment file (WORKBENCH 1.3): conda's packages and pip's, each as it is written there."""

    name: str | None = None
    channels: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    variables: AbstractMapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def python_version(self) -> str | None:
        """The version asked for: ``3.5.2``, or a constraint such as ``>=3.8,<4``; ``None`` where any will do."""
        for package in self.packages:
            name, constraint = _parts(package)
            if name == "python":
                return re.sub(r"^==?\s*", "", without_build(constraint)).strip() or None
        return None

    @property
    def needs_conda(self) -> tuple[str, ...]:
        """The names of the packages that only conda can install; when empty, a plain Python with pip is enough."""
        names = (_parts(package)[0] for package in self.packages)
        return tuple(dict.fromkeys(name for name in names if name not in _COMES_WITH_PYTHON))


@dataclass(frozen=True, slots=True)
class SparkPackage:
    """A Maven artifact."""

    group: str
    artifact: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


@dataclass(frozen=True, slots=True)
class SparkDependencies:
    """What Spark is started with (WORKBENCH 1.4)."""

    configuration: AbstractMapping[str, str] = field(default_factory=dict)
    repositories: tuple[str, ...] = ()
    packages: tuple[SparkPackage, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def spark_submit_options(self) -> list[str]:
        """The options of ``spark-submit`` that say the same, in the order of the file."""
        options = [part for key, value in self.configuration.items() for part in ("--conf", f"{key}={value}")]
        if self.repositories:
            options += ["--repositories", ",".join(self.repositories)]
        if self.packages:
            options += ["--packages", ",".join(map(str, self.packages))]
        return options


def read_conda_dependencies(content: bytes, path: str) -> CondaDependencies:
    """Read a conda environment file; a name, pip and python may be absent.

    Raises:
        ConfigurationError: with every mistake of the file.
    """
    findings = Findings(path)
    values = read_fields(findings, read_tree(content, findings), _CONDA)
    packages, pip = values.pop("dependencies")
    findings.check()
    return CondaDependencies(packages=packages, pip=pip, warnings=findings.warning_texts(), **values)


def read_spark_dependencies(content: bytes, path: str) -> SparkDependencies:
    """Read Spark's dependencies; each part may be absent, empty or null.

    Raises:
        ConfigurationError: with every mistake of the file.
    """
    findings = Findings(path)
    values = read_fields(findings, read_tree(content, findings), _SPARK)
    findings.check()
    return SparkDependencies(warnings=findings.warning_texts(), **values)


def without_build(constraint: str) -> str:
    """A conda constraint without the build that may follow a version: ``0.41.2 py_0``, ``=0.41.2=py_0``.

    Source: MatchSpec of conda, https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
    """
    constraint = constraint.strip()
    if with_build := _EXACT_BUILD.fullmatch(constraint):
        return f"{'=' if with_build[1] else ''}={with_build[2]}"
    return _BUILD_AFTER_VERSION.sub(r"\1", constraint)


def _parts(specification: str) -> tuple[str, str]:
    """Name and constraint of a conda package: ``numpy=1.13``, ``conda-forge::numpy >=1.13``, ``python 3.6``."""
    found = _SPECIFICATION.fullmatch(specification.strip())
    return (found[1].lower(), found[2].partition("#")[0].strip()) if found else (specification, "")


def _dependencies(findings: Findings, key: str, node: Node) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    if not isinstance(node, Sequence):
        findings.mistake(f"{key}: expected a list (lines that begin with '- '), found {describe(node)}", node)
        return None
    packages: list[str] = []
    pip: list[str] = []
    for item in node.items:
        if isinstance(item, Mapping):
            pip += _pip(findings, item)
        elif not isinstance(item, Scalar) or item.value is None:
            findings.mistake(f"{key}: expected a package (`- numpy=1.13`) or `- pip:`, found {describe(item)}", item)
        elif not _SPECIFICATION.fullmatch(item.text.strip()):
            findings.mistake(f"{key}: {quoted(item.text)} is not a conda package such as numpy=1.13", item)
        else:
            packages.append(item.text.strip())
    return tuple(packages), tuple(pip)


def _pip(findings: Findings, item: Mapping) -> tuple[str, ...]:
    lists = [value for key, value in item.entries if key.text == "pip"]
    for key, _ in item.entries:
        if key.text != "pip":
            hint = "write `- name=version`" if key.text != "Pip" else "did you mean 'pip'?"
            findings.mistake(f"dependencies: {quoted(key.text)} does not open a list; only `- pip:` does ({hint})", key)
    if not lists or (isinstance(lists[0], Scalar) and lists[0].value is None):
        return ()
    return kind.texts(findings, "pip", lists[0]) or ()


def _packages(findings: Findings, key: str, node: Node) -> tuple[SparkPackage, ...] | None:
    if not isinstance(node, Sequence):
        findings.mistake(f"{key}: expected a list of packages, found {describe(node)}", node)
        return None
    found = (_package(findings, key, item) for item in node.items)
    return tuple(package for package in found if package is not None)


def _package(findings: Findings, key: str, item: Node) -> SparkPackage | None:
    parts: dict[str, Any] = {}
    if isinstance(item, Mapping):
        before = len(findings.mistakes)
        parts = read_fields(findings, item, _COORDINATES)
        if len(findings.mistakes) > before:
            return None
    elif isinstance(item, Scalar) and item.text.count(":") == 2:
        parts = dict(zip(("group", "artifact", "version"), item.text.split(":"), strict=True))
    missing = [name for name in ("group", "artifact", "version") if not parts.get(name)]
    if missing:
        what = describe(item) if len(missing) == 3 else f"no {kind.one_of(missing)}"
        findings.mistake(f"{key}: expected group, artifact and version of a Maven package, found {what}", item)
        return None
    if wrong := [part for part in parts.values() if not _COORDINATE.fullmatch(part)]:
        findings.mistake(f"{key}: {quoted(wrong[0])} cannot be part of a Maven package's name", item)
        return None
    return SparkPackage(**parts)


def _properties(findings: Findings, key: str, node: Node) -> dict[str, str] | None:
    values = kind.text_map(findings, key, node)
    for name in values or {}:
        if "=" in name or not name.strip() or any(map(str.isspace, name)):
            findings.mistake(f"{key}: {quoted(name)} cannot be the name of a Spark property", node)
    return values


def _repositories(findings: Findings, key: str, node: Node) -> tuple[str, ...] | None:
    values = kind.texts(findings, key, node)
    for value in values or ():
        if "," in value or any(map(str.isspace, value)) or value.startswith("-"):
            findings.mistake(f"{key}: expected the URL of a Maven repository, found {quoted(value)}", node)
    return values


_CONDA = Table(
    (
        Field("name", "name", kind.text),
        Field("channels", "channels", kind.texts, ()),
        Field("dependencies", "dependencies", _dependencies, ((), ())),
        Field("variables", "variables", kind.variables, {}),
    ),
    ignored=frozenset({"prefix"}),
)
_SPARK = Table(
    (
        Field("configuration", "configuration", _properties, {}),
        Field("repositories", "repositories", _repositories, ()),
        Field("packages", "packages", _packages, ()),
    ),
    ignored=frozenset({"version", "precachePackages"}),
)
_COORDINATES = Table(
    (
        Field("group", "group", kind.text),
        Field("artifact", "artifact", kind.text),
        Field("version", "version", kind.text),
    ),
)
