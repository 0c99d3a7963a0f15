"""Lines of notes are input: notes come from other clones and other programs, and are never trusted.

A line that says what no run can have is refused, alone. A value that is only odd (nested too deep, a number without
end) is replaced as it is read, for a script may have logged it: its run stays in the list.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from amltool.artifact import Artifact, Metric, Omission
from amltool.run import (
    RUN_ID,
    DeletedEvent,
    FolderFile,
    LongList,
    PromotedEvent,
    RunEvent,
    RunRecord,
    TagEvent,
    Verdict,
    VerdictEvent,
    WholeRecord,
    event_from_line,
    is_time,
)

LARGEST_RUN_NUMBER = 10**9
"""A record with a higher one is damaged."""
LONGEST_LINE = 32 << 20
"""Bytes of one event."""
LARGEST_SIZE = (1 << 63) - 1
"""Bytes that a file, a list or a memory can have (``off_t``)."""
DEEPEST = 32
"""Levels to which a value of free form may be nested."""
LARGEST_NUMBER = 10**300
"""A whole number beyond it is taken for infinite: it has no place in a ``float``."""
_EXIT_CODES = range(-(1 << 31), 1 << 32)
"""Also those of Windows. A shell sees 0 to 255."""

LARGEST_VERSION = 10**9
"""Of an asset."""
LONGEST_ASSET_NAME = 200
"""Bytes, so that ``.link`` has room behind it."""
_ASSET_NAME = re.compile(r"[^\W_][\w.+ -]{0,99}").fullmatch
_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?").fullmatch
_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_ROOT_OR_NONE = ("", "/")
_VERDICTS = frozenset(verdict.value for verdict in Verdict)


def read_event(line: bytes) -> RunEvent | None:
    """The event on a line of a note; ``None`` for a kind or version of event this amltool does not know.

    Raises:
        ValueError: the line is damaged, or says what no amltool writes (a path that leaves its folder, a negative
            size, a time that is none); the message says which.
    """
    if len(line) > LONGEST_LINE:
        raise ValueError(f"an event of {len(line):,} bytes; one has at most {LONGEST_LINE:,}")
    event = event_from_line(line)
    if event is None:
        return None
    fault = _fault_of_record(event) if isinstance(event, RunRecord) else _fault_of_event(event)
    if fault is not None:
        raise ValueError(fault)
    return _tamed(event, line)


def read_indexed(line: bytes) -> RunEvent | None:
    """`read_event` for a line that was found good when it was indexed: a third of the time."""
    event = event_from_line(line)
    return None if event is None else _tamed(event, line)


def lines_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a note that are not blank, each with the offset in bytes at which it begins."""
    place = 0
    for line in content.split(b"\n"):
        if line.strip():
            yield place, line
        place += len(line) + 1


def _fault_of_record(record: RunRecord) -> str | None:
    if not _is_object_id(record.commit):
        return f"commit is not a full id: {record.commit[:80]!r}"
    for oid in (record.tree, record.base_commit):
        if oid and not _is_object_id(oid):
            return f"tree or base_commit is not a full id: {oid[:80]!r}"
    if not 0 <= record.run_number <= LARGEST_RUN_NUMBER:
        return f"run_number is out of range: {record.run_number}"
    if record.rerun_of is not None and not RUN_ID.fullmatch(record.rerun_of):
        return f"rerun_of is not a run id: {record.rerun_of[:80]!r}"
    for time in (record.created, record.started, record.ended):
        if time and not is_time(time):
            return f"not a time: {time[:80]!r}"
    if record.started == "" or record.ended == "":
        return "started or ended is empty"
    if not isinstance(record.arguments_base64, msgspec.UnsetType) and not _are_exact(record):
        return "arguments_base64 is not what arguments says"
    if "\0" in record.script or any("\0" in argument for argument in record.arguments):
        return "NUL in script or arguments"
    if record.duration_s is not None and not math.isfinite(record.duration_s):
        return f"duration_s is not a number of seconds: {record.duration_s}"
    if any(metric.count < 0 for metric in record.metrics.values()):
        return "a metric has a negative count"
    if record.peak_memory is not None and record.peak_memory < 0:
        return f"peak_memory is negative: {record.peak_memory}"
    for path in (record.source_directory, record.project.path):
        if path != "." and not _stays_inside(path):
            return f"a folder leaves the project: {path[:80]!r}"
    return _fault_of_files(record)


def _fault_of_files(record: RunRecord) -> str | None:
    whole = record.whole
    if isinstance(whole, WholeRecord) and (whole.bytes < 0 or not _SHA256(whole.sha256)):
        return f"the whole record has a wrong size or SHA-256: {whole.sha256[:80]!r}"
    share = record.shared_folder
    lists = (record.artifacts, record.omitted, *((share.at_start, share.at_end) if share else ()))
    for files in lists:
        if not files:
            continue
        if isinstance(files, LongList):
            if not _stays_inside(files.path):
                return f"the list {files.path[:80]!r} leaves its folder"
            if not _is_size(files.count) or not _is_size(files.bytes) or not _SHA256(files.sha256):
                return f"the list {files.path[:80]!r} has a wrong count, size or SHA-256"
            continue
        fault = _fault_of_list(files)
        if fault is not None:
            return fault
    return None


