"""Which ``spark-submit`` belongs to an interpreter."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SPARK_SUBMIT = "spark-submit"


def spark_submit_of(interpreter: Path, location: str, search_path: str | None) -> list[str]:
    """The program that starts Spark for an interpreter, as `Prepared.spark_submit`; empty where there is none.

    ``location`` is ``sparkSubmitLocation`` of a ``.compute``: a name on the search path or a path (``~`` is the home
    folder). As it stands by default, the one beside the interpreter comes first: it is that of the interpreter's own
    ``pyspark``, which is in the environment lock.
    """
    location = location.strip() or SPARK_SUBMIT
    if location == SPARK_SUBMIT:
        beside = interpreter.parent / SPARK_SUBMIT
        if os.access(beside, os.X_OK):
            return [str(beside)]
    if "/" in location:
        location = os.fspath(Path(location).expanduser())
    found = shutil.which(location, path=search_path)
    return [os.path.abspath(found)] if found else []  # noqa: PTH100 - links are kept
