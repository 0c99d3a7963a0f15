"""Tracking: what a script says about its own run. Standard library only, Python 3.6 and later, works alone.

    from amltool import tracking

    tracking.log_parameter("learning rate", 0.1)
    tracking.log_metric("accuracy", 0.97, step=3)
    tracking.log_image("confusion matrix", plot=figure)

Outside a run the same calls do nothing, and say so once. No call ends a script because something cannot be written.
"""

import os
from typing import Any, Iterable, Mapping, Optional

from amltool.tracking import outputs as _outputs
from amltool.tracking.recording import Entry as _Entry
from amltool.tracking.recording import Kind as _Kind
from amltool.tracking.recording import entry as _entry
from amltool.tracking.recording import metrics_file as _metrics_file
from amltool.tracking.recording import record as _record
from amltool.tracking.values import plain as _plain

__all__ = [
    "input_path",
    "log_image",
    "log_list",
    "log_metric",
    "log_metrics",
    "log_parameter",
    "log_parameters",
    "log_row",
    "log_table",
    "outputs_directory",
    "run_id",
    "share_directory",
    "tag",
]


def log_metric(name: str, value: Any, step: Optional[Any] = None) -> None:
    """Log a number or a text; a name logged several times is a series. A list or an array is logged as a list."""
    _record([_metric(name, value, step)])


def log_metrics(metrics: Mapping[str, Any], step: Optional[Any] = None) -> None:
    """Log several metrics at once, in one write."""
    _record([_metric(name, metrics[name], step) for name in metrics])


def log_list(name: str, values: Iterable[Any]) -> None:
    """Log a list of values: anything that can be gone through, arrays too."""
    found = _plain(values)
    if not isinstance(found, list):
        goes_on = hasattr(values, "__next__")  # a generator; arrays and their like are plain already
        found = _plain(list(values)) if goes_on else [found]
    _record([_Entry(_Kind.LIST, name, found, None, {})])


def log_row(*arguments: str, **columns: Any) -> None:
    """``log_row(name, column=value, ...)``: log one row of a table that grows; a column may be called ``name``."""
    if not arguments and "name" in columns:
        arguments = (columns.pop("name"),)
    if len(arguments) != 1:
        raise TypeError("log_row takes the name of the row, and its columns as keywords")
    _record([_entry(_Kind.ROW, arguments[0], columns)])


def log_table(name: str, columns: Any) -> None:
    """Log a whole table: a mapping of column name to list, or a data frame."""
    found = _plain(columns)
    if isinstance(found, dict):
        found = {key: column if isinstance(column, list) else [column] for key, column in found.items()}
    _record([_Entry(_Kind.TABLE, name, found, None, {})])


def log_image(name: str, path: Optional[Any] = None, plot: Optional[Any] = None) -> None:
    """Log a picture: the file at ``path``, or a matplotlib ``plot``; it is kept in ``outputs``.

    Raises:
        ValueError: not exactly one of the two was given.
    """
    if (path is None) == (plot is None):
        raise ValueError("log_image takes one of path and plot.")
    kept = _outputs.keep_image(name, path, plot) if _metrics_file() else ""
    if kept is not None:
        _record([_entry(_Kind.IMAGE, name, kept)])


def log_parameter(name: str, value: Any) -> None:
    """Log what the run was done with; a name logged again replaces what was logged before."""
    _record([_entry(_Kind.PARAMETER, name, value)])


def log_parameters(parameters: Mapping[str, Any]) -> None:
    """Log several parameters at once, in one write: ``log_parameters(vars(parser.parse_args()))``."""
    _record([_entry(_Kind.PARAMETER, name, parameters[name]) for name in parameters])


def tag(key: str, value: Optional[str] = None) -> None:
    """Put a tag on the run, with or without a value."""
    _record([_entry(_Kind.TAG, key, value)])


def run_id() -> Optional[str]:
    """The id of this run; ``None`` outside a run."""
    return os.environ.get("AMLTOOL_RUN_ID") or None


def input_path(name: str) -> str:
    """The file of an input of this run, absolute and read-only (``amltool submit --input NAME=...``).

    Raises:
        LookupError: the run has no such input; says how to give it one.
    """
    found = os.environ.get("AMLTOOL_INPUT_" + name.upper().replace("-", "_"))
    if not found:
        raise LookupError(
            "This run has no input {0!r}. Submit it with: --input {0}=assets/FILE.link, or {0}=RUN:outputs/FILE; "
            "by hand, set AMLTOOL_INPUT_{1}.".format(name, name.upper().replace("-", "_"))
        )
    return found


def outputs_directory() -> str:
    """The folder whose files are collected (absolute; it is there); by hand, ``outputs`` where the script started."""
    return _outputs.outputs_folder()


def share_directory() -> Optional[str]:
    """The folder that survives runs on this compute target, with a trailing separator; ``None`` where there is none."""
    return os.environ.get("AZUREML_NATIVE_SHARE_DIRECTORY") or None


def _metric(name: Any, value: Any, step: Any) -> _Entry:
    found = _plain(value)
    if isinstance(found, list):
        return _Entry(_Kind.LIST, name, found, step, {})
    return _Entry(_Kind.TABLE if isinstance(found, dict) else _Kind.METRIC, name, found, step, {})