def _fault_of_list(files: Sequence[Artifact | Omission | FolderFile]) -> str | None:
    for file in files:
        path, size = file.path, file.size
        if (path[:1] in _ROOT_OR_NONE or ".." in path or "\0" in path) and not _stays_inside(path):
            return f"a path leaves its folder: {path[:80]!r}"
        if size is not None and not _is_size(size):
            return f"{path[:80]!r} has a size that is none: {size}"
        if isinstance(file, Artifact) and not _SHA256(file.sha256):
            return f"{path[:80]!r} has no SHA-256: {file.sha256[:80]!r}"
    return None


def _fault_of_event(event: TagEvent | VerdictEvent | PromotedEvent | DeletedEvent) -> str | None:
    if not is_time(event.at):
        return f"at is not a time: {event.at[:80]!r}"
    if isinstance(event, VerdictEvent):
        if not RUN_ID.fullmatch(event.rerun):
            return f"rerun is not a run id: {event.rerun[:80]!r}"
        if event.verdict not in _VERDICTS:
            return f"not a verdict: {event.verdict[:80]!r}"
    if isinstance(event, PromotedEvent):
        if not is_asset_name(event.name) or not 0 < event.version <= LARGEST_VERSION:
            return f"not a name or a version of an asset: {event.name[:80]!r}, {event.version}"
        return _fault_of_list([Artifact(event.path, event.size, event.sha256, event.store)])
    return None


def is_asset_name(name: str) -> bool:
    """Return True for a name that an asset can have: a file name, at most 100 letters, digits, blanks and ``._+-``."""
    return _ASSET_NAME(name) is not None and name == name.strip(" .") and len(name.encode()) <= LONGEST_ASSET_NAME


@lru_cache(maxsize=4096)
def _is_object_id(text: str) -> bool:
    return _OBJECT_ID(text) is not None


def _stays_inside(path: str) -> bool:
    if not path or path[0] == "/" or "\0" in path:
        return False
    return ".." not in path or ".." not in path.split("/")


def _is_size(size: int) -> bool:
    return 0 <= size <= LARGEST_SIZE


def _are_exact(record: RunRecord) -> bool:
    try:
        exact = record.exact_arguments()
    except (binascii.Error, ValueError):
        return False
    return len(exact) == len(record.arguments) and not any("\0" in argument for argument in exact)


def _tamed(event: RunEvent, line: bytes) -> RunEvent:
    """The event with the values of free form such that they can be written, compared and shown."""
    may_be_deep = line.count(b"[") + line.count(b"{") > DEEPEST
    if isinstance(event, VerdictEvent) and may_be_deep and not _is_tame(event.causes):
        return msgspec.structs.replace(event, causes=_tame(event.causes))
    if not isinstance(event, RunRecord):
        return event
    changes: dict[str, Any] = {}
    if event.exit_code is not None and event.exit_code not in _EXIT_CODES:
        changes["exit_code"] = None
    if event.peak_memory is not None and event.peak_memory > LARGEST_SIZE:
        changes["peak_memory"] = None
    for name in ("run_configuration_content", "inputs", "verdicts") if may_be_deep else ():
        value = getattr(event, name)
        if value and not _is_tame(value):
            changes[name] = _tame(value)
    if not all(_is_tame_metric(metric) for metric in event.metrics.values()):
        changes["metrics"] = {name: _tame_metric(metric) for name, metric in event.metrics.items()}
    return msgspec.structs.replace(event, **changes) if changes else event


def _is_tame_metric(metric: Metric) -> bool:
    return (
        _is_tame(metric.last)
        and metric.count <= LARGEST_SIZE
        and (metric.min is None or abs(metric.min) <= LARGEST_NUMBER)
        and (metric.max is None or abs(metric.max) <= LARGEST_NUMBER)
    )


def _tame_metric(metric: Metric) -> Metric:
    if _is_tame_metric(metric):
        return metric
    return Metric(last=_tame(metric.last), count=min(metric.count, LARGEST_SIZE))


def _is_tame(value: Any, left: int = DEEPEST) -> bool:
    if isinstance(value, (str, float, bool)) or value is None:
        return True
    if isinstance(value, int):
        return -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    values = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_is_tame(each, left - 1) for each in values)


def _tame(value: Any, left: int = DEEPEST) -> Any:
    """The value with an ellipsis for what is nested too deep, and the words of the metrics for infinite numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        if -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
            return value
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (dict, list)) and not left:
        return "…"
    if isinstance(value, dict):
        return {key: _tame(each, left - 1) for key, each in value.items()}
    return [_tame(each, left - 1) for each in value] if isinstance(value, list) else value
