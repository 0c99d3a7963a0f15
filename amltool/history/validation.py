"""Lines of notes are input: notes come from other clones and other programs, and are never trusted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache

from amltool.artifact import Artifact, Omission
from amltool.run import (
    RUN_ID,
    DeletedEvent,
    FolderFile,
    LongList,
    RunEvent,
    RunRecord,
    TagEvent,
    Verdict,
    VerdictEvent,
    event_from_line,
    parse_timestamp,
)

LARGEST_RUN_NUMBER = 10**9
"""The next run number is the highest known plus one: a nonsense number must not spoil all that follow."""

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
    event = event_from_line(line)
    if event is None:
        return None
    fault = _fault_of_record(event) if isinstance(event, RunRecord) else _fault_of_event(event)
    if fault is not None:
        raise ValueError(fault)
    return event


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
        if time and not _is_time(time):
            return f"not a time: {time[:80]!r}"
    if record.started == "" or record.ended == "":
        return "started or ended is empty"
    if record.duration_s is not None and not math.isfinite(record.duration_s):
        return f"duration_s is not a number of seconds: {record.duration_s}"
    if record.peak_memory is not None and record.peak_memory < 0:
        return f"peak_memory is negative: {record.peak_memory}"
    for path in (record.source_directory, record.project.path):
        if path != "." and not _stays_inside(path):
            return f"a folder leaves the project: {path[:80]!r}"
    return _fault_of_files(record)


def _fault_of_files(record: RunRecord) -> str | None:
    share = record.shared_folder
    lists = (record.artifacts, record.omitted, *((share.at_start, share.at_end) if share else ()))
    for files in lists:
        if not files:
            continue
        if isinstance(files, LongList):
            if not _stays_inside(files.path):
                return f"the list {files.path[:80]!r} leaves its folder"
            if files.count < 0 or files.bytes < 0 or not _SHA256(files.sha256):
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
        if size is not None and size < 0:
            return f"{path[:80]!r} has a negative size: {size}"
        if isinstance(file, Artifact) and not _SHA256(file.sha256):
            return f"{path[:80]!r} has no SHA-256: {file.sha256[:80]!r}"
    return None


def _fault_of_event(event: TagEvent | VerdictEvent | DeletedEvent) -> str | None:
    if not _is_time(event.at):
        return f"at is not a time: {event.at[:80]!r}"
    if isinstance(event, VerdictEvent):
        if not RUN_ID.fullmatch(event.rerun):
            return f"rerun is not a run id: {event.rerun[:80]!r}"
        if event.verdict not in _VERDICTS:
            return f"not a verdict: {event.verdict[:80]!r}"
    return None


@lru_cache(maxsize=4096)
def _is_object_id(text: str) -> bool:
    return _OBJECT_ID(text) is not None


def _stays_inside(path: str) -> bool:
    if not path or path[0] == "/" or "\0" in path:
        return False
    return ".." not in path or ".." not in path.split("/")


def _is_time(text: str) -> bool:
    """Within years whose times can be moved to any time zone."""
    try:
        if text.endswith("Z"):
            return 1970 <= datetime.fromisoformat(text[:-1]).year < 9999
        return 1970 <= parse_timestamp(text).year < 9999
    except ValueError:
        return False
