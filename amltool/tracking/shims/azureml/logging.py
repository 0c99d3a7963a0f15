"""``azureml.logging`` of Azure ML Workbench (2017), kept by amltool's tracking."""

from typing import Any

from amltool import tracking
from amltool.tracking import outputs, recording


class Logged(object):
    """What ``log`` and ``upload`` give: they are done when they return, so there is nothing to wait for."""

    def wait(self, *_: Any, **__: Any) -> None:
        """Return at once."""


class Logger(object):
    """The logger of this run; outside a run it says so once and keeps nothing."""

    def log(self, name: str, value: Any, *_: Any, **__: Any) -> Logged:
        """Log a number, a text, a list or an array; a name logged several times is a series."""
        tracking.log_metric(name, value)
        return Logged()

    def upload(self, artifact_path: str, content: Any) -> Logged:
        """Keep text, bytes or what can be read from a stream as a file in ``outputs``."""
        if recording.metrics_file() is None:
            recording.record([])
            return Logged()
        if hasattr(content, "read"):
            content = content.read()
        try:
            outputs.keep_content(artifact_path, _bytes(content))
        except OSError as error:
            recording.say_once("the file %s is not kept (%s)." % (artifact_path, error))
        return Logged()


def get_azureml_logger(*_: Any, **__: Any) -> Logger:
    """The logger of this run; always the same one."""
    return _logger


_logger = Logger()


def _bytes(content: Any) -> bytes:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    return str(content).encode("utf-8", "surrogateescape")
