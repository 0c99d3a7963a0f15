"""``azureml.sdk.data_collector``, the oldest name of the Workbench's logger."""

from ..logging import Logger, get_azureml_logger  # noqa: TID252


def current_run() -> Logger:
    """The logger of this run."""
    return get_azureml_logger()
