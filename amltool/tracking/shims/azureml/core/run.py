# ruff: noqa: TID252  (the package is known by its place on the path, not by its name here)
"""``azureml.core.run``: the run as scripts know it from the Azure ML SDK, kept by amltool's tracking.

In a run every call is written beside the run's other metrics and files; outside one the ancestor's own offline run
says what would have been logged. What needs the service says so, and what to do instead.
"""

import os
from typing import Any, Dict, Iterator, Optional

from amltool import tracking
from amltool.tracking import recording

from ..exceptions import RunEnvironmentException
from . import _reading
from ._files import Files
from ._logging import Logging
from ._offline import OfflineRun as _OfflineRun
from ._service import refuse, refusing

__all__ = ["Run", "_OfflineRun", "_SubmittedRun", "get_run"]


class Run(Logging, Files):
    """A run; inside one, ``Run.get_context()`` gives it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise refuse("get")

    @classmethod
    def get_context(cls, allow_offline: bool = True, **_: Any) -> Any:
        """This run; outside a run, one that only says what it is asked to do.

        Raises:
            RunEnvironmentException: outside a run, and ``allow_offline`` is false.
        """
        if recording.metrics_file() is not None:
            return _SubmittedRun.current()
        if allow_offline:
            return _OfflineRun()
        raise RunEnvironmentException()

    @classmethod
    def get_submitted_run(cls, **_: Any) -> Any:
        """The same by its name of 2017; outside a run it gives the offline run, as scripts of then are run by hand."""
        recording.say_once("Run.get_submitted_run() is deprecated, use Run.get_context() instead")
        return cls.get_context()

    get = refusing("get")
    list = refusing("list")
    list_by_compute = refusing("list_by_compute")
    child_run = refusing("child_run")
    create_children = refusing("create_children")
    submit_child = refusing("submit_child")
    wait_for_completion = refusing("wait_for_completion")
    get_all_logs = refusing("get_all_logs")
    get_details_with_logs = refusing("get_details_with_logs")
    register_model = refusing("register_model")
    get_secret = refusing("get_secret")
    get_secrets = refusing("get_secrets")
    get_environment = refusing("get_environment")
    take_snapshot = refusing("take_snapshot")
    restore_snapshot = refusing("restore_snapshot")
    start = refusing("start")
    get_portal_url = refusing("get_portal_url")
    get_snapshot_id = refusing("get_snapshot_id")
    get_detailed_status = refusing("get_detailed_status")
    number = property(refusing("number"))
    experiment = property(refusing("experiment"))
    input_datasets = property(refusing("input_datasets"))
    output_datasets = property(refusing("output_datasets"))


class _SubmittedRun(Run):
    """The run this script is in; its status is that of the script, whatever the script says about it."""

    _current: "Optional[_SubmittedRun]" = None

    def __init__(self, *_: Any, **__: Any) -> None:
        self.id = self.name = self.display_name = tracking.run_id() or os.environ.get("AZUREML_RUN_ID") or "run"

    @classmethod
    def current(cls) -> "_SubmittedRun":
        """The one run of this process."""
        if _SubmittedRun._current is None:
            _SubmittedRun._current = _SubmittedRun()
        return _SubmittedRun._current

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            "'Run' object has no attribute %r: what a run has in amltool is in its docs/tracking.md; with azureml-core "
            "in the dependencies of the run the real one is imported." % name
        )

    type = "azureml.scriptrun"
    parent = None
    status = "Running"

    def get_status(self) -> str:
        return self.status

    def get_details(self) -> Dict[str, Any]:
        details: Dict[str, Any] = {"runId": self.id, "target": os.environ.get("AZUREML_TARGET_TYPE")}
        details["status"] = self.status
        begun = _reading.started()
        if begun:
            details["startTimeUtc"] = begun
        logs = {name: name for name in self.get_file_names() if name.startswith("logs/")}
        details.update(properties=self.get_properties(), inputDatasets=[], outputDatasets=[], logFiles=logs)
        return details

    def get_children(self, *_: Any, **__: Any) -> Iterator[Any]:
        """No run has children here."""
        return iter(())

    def complete(self) -> None:
        """The run is complete when its script is."""

    def fail(self, error_details: Any = None, error_code: Any = None) -> None:
        """Note the error as tags ``error`` and ``error_code``; only the script's exit code makes the run fail.

        Raises:
            TypeError: the details are neither a text nor an exception.
        """
        noted = {"error_code": "UserError" if error_code is None else error_code}
        if isinstance(error_details, BaseException):
            noted["error"] = "User program failed with {}: {}".format(type(error_details).__name__, error_details)
        elif isinstance(error_details, str):
            noted["error"] = error_details
        elif error_details is not None:
            raise TypeError("error_details must be instance of string or BaseException.")
        self.set_tags(noted)

    def cancel(self) -> None:
        recording.say_once("cancel is not supported for submitted runs.")

    def flush(self, timeout_seconds: Any = 300) -> None:
        """Whatever was logged is written already."""

    def __enter__(self) -> "_SubmittedRun":
        return self

    def __exit__(self, *_: Any) -> None:
        self.complete()


get_run = refusing("get_run")
