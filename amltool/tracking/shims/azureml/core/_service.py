# ruff: noqa: TID252  (the package is known by its place on the path, not by its name here)
"""Calls of ``azureml.core.Run`` that need the Azure ML service, each with what to do instead."""

from typing import Any, Dict

from ..exceptions import NotInAmltoolError

_CHILDREN = (
    "submit each as a run of its own: `amltool submit SCRIPT -- ARGUMENTS`; the parts of one run are logged under "
    "names like 'fold 1/accuracy'"
)
_SHOWN = "it is in the record of the run: `amltool show RUN`"
_HISTORY = "ask the run history: `amltool runs`, `amltool show`"
_OUTSIDE = "do it outside the run, on its recorded outputs: `amltool outputs RUN --download`"
_BY_REFERENCE = "name it in the run configuration's environment variables, as ${keyring:service/user} or ${env:NAME}"
_DATA = "read the file itself: from the project, or from the shared folder (AZUREML_NATIVE_SHARE_DIRECTORY)"

INSTEAD: Dict[str, str] = {
    "child_run": _CHILDREN,
    "create_children": _CHILDREN,
    "submit_child": _CHILDREN,
    "get": _HISTORY,
    "get_run": _HISTORY,
    "list": _HISTORY,
    "list_by_compute": _HISTORY,
    "wait_for_completion": "a run cannot wait for itself; outside it, `amltool wait RUN` does",
    "get_all_logs": "after the run: `amltool logs RUN`",
    "get_details_with_logs": "after the run: `amltool logs RUN`",
    "register_model": _OUTSIDE,
    "get_secret": _BY_REFERENCE,
    "get_secrets": _BY_REFERENCE,
    "get_environment": "the environment is recorded with the run: `amltool show RUN`",
    "take_snapshot": "the run was started from a commit, which holds all its files",
    "restore_snapshot": "outside the run: `amltool restore RUN`",
    "start": "the run has started",
    "get_portal_url": "there is no web page of a run; `amltool show RUN` shows it",
    "number": _SHOWN,
    "get_snapshot_id": "the snapshot is a commit: AMLTOOL_COMMIT in the environment",
    "get_detailed_status": _SHOWN,
    "experiment": "project and commit are in the environment: AMLTOOL_PROJECT, AMLTOOL_COMMIT",
    "input_datasets": _DATA,
    "output_datasets": "write to the outputs folder, which is collected",
}
"""Name -> what to do instead."""


def refuse(name: str) -> NotInAmltoolError:
    """The error for a call (or property) of this name."""
    return NotInAmltoolError("Run.%s is not there in amltool: %s." % (name, INSTEAD[name]))


def refusing(name: str) -> Any:
    """A method that says what to do instead."""

    def method(*_: Any, **__: Any) -> Any:
        raise refuse(name)

    method.__name__ = name
    method.__doc__ = "Not there in amltool: %s." % INSTEAD[name]
    return method
