"""The environment variables of a run: what it inherits, what it asked for, and what amltool sets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from amltool.history.journal import RunRequest
from amltool.layout import RunFolder
from amltool.run_input import INPUT_VARIABLE

SHARE_VARIABLE = "AZUREML_NATIVE_SHARE_DIRECTORY"
DROPPED = frozenset(
    {
        "PWD",
        "OLDPWD",
        "INIT_CWD",
        "_",
        "PYTHONSTARTUP",
        "PYTHONDONTWRITEBYTECODE",
        SHARE_VARIABLE,
        "AMLTOOL_METRICS_FILE",
    }
)
"""Names that say where the user stands, or what an amltool around us set; a run has its own."""
_FOREIGN = ("GIT_", INPUT_VARIABLE)


def inherited_variables(project: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """This machine's variables as a local run gets them: nothing in them points at the user's own folder.

    Git's variables, the current folder and entries of PYTHONPATH inside the project are left out; PATH and
    VIRTUAL_ENV stay, for they say which interpreter is the user's.
    """
    environment = os.environ if environment is None else environment
    kept = {name: value for name, value in environment.items() if name not in DROPPED and not name.startswith(_FOREIGN)}
    if "PYTHONPATH" in kept:
        outside = [entry for entry in kept["PYTHONPATH"].split(os.pathsep) if entry and not _inside(entry, project)]
        kept.pop("PYTHONPATH")
        if outside:
            kept["PYTHONPATH"] = os.pathsep.join(outside)
    return kept


def inherited_there(login: Mapping[str, str]) -> dict[str, str]:
    """The variables of a login on another machine as a run there gets them."""
    return {name: value for name, value in login.items() if name not in DROPPED and not name.startswith(INPUT_VARIABLE)}


def _inside(entry: str, project: Path) -> bool:
    try:
        return (Path.cwd() / entry).resolve().is_relative_to(project)
    except OSError:
        return False


def run_variables(
    inherited: Mapping[str, str],
    request: RunRequest,
    own: Mapping[str, str],
    folder: RunFolder,
    tracking: PurePosixPath,
    share: PurePosixPath | None,
) -> dict[str, str]:
    """All variables of a run (DESIGN 3); paths are those the run itself sees.

    ``own`` are the run configuration's (references resolved), ``tracking`` the folder whose ``sitecustomize`` makes
    the tracking API importable, ``share`` the shared folder, ``None`` where the target has none (a cluster).
    """
    variables = {**inherited, **own}
    python_path = [str(tracking), *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    variables.update(
        PYTHONPATH=os.pathsep.join(python_path),
        AZUREML_RUN_ID=request.run_id,
        AZUREML_OUTPUT_DIRECTORY="./outputs",
        AZUREML_TARGET_TYPE=request.target_type,
        AZUREML_FRAMEWORK=request.framework,
        AMLTOOL_RUN_ID=request.run_id,
        AMLTOOL_COMMIT=request.commit,
        AMLTOOL_PROJECT=request.project.name,
        AMLTOOL_METRICS_FILE=str(folder.metrics),
        PWD=str(folder.work),
    )
    variables.update({each.variable: str(each.place(folder)) for each in request.inputs})
    if share is not None:
        variables[SHARE_VARIABLE] = f"{str(share).rstrip('/')}/"
    return variables
