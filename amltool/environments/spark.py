"""Spark and execution environments: an interpreter's ``spark-submit``, and recipes beside a Spark that is there."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amltool.environments.recipe import Recipe

SPARK_SUBMIT = "spark-submit"
SPARK_PACKAGES = frozenset({"pyspark", "openjdk"})
"""Packages that bring Spark, and Java for it: some 300 MB, of which a cluster uses its own."""
_NAME = re.compile(r"(?:[^\s:]+::)?([A-Za-z0-9][A-Za-z0-9._-]*)")


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


def without_spark(recipe: Recipe) -> Recipe:
    """A recipe without Spark and Java, for a cluster, which has its own; a lock's URLs stay as they are."""
    from msgspec.structs import replace

    kept = {part: tuple(filter(_is_no_spark, getattr(recipe, part))) for part in ("packages", "pip", "needs_conda")}
    return replace(recipe, **kept)


def _is_no_spark(requirement: str) -> bool:
    found = _NAME.match(requirement)
    return found is None or found[1].lower() not in SPARK_PACKAGES


def spark_version(lock: bytes) -> str | None:
    """The version of ``pyspark`` in an environment lock; ``None`` where it has none."""
    import msgspec

    from amltool.environments.lock import read_lock

    try:
        packages = read_lock(lock).packages
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return next((package.version for package in packages if package.name == "pyspark"), None)
