"""What a run can say about itself: its own lines of ``metrics.jsonl``, folded as the ancestor's service did."""

import json
import os
from typing import Any, Dict, List, Optional

from amltool.tracking.recording import entries_so_far, metrics_file

_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}


def metrics(name: Optional[str] = None) -> Dict[str, Any]:
    """Metric by name: a value, or what several of one name come to: a list; rows and tables, a list a column."""
    found: Dict[str, List[Dict[str, Any]]] = {}
    for entry in entries_so_far():
        if entry["kind"] not in ("parameter", "tag") and name in (None, entry["name"]):
            found.setdefault(entry["name"], []).append(entry)
    return {key: _folded(entries) for key, entries in found.items()}


def tags() -> Dict[str, Any]:
    """The tags of this run as logged so far."""
    return {entry["name"]: entry.get("value") for entry in _tags() if not entry.get("property")}


def properties() -> Dict[str, Any]:
    """The properties that were added, and the commit of the run."""
    found: Dict[str, Any] = {}
    commit = os.environ.get("AMLTOOL_COMMIT")
    if commit:
        found = {"azureml.git.commit": commit, "mlflow.source.git.commit": commit}
    found.update((entry["name"], entry.get("value")) for entry in _tags() if entry.get("property"))
    return found


def started() -> Optional[str]:
    """When this run started, as the bootstrap noted it; ``None`` where that is not to be seen."""
    try:
        with open(os.path.join(os.path.dirname(metrics_file() or ""), "start.json"), "rb") as stream:
            found = json.loads(stream.read().decode("utf-8")).get("started")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _tags() -> List[Dict[str, Any]]:
    return [entry for entry in entries_so_far() if entry["kind"] == "tag"]


def _folded(entries: List[Dict[str, Any]]) -> Any:
    values: List[Any] = [entry.get("value") for entry in entries]
    kinds = {entry["kind"] for entry in entries}
    if kinds == {"list"}:
        return [_number(item) for value in values for item in (value if isinstance(value, list) else [value])]
    if (
        kinds <= {"row", "table"}
        and all(isinstance(value, dict) for value in values)
        and (len(values) > 1 or "table" in kinds)
    ):
        return _columns(values)
    found = [_number(value) for value in values]
    return found[0] if len(found) == 1 else found


def _columns(values: List[Dict[str, Any]]) -> Dict[str, Any]:
    if len(values) == 1:
        return values[0]
    columns: Dict[str, Any] = {}
    for value in values:
        for name, column in value.items():
            columns.setdefault(name, []).extend(column if isinstance(column, list) else [column])
    return columns


def _number(value: Any) -> Any:
    return _NUMBERS.get(value, value) if isinstance(value, str) else value
