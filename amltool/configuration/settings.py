"""A project's settings: one set of keys in ``[tool.amltool]`` of ``pyproject.toml`` and ``aml_config/project.yml``.

The latter wins, key by key. Reading them is on the path of every Git hook, so a file that says nothing about amltool
costs no parser: YAML is not imported for a file of comments, nor TOML for one without our table.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping as AbstractMapping
from typing import Any

import msgspec

from amltool.configuration import fields as kind
from amltool.configuration.fields import Field, Table, Unknown, read_given, refuse_plain_secrets
from amltool.configuration.secrets import SecretReference
from amltool.configuration.tree import Findings, Mapping, Node, Scalar, Sequence, describe
from amltool.limits import MB, Limits, Profile

PYPROJECT = "pyproject.toml"
PROJECT_FILE = "aml_config/project.yml"

MAX_BYTES = 1 << 20
"""Of a ``pyproject.toml``."""
MAX_DEPTH = 40

_OURS_IN_TOML = re.compile(
    rb"^(?:\xef\xbb\xbf)?[ \t]*(?:\[+[ \t]*tool[ \t]*\.[ \t\"']*amltool\b|amltool[ \t]*[.=]|tool[ \t]*\.)", re.MULTILINE
)
_SAYS_SOMETHING = re.compile(rb"^[ \t]*[^#\s]", re.MULTILINE)
_TOML_HEADER = re.compile(r"\s*\[+(?P<ours>\s*tool\s*\.\s*[\"']?amltool[\"']?\s*(?:\.\s*(?P<table>[\w-]+)\s*)?\])?")
_TOML_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*[.=]")
_TOML_DOTTED = re.compile(rb"(?<![\w\"'-])(?:[\w\"'-]{1,64}[ \t]{0,8}\.[ \t]{0,8}){%d}" % (MAX_DEPTH + 1))
"""Deeper dotted keys take Python's TOML parser quadratic time and memory."""
_TOML_PLACE = re.compile(r"at line (\d+), column (\d+)")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a project settles once for all. Sizes are bytes; ``None`` where nothing is settled."""

    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    script: str | None = None
    require_clean: bool = False
    limits: Limits = Limits()
    artifact_store: str | None = None
    artifact_store_credential: SecretReference | None = None
    artifact_store_url: str | None = None
    storage: str | None = None
    storage_credential: SecretReference | None = None
    storage_url: str | None = None
    max_artifact_size: int = 512 * MB
    keep_run_folders: int = 3
    share_hash: bool = False
    max_file_size: int | None = None
    notebook_output_size: int = MB
    secrets_allow: tuple[str, ...] = ()
    strict_hooks: bool = False
    warn_unpushed_history: bool = True


def _limits(findings: Findings, key: str, node: Node) -> dict[str, Any] | None:
    """The limits that are given; ``max_files: null`` (or 0) is given too: no limit on the number of files."""
    if not isinstance(node, Mapping):
        findings.mistake(f"{key}: expected a map of limits, found {describe(node)}", node)
        return None
    given = read_given(findings, node, _LIMITS)
    unlimited = node.get("max_files")
    if isinstance(unlimited, Scalar) and unlimited.plain and unlimited.text.lower() in ("null", "~", "0"):
        given["max_files"] = None
    return given


_LIMITS = Table(
    (
        Field("warn_size", "warn_size", kind.size),
        Field("max_size", "max_size", kind.size),
        Field("max_files", "max_files", kind.integer(0, 10**9)),
        Field("profile", "profile", kind.choice(Profile)),
    ),
    unknown=Unknown.MISTAKE,
)
_TABLE = Table(
    (
        Field("account", "account", kind.text),
        Field("workspace", "workspace", kind.text),
        Field("project", "project", kind.text),
        Field("script", "script", kind.project_path),
        Field("require_clean", "require_clean", kind.boolean),
        Field("limits", "limits", _limits),
        Field("artifact_store", "artifact_store", kind.store),
        Field("artifact_store_credential", "artifact_store_credential", kind.secret),
        Field("artifact_store_url", "artifact_store_url", kind.url),
        Field("storage", "storage", kind.storage),
        Field("storage_credential", "storage_credential", kind.secret),
        Field("storage_url", "storage_url", kind.url),
        Field("max_artifact_size", "max_artifact_size", kind.size),
        Field("max_tracked_file_size", "max_artifact_size", kind.size),
        Field("keep_run_folders", "keep_run_folders", kind.integer(0, 100_000)),
        Field("share_hash", "share_hash", kind.boolean),
        Field("max_file_size", "max_file_size", kind.size),
        Field("notebook_output_size", "notebook_output_size", kind.size),
        Field("secrets_allow", "secrets_allow", kind.texts),
        Field("strict_hooks", "strict_hooks", kind.boolean),
        Field("warn_unpushed_history", "warn_unpushed_history", kind.boolean),
    ),
    unknown=Unknown.MISTAKE,
    elsewhere={name: f"limits: {{{name}: ...}}" for name in _LIMITS.known()},
)


def read_settings(pyproject: bytes | None, project_file: bytes | None) -> Settings:
    """The settings from the content of the two files, ``None`` where one is absent.

    Raises:
        ConfigurationError: with every mistake of the first file that has any.
    """
    given: dict[str, Any] = {}
    if pyproject is not None and _OURS_IN_TOML.search(pyproject):
        given = _given(Findings(PYPROJECT), lambda findings: _toml_tree(pyproject, findings))
    if project_file is not None and _SAYS_SOMETHING.search(project_file):
        from amltool.configuration.reading import read_tree

        above = _given(Findings(PROJECT_FILE), lambda findings: read_tree(project_file, findings))
        given = {**given, **above, "limits": {**given.get("limits", {}), **above.get("limits", {})}}
    limits = given.pop("limits", {})
    return Settings(**given, limits=_limits_of(limits))


def _given(findings: Findings, read: Any) -> dict[str, Any]:
    tree = read(findings)
    given = read_given(findings, tree, _TABLE)
    refuse_plain_secrets(findings, tree)
    findings.check()
    return given


def _limits_of(given: AbstractMapping[str, Any]) -> Limits:
    basis = Limits.of(given.get("profile", Profile.SDK))
    values = {name: getattr(basis, name) for name in ("warn_size", "max_size", "max_files", "profile")}
    return Limits(**{**values, **given})


def _toml_tree(content: bytes, findings: Findings) -> Mapping:
    """Our table as a tree; TOML's parser keeps no places, so the line of a key is looked up in the text."""
    if len(content) > MAX_BYTES:
        findings.add(f"the file has {len(content):,} bytes; amltool reads its settings from at most {MAX_BYTES:,}")
    elif deep := _TOML_DOTTED.search(content):
        findings.add(f"a key has more than {MAX_DEPTH} parts", content.count(b"\n", 0, deep.start()) + 1)
    findings.check()
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        text = content.decode("utf-8-sig")
        table = tomllib.loads(text).get("tool", {}).get("amltool", {})
    except UnicodeDecodeError as error:
        findings.add("the file is not UTF-8 text: save it as UTF-8", content.count(b"\n", 0, error.start) + 1)
    except (tomllib.TOMLDecodeError, RecursionError, AttributeError) as error:
        place = _TOML_PLACE.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        reason = "nested too deep" if isinstance(error, RecursionError) else _TOML_PLACE.sub("", str(error))
        findings.add(f"not valid TOML: {reason.removesuffix(' ()')}", line, column)
    findings.check()
    node = _toml_node(table, _toml_lines(text), None, findings)
    findings.check()
    if not isinstance(node, Mapping):
        findings.add("tool.amltool: expected a table")
        findings.check()
        raise AssertionError("unreachable")
    return node


