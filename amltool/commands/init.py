"""Init: make a folder of a repository a project; what is there is never overwritten."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from amltool.configuration.choosing import list_compute_targets, list_run_configurations
from amltool.configuration.compute import default_base_image
from amltool.configuration.folder import FOLDER, read_if_there, working_files
from amltool.configuration.settings import PROJECT_FILE, PYPROJECT, read_settings
from amltool.errors import UserError
from amltool.files import write_whole
from amltool.project import find_project_root
from amltool.templates import TEMPLATES, read_template

_DOCKER = frozenset({f"{FOLDER}/docker.compute", f"{FOLDER}/docker.runconfig"})
_SPARK = frozenset({f"{FOLDER}/docker-spark.runconfig", f"{FOLDER}/conda_dependencies_spark.yml"})
_OBVIOUS_SCRIPTS = ("train.py", "main.py")
_NO_SCRIPTS = frozenset(
    {"tasks.py", "setup.py", "conftest.py", "noxfile.py", "fabfile.py", "__init__.py", "__main__.py"}
)
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")


class Done(str, Enum):
    """What became of a file."""

    WRITTEN = "written"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class InitResult:
    """What ``init`` did: ``files`` are paths in the project, ``next_steps`` sentences for the user."""

    root: Path
    files: tuple[tuple[str, Done], ...]
    next_steps: tuple[str, ...]


def init(top: Path, root: Path) -> InitResult:
    """Make the folder ``root`` of the repository ``top`` a project, or complete the project it lies in.

    Safe to repeat: it writes only what is missing, and does not bring back a ``docker`` target that was deleted.

    Raises:
        UserError: the folder cannot be written to.
    """
    project = find_project_root(root, top)
    lies_in_another = project != root and (project / FOLDER).is_dir()
    project = project if lies_in_another else root
    wanted = [path for path in TEMPLATES if path not in _unwanted(project)]
    script = find_script(project)
    done = [(path, _write(project, path, _text_of(project, path, script))) for path in wanted]
    steps = _next_steps(project, dict(done), script)
    if lies_in_another:
        where = project.relative_to(top).as_posix()
        note = (
            f"This folder lies in the project {'at the top' if where == '.' else where}; that is the one looked after."
        )
        steps.insert(0, f"{note} For a project of its own here: mkdir {FOLDER}, and run init again.")
    return InitResult(project, tuple(done), tuple(steps))


def find_script(root: Path) -> str | None:
    """The one script a user must mean: ``train.py``, ``main.py``, or the only one at the top; else ``None``."""
    try:
        scripts = {entry.name for entry in root.iterdir() if entry.suffix == ".py" and entry.is_file()}
    except OSError as error:
        raise UserError(f"{root} cannot be read: {error.strerror}.", "Mend its permissions.") from None
    for name in _OBVIOUS_SCRIPTS:
        if name in scripts:
            return name
    left = [name for name in scripts - _NO_SCRIPTS if not name.startswith(("test_", "."))]
    return left[0] if len(left) == 1 else None


def _unwanted(project: Path) -> frozenset[str]:
    """What is for Docker, or for Spark in it, where a project has run configurations of its own or deleted ours."""
    files = working_files(project)
    configurations, targets = set(list_run_configurations(files)), set(list_compute_targets(files))
    if configurations - {"local", "docker", "docker-spark"}:
        return _DOCKER | _SPARK
    if not {"local"} <= configurations & targets:
        return frozenset()
    if "docker" not in configurations | targets:
        return _DOCKER | _SPARK
    return _SPARK if "docker" in configurations and "docker-spark" not in configurations else frozenset()


def _text_of(project: Path, path: str, script: str | None) -> str:
    name = TEMPLATES[path]
    if path == f"{FOLDER}/docker.compute":
        return read_template(name, base_image=default_base_image())
    if path == PROJECT_FILE:
        line = "# script: train.py" if script is None or _script_in_pyproject(project) else f"script: {_quoted(script)}"
        return read_template(name, script=line, project=project.name.replace("\n", " "))
    return read_template(name)


def _script_in_pyproject(project: Path) -> bool:
    try:
        return read_settings(read_if_there(project / PYPROJECT), None).script is not None
    except UserError:
        return False


def _quoted(name: str) -> str:
    import json

    return name if name.replace("_", "").replace(".py", "").isalnum() and name.isascii() else json.dumps(name)


def _write(project: Path, path: str, text: str) -> Done:
    place = project / path
    if os.path.lexists(place):
        return Done.KEPT
    try:
        place.parent.mkdir(exist_ok=True)
        write_whole(place, text.encode())
    except OSError as error:
        raise UserError(
            f"{place} cannot be written: {error.strerror}.", "Make room for it, and run init again."
        ) from None
    return Done.WRITTEN


def _next_steps(project: Path, done: dict[str, Done], script: str | None) -> list[str]:
    steps: list[str] = []
    if done["tasks.py"] is Done.KEPT and b"amltool" not in (_content(project / "tasks.py") or b""):
        steps.append(
            "tasks.py was kept. For amltool's tasks beside your own, add at its end: "
            "from amltool.tasks import collection; ns = collection(__name__)"
        )
    makefile = next((name for name in _MAKEFILES if (project / name).is_file()), None)
    if makefile is None and done["amltool.mk"] is Done.WRITTEN:
        steps.append("For `make submit`, write a Makefile with the line: include amltool.mk")
    elif makefile is not None and b"amltool.mk" not in (_content(project / makefile) or b""):
        steps.append(f"For `make submit`, add to {makefile}: include amltool.mk")
    if Done.WRITTEN in done.values():
        steps.append("Commit these files; until then they are uncommitted work in every snapshot.")
        named = script if script is not None else "SCRIPT"
        steps.append(f"Then: amltool submit {named}")
        steps.append("To know the limits before each commit: amltool hooks.install (or pre-commit: see docs/checks.md)")
    return steps


def _content(path: Path) -> bytes | None:
    try:
        return read_if_there(path)
    except UserError:
        return None
