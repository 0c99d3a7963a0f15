"""A project: the folder that holds ``aml_config``, its names, its settings."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from amltool.configuration.folder import FOLDER, read_if_there
from amltool.configuration.settings import PROJECT_FILE, PYPROJECT, Settings, read_settings
from amltool.configuration.tree import Findings, Scalar

IDENTITY_FILES = (".azureml/project.json", "aml_config/project.json")
"""Where the ancestor wrote who a project is, newest knowledge first (WORKBENCH 1.5)."""
DEFAULT_ACCOUNT = "local"
DEFAULT_WORKSPACE = "default"

_SEGMENT = re.compile(r"/(accounts|workspaces|projects|experiments)/([^/?]+)", re.IGNORECASE)
_UNSAFE = re.compile(r"[^\w.-]+")


class Names(msgspec.Struct, frozen=True):
    """Account, workspace and project: each safe as one part of a path, for the shared folder is made of them."""

    account: str
    workspace: str
    name: str


class Project(msgspec.Struct, frozen=True):
    """A project on this machine; without ``aml_config`` it is the whole repository, with default settings."""

    root: Path
    names: Names
    settings: Settings
    has_aml_config: bool


def find_project_root(start: Path, top: Path) -> Path:
    """The nearest folder from ``start`` upwards with an ``aml_config`` folder, not above ``top``; else ``top``.

    Both are absolute and free of links.
    """
    if start != top and top not in start.parents:
        return top
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return folder
        if folder == top:
            break
    return top


def load_project(root: Path) -> Project:
    """The project in a folder.

    Raises:
        ConfigurationError: the settings or names have mistakes.
        UserError: one of the files cannot be read.
    """
    settings = read_settings(read_if_there(root / PYPROJECT), read_if_there(root / PROJECT_FILE))
    return Project(root, _names(root, settings), settings, (root / FOLDER).is_dir())


def _names(root: Path, settings: Settings) -> Names:
    """Settings first, then the ancestor's files, then defaults: what was written for us wins over what it left."""
    found: dict[str, str] = {}
    if not (settings.account and settings.workspace and settings.project):
        for path in IDENTITY_FILES:
            content = read_if_there(root / path)
            if content is not None:
                found = {**_scope_names(content, path), **found}
    return Names(
        account=safe_part(settings.account or found.get("accounts", ""), DEFAULT_ACCOUNT),
        workspace=safe_part(settings.workspace or found.get("workspaces", ""), DEFAULT_WORKSPACE),
        name=safe_part(settings.project or found.get("projects") or found.get("experiments") or root.name, "project"),
    )


def _scope_names(content: bytes, path: str) -> dict[str, str]:
    """The names in the ``Scope`` of a ``project.json``: ``/subscriptions/…/accounts/A/workspaces/W/projects/P``."""
    from amltool.configuration.reading import read_tree

    findings = Findings(path)
    scope = read_tree(content, findings).get("Scope")
    if scope is not None and not isinstance(scope, Scalar):
        findings.mistake("Scope: expected text such as /subscriptions/…/accounts/A/workspaces/W/projects/P", scope)
    findings.check()
    return {kind.lower(): name for kind, name in _SEGMENT.findall(scope.text)} if isinstance(scope, Scalar) else {}


def safe_part(name: str, default: str) -> str:
    """A name as one part of a path: letters, digits, ``.``, ``_`` and ``-``; anything else becomes ``-``."""
    return _UNSAFE.sub("-", name).strip(".-")[:100].rstrip(".-") or default
