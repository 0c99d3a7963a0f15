# ruff: noqa: ARG002  (the ancestor's signatures)
"""The run outside a run: says on standard output what would have been logged, word for word as the ancestor did."""

import sys
import uuid
from typing import Any, Optional

from ._service import INSTEAD


class OfflineRun(object):
    """What ``Run.get_context()`` gives outside a run."""

    def __init__(self, parent_logger: Any = None, run_id: Optional[str] = None, **_: Any) -> None:
        self._run_id = "OfflineRun_{}".format(uuid.uuid4()) if run_id is None else run_id

    @property
    def id(self) -> str:
        """``OfflineRun_`` and a random UUID."""
        return self._run_id

    def log(self, name: str, value: Any, description: str = "", step: Any = None) -> None:
        self._emit("scalar", name, value)

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        self._emit("list", name, value)

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        self._emit("table", name, value)

    def log_row(self, name: str, description: Any = None, **columns: Any) -> None:
        self._emit("row", name, columns)

    def log_image(self, name: str, path: Any = None, plot: Any = None, description: str = "") -> None:
        self._emit("image", name, plot or path)

    def log_residuals(self, name: str, value: Any, description: Any = None) -> None:
        self._emit("residual", name, value)

    def log_predictions(self, name: str, value: Any, description: Any = None) -> None:
        self._emit("predictions", name, value)

    def log_accuracy_table(self, name: str, value: Any, description: Any = None) -> None:
        self._emit("accuracy_table", name, value)

    def log_confusion_matrix(self, name: str, value: Any, description: Any = None) -> None:
        self._emit("confusion_matrix", name, value)

    def add_properties(self, properties: Any) -> None:
        _say("Attempted to add properties {0}".format(properties))

    def set_tags(self, tags: Any) -> None:
        _say("Attempted to set tags {0}".format(tags))

    def tag(self, name: str, value: Any = None) -> None:
        _say("Attempted to add tag {0} with value {1}".format(name, value))

    def upload_folder(self, name: str, path: Any, datastore_name: Any = None) -> None:
        _say("Attempted to track folder {0} at {1}".format(name, path))

    def upload_files(
        self,
        name: Any,
        paths: Any,
        return_artifacts: bool = False,
        timeout_seconds: Any = None,
        datastore_name: Any = None,
    ) -> None:
        _say("Attempted to track files {0} at {1} with timeout {2}s".format(name, paths, timeout_seconds))

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Any = None) -> None:
        _say("Attempted to track file {0} at {1}".format(name, path_or_stream))

    def complete(self) -> None:
        """Do nothing."""

    def fail(self, error_details: Any = None, error_code: Any = None) -> None:
        _say("Run failed with error code {}:\n{}".format(str(error_code), str(error_details)))

    def cancel(self) -> None:
        """Do nothing."""

    def flush(self) -> None:
        _say("Attempted to flush run with id {0}".format(self.id))

    def child_run(self, name: Any = None, run_id: Any = None, outputs: Any = None) -> "OfflineRun":
        child = str(uuid.uuid4()) if name is None else name
        return OfflineRun(run_id="{}.{}".format(self.id, child) if run_id is None else run_id)

    def __enter__(self) -> "OfflineRun":
        _say("[START] Run {} context".format(self.id))
        return self

    def __exit__(self, *_: Any) -> None:
        _say("[STOP] Run {} context".format(self.id))

    def __getattr__(self, name: str) -> Any:
        sentence = "'_OfflineRun' object has no attribute %r" % name
        if name in INSTEAD:
            sentence += ": outside a run nothing is kept, so test run.id for 'OfflineRun'; in a run, %s" % INSTEAD[name]
        raise AttributeError(sentence)

    def _emit(self, kind: str, name: str, value: Any) -> None:
        _say("Attempted to log {0} metric {1}:\n{2}".format(kind, name, value))


OfflineRun.__name__ = OfflineRun.__qualname__ = "_OfflineRun"  # as the scripts know it


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
