"""``azureml.dataprep.package``: the plain CSV file behind a package is read, as its data source says, and simple steps
are done: names and types of columns, rows without a value in a column. Further data preparation is not there."""

import json
import os
from typing import Any, Dict, Iterator, List, Tuple

from amltool.tracking.outputs import work_folder
from amltool.tracking.recording import say_once

REMEDY = "Read the file it was made from instead, for example with pandas.read_csv, and prepare it in the script."
ENDINGS = (".csv", ".tsv", ".txt")
SETTLED = frozenset(["DataSourceBlock", "GetFilesBlock", "SampleBlock", "HandlePathColumnBlock"])
"""Blocks that need nothing: where the file is, a sample of it for the screen, a column of its path that goes again."""
NUMBERS = (2, 3)
"""Types of columns: whole numbers, decimal ones."""


def run(package_path: str, dataflow_idx: int = 0, spark: bool = False, **_: Any) -> Any:
    """The data frame behind a package (or data source) file; a step that is not done is named on standard error.

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
    blocks = list(_blocks(content, dataflow_idx))
    options, steps, left = plan(blocks)
    if not blocks:
        say_once("%s reads %s as it is: the steps of the package are not done." % (call, sources[0]))
    elif left:
        say_once("%s reads %s: these steps of the package are not done: %s." % (call, sources[0], ", ".join(left)))
    frame = pandas.read_csv(sources[0], **options)
    if options.get("header", 0) is None:
        frame.columns = ["Column%d" % (number + 1) for number in range(len(frame.columns))]
    for step in steps:
        frame = step(pandas, frame)
    return frame


def plan(blocks: "List[Dict[str, Any]]") -> "Tuple[Dict[str, Any], List[Any], List[str]]":
    """How a file is read, the steps that follow, and the types of the blocks that are not done.

    Source: ``iris.dsource`` and ``iris.dprep`` of the Workbench's Iris sample (schemaVersion 38).
    """
    options: Dict[str, Any] = {"sep": None, "engine": "python"}
    steps: List[Any] = []
    left: List[str] = []
    for block in blocks:
        kind, given = str(block["type"]).rpartition(".")[2], block.get("arguments") or {}
        if kind in SETTLED:
            continue
        if kind == "ParseDelimitedBlock":
            options["sep"] = given.get("separator") or None
            options["header"] = 0 if given.get("columnHeadersMode") else None  # 0: the file has no row of names
            if given.get("skipRows"):
                options["skiprows"] = given["skipRows"]
        elif kind == "ColumnRenameBlock" and given.get("columnId") and given.get("newColumnId"):
            steps.append(_renamed(given["columnId"], given["newColumnId"]))
        elif kind == "SetColumnTypesBlock":
            steps += [
                _as_number(column["columnId"])
                for column in given.get("columnConversion") or ()
                if column.get("columnId") and column.get("typeProperty") in NUMBERS
            ]
        elif kind == "FilterStringColumnBlock" and given.get("columnId") and _keeps_what_is_there(given):
            steps.append(_with_value(given["columnId"]))
        else:
            left.append(kind)
    return options, steps, left


def _keeps_what_is_there(given: "Dict[str, Any]") -> bool:
    """Whether a filter keeps the rows that have a value: one clause, "is not empty"."""
    clauses = given.get("clauses") or []
    return given.get("filterResult") == 1 and [clause.get("operator") for clause in clauses] == [2]


def _renamed(old: str, new: str) -> Any:
    return lambda _, frame: frame.rename(columns={old: new})


def _as_number(name: str) -> Any:
    def step(pandas: Any, frame: Any) -> Any:
        if name in frame.columns:
            frame[name] = pandas.to_numeric(frame[name], errors="coerce")
        return frame

    return step


def _with_value(name: str) -> Any:
    def step(_: Any, frame: Any) -> Any:
        if name not in frame.columns:
            return frame
        return frame[frame[name].notnull() & (frame[name].astype(str).str.strip() != "")].reset_index(drop=True)

    return step


def _blocks(content: Any, index: int) -> "Iterator[Dict[str, Any]]":
    """The blocks of one data flow in order, those of the data source that it refers to first."""
    activities = content.get("activities") if isinstance(content, dict) else None
    if not isinstance(activities, list) or not 0 <= index < len(activities) or not isinstance(activities[index], dict):
        return
    for block in activities[index].get("blocks") or ():
        if not isinstance(block, dict) or "type" not in block:
            continue
        reference = (block.get("arguments") or {}).get("reference") or {}
        path = reference.get("referenceContainerPath")
        if path and str(path).lower().endswith(".dsource"):
            yield from _blocks(_json(_found(path)), 0)
        else:
            yield block


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