def _toml_node(
    value: Any, lines: AbstractMapping[str, int], line: int | None, findings: Findings, depth: int = 0
) -> Node:
    if depth > MAX_DEPTH:
        findings.add(f"values are nested more than {MAX_DEPTH} deep", line)
    elif isinstance(value, dict):
        keys = [Scalar(key, False, lines.get(key)) for key in value]
        inner = [_toml_node(value[key.text], lines, key.line, findings, depth + 1) for key in keys]
        return Mapping(tuple(zip(keys, inner, strict=True)), line)
    elif isinstance(value, list):
        return Sequence(tuple(_toml_node(item, lines, line, findings, depth + 1) for item in value), line)
    elif isinstance(value, bool):
        return Scalar(str(value).lower(), True, line)
    elif not isinstance(value, int) or abs(value) < 10**18:
        return Scalar(str(value), not isinstance(value, str), line)
    else:
        findings.add("a number has more than 18 digits", line)
    return Scalar("", True, line)


def _toml_lines(text: str) -> dict[str, int]:
    """The line (from 1) where each key of our tables is first set, or where the table of that name begins."""
    found: dict[str, int] = {}
    ours = False
    for place, line in enumerate(text.split("\n"), 1):
        if header := _TOML_HEADER.match(line):
            ours = header["ours"] is not None
            if ours and header["table"]:
                found.setdefault(header["table"], place)
        elif ours and (key := _TOML_KEY.match(line)):
            found.setdefault(key[1], place)
    return found
