# ruff: noqa: ARG002, TID252  (the ancestor's signatures; the package is known by its place on the path)
"""What ``azureml.core.Run`` logs: metrics, tags and properties."""

import json
from types import GeneratorType
from typing import Any, Dict, Optional

from amltool import tracking
from amltool.tracking import outputs, recording, values
from amltool.tracking.recording import Kind, entry, record

from ..exceptions import UserErrorException
from . import _reading


class Logging(object):
    """Metrics, tags and properties."""

    def log(self, name: str, value: Any, description: str = "", step: Any = None) -> None:
        """Log a number or a text; a list, a range or a generator as `log_list` does, for scripts of 2018 relied on it;
        anything else as its ``repr``."""
        if isinstance(value, (list, range, GeneratorType)):
            self.log_list(name, value, description)
            return
        record([entry(Kind.METRIC, name, values.scalar(value), step, description=description)])

    def log_list(self, name: str, value: Any, description: str = "") -> None:
        record([entry(Kind.LIST, name, [values.scalar(item) for item in value], description=description)])

    def log_row(self, name: str, description: Any = None, **columns: Any) -> None:
        """Log one row of a table.

        Raises:
            UserErrorException: a column is a list.
        """
        for column in columns:
            if isinstance(columns[column], list):
                raise UserErrorException(
                    "Rows cannot contain list values, column %s contains a list." % values.text(column)
                )
        record([entry(Kind.ROW, name, columns, description=description)])

    def log_table(self, name: str, value: Any, description: str = "") -> None:
        """Log a whole table, a mapping of column name to list.

        Raises:
            UserErrorException: it is no mapping, or the lists are not of one length.
        """
        if not isinstance(value, dict):
            raise UserErrorException("Argument [Table] is of invalid type. Expected type: [dict[string]: column]")
        table = {key: value[key] if isinstance(value[key], list) else [value[key]] for key in value}
        first = next(iter(table), None)
        for key in table:
            if len(table[key]) != len(table[first]):
                raise UserErrorException(
                    "Columns must have the same length, column %s had length %d, however, column %s had length %d."
                    % (values.text(first), len(table[first]), values.text(key), len(table[key]))
                )
        record([entry(Kind.TABLE, name, table, description=description)])

    def log_image(self, name: str, path: Any = None, plot: Any = None, description: str = "") -> None:
        """Keep a picture in ``outputs``, from a file or a plot.

        Raises:
            UserErrorException: not exactly one of the two was given.
        """
        if path is not None and plot is not None:
            raise UserErrorException(
                "Invalid parameters, path and plot were both provided, only one at a time is supported"
            )
        if path is None and plot is None:
            raise UserErrorException("Invalid parameters, one of path and plot is required as input")
        kept = outputs.keep_image(name, path, plot)
        if kept is not None:
            record([entry(Kind.IMAGE, name, kept, description=description)])

    def log_confusion_matrix(self, name: str, value: Any, description: str = "") -> None:
        _log_chart("confusion_matrix", name, value, description)

    def log_accuracy_table(self, name: str, value: Any, description: str = "") -> None:
        _log_chart("accuracy_table", name, value, description)

    def log_residuals(self, name: str, value: Any, description: str = "") -> None:
        _log_chart("residuals", name, value, description)

    def log_predictions(self, name: str, value: Any, description: str = "") -> None:
        _log_chart("predictions", name, value, description)

    def tag(self, key: str, value: Any = None) -> None:
        tracking.tag(key, value)

    def set_tags(self, tags: Any) -> None:
        """Put several tags on the run: a mapping, or one name without a value."""
        named = {tags: None} if isinstance(tags, str) else tags if isinstance(tags, dict) else dict.fromkeys(tags)
        record([entry(Kind.TAG, key, named[key]) for key in named])

    def add_properties(self, properties: Dict[str, Any]) -> None:
        """Properties are kept as tags of the run."""
        record([entry(Kind.TAG, key, properties[key], property=True) for key in properties or ()])

    def get_metrics(self, name: Optional[str] = None, *_: Any, **__: Any) -> Dict[str, Any]:
        return _reading.metrics(name)

    def get_tags(self) -> Dict[str, Any]:
        return _reading.tags()

    def remove_tags(self, tags: Any) -> Dict[str, Any]:
        """Tags stay; says so."""
        recording.say_once("tags that were put on a run stay on it; put another value on them with run.tag.")
        return _reading.tags()

    def get_properties(self) -> Dict[str, Any]:
        return _reading.properties()

    tags = property(get_tags)
    properties = property(get_properties)


def _log_chart(chart: str, name: str, value: Any, description: str) -> None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise UserErrorException("Invalid JSON provided") from None
    record([entry(Kind.TABLE, name, value, description=description, chart=chart)])
