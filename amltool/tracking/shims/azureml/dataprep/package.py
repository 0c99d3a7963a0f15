"""``azureml.dataprep.package``: data preparation itself is not there; a plain CSV file behind a package is read."""

import json
import os
from typing import Any, Iterator, List

from amltool.tracking.outputs import work_folder
from amltool.tracking.recording import say_once

REMEDY = "Read the file it was made from instead, for example with pandas.read_csv, and prepare it in the script."
ENDINGS = (".csv", ".tsv", ".txt")


def run(package_path: str, dataflow_idx: int = 0, spark: bool = False, **_: Any) -> Any:  # noqa: ARG001
    """The data frame behind a package file, as it was before any step of the package.

    Raises:
        NotImplementedError: it is no plain CSV file lying in the project, or pandas is missing; says which.
    """
    call = "azureml.dataprep.package.run(%r)" % (package_path,)
    if spark:
        raise NotImplementedError("%s asks for a Spark data frame, and amltool prepares no data. %s" % (call, REMEDY))
    content = _json(_found(package_path))
    if content is None:
        raise NotImplementedError("%s: there is no such package file, or it is not JSON. %s" % (call, REMEDY))
    sources = _csv_files(content)
    if len(sources) != 1:
        raise NotImplementedError(
            "%s: amltool prepares no data, and the package names %s CSV file that lies in the project. %s"
            % (call, "no" if not sources else "more than one", REMEDY)
        )
    try:
        import pandas  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise NotImplementedError("%s needs pandas to read %s. %s" % (call, sources[0], REMEDY)) from None
    say_once("%s reads %s as it is: the steps of the package are not done." % (call, sources[0]))
    return pandas.read_csv(sources[0], sep=None, engine="python")


def _csv_files(content: Any) -> List[str]:
    """The CSV files that a package names, itself or through its data sources, and that are there."""
    found: List[str] = []
    for named in _texts(content):
        path = _found(named)
        if named.lower().endswith(ENDINGS) and path not in found and os.path.isfile(path):
            found.append(path)
        if named.lower().endswith(".dsource"):
            found += [path for path in _csv_files_of_source(_found(named)) if path not in found]
    return found


def _csv_files_of_source(path: str) -> List[str]:
    paths = [_found(named) for named in _texts(_json(path)) if named.lower().endswith(ENDINGS)]
    return [path for path in paths if os.path.isfile(path)]


def _found(named: str) -> str:
    """Where the longest end of a path that a desktop knew lies in the project; where it would lie, if nowhere."""
    parts = [part for part in named.replace("\\", "/").split("/") if part not in ("", ".", "..")] or ["."]
    for start in range(len(parts)):
        path = os.path.join(work_folder(), *parts[start:])
        if os.path.isfile(path):
            return path
    return os.path.join(work_folder(), *parts)


def _json(path: str) -> Any:
    try:
        with open(path, "rb") as stream:
            return json.loads(stream.read().decode("utf-8-sig"))
    except (OSError, ValueError):
        return None


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)
