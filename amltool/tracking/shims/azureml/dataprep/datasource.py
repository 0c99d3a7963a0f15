"""``azureml.dataprep.datasource``: the data frame of a data source file."""

from typing import Any

from .package import run


def load_datasource(path: str, spark: bool = False, **_: Any) -> Any:
    """The data frame of a ``.dsource`` file. Raises as `azureml.dataprep.package.run`."""
    return run(path, spark=spark)
