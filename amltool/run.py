"""A run: its id, its statuses, its record, and how the events of the history fold into it."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any

import msgspec

from amltool.artifact import Artifact, Metric, Omission
from amltool.files import safe_text

RECORD_VERSION = 1
RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{7}-[a-z2-7]{4}")


class RunStatus(str, Enum):
    """The ancestor's statuses (WORKBENCH 6). A host that does not answer says nothing about the run."""

    NOT_STARTED = "NotStarted"
    PREPARING = "Preparing"
    QUEUED = "Queued"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED})


class Verdict(str, Enum):
    """What a rerun says about the original (DESIGN 6)."""

    REPRODUCED = "reproduced"
    WITHIN_TOLERANCE = "within-tolerance"
    DIFFERS = "differs"
    NOT_COMPARABLE = "not-comparable"

    @property
    def is_same(self) -> bool:
        return self in (Verdict.REPRODUCED, Verdict.WITHIN_TOLERANCE)


class Tolerances(msgspec.Struct, frozen=True):
    """How much a number may differ: ``atol + rtol * |original|``; and what is not to count, as file patterns."""

    rtol: float = 0.0
    atol: float = 0.0
    ignored_outputs: tuple[str, ...] = ()
    ignored_metrics: tuple[str, ...] = ()

    def within(self, original: float, rerun: float) -> bool:
        try:
            return abs(rerun - original) <= self.atol + self.rtol * abs(original)
        except OverflowError:  # a whole number too large for a float
            return False


ENDED_FIRST = "it had ended by itself before the cancel reached it"
NO_REASON = (None, "", ENDED_FIRST)
"""Reasons of a record that say nothing against its end: there is none, or a cancel came too late."""

EXACTLY = Tolerances()
"""Nothing may differ, and everything counts."""


def new_run_id(commit: str, now: datetime | None = None) -> str:
    """A run id: the UTC second, seven hex digits of the commit, four random base32 characters."""
    second = (now or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%S")
    return f"{second}-{commit[:7]}-{base64.b32encode(os.urandom(5)).decode().lower()[:4]}"


def timestamp(now: datetime | None = None) -> str:
    """UTC, ISO 8601, milliseconds, ``Z``: the one form of a time in everything we write."""
    moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parse_timestamp(text: str) -> datetime:
    """The inverse of `timestamp`; takes any ISO 8601 form. Raises ValueError."""
    moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def is_time(text: str) -> bool:
    """Return True for an ISO 8601 time within years whose times can be moved to any time zone."""
    try:
        return 1970 <= parse_timestamp(text).year < 9999
    except ValueError:
        return False


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended: an exit code or the name of a signal (``SIGKILL``), times (UTC, ISO), memory in bytes.

    ``reason`` is one sentence where the numbers do not say it: out of memory, time-out, canceled, host restarted.
    """

    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    canceled: bool = False
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None
    peak_memory: int | None = None
    proof: str | None = None
    """What only its bootstrap and its client know; an end without it may be one that the run made up."""


class ProjectNames(msgspec.Struct, frozen=True):
    """Which project of whom a run belongs to; ``path`` is the project's folder in its repository."""

    account: str = ""
    workspace: str = ""
    name: str = ""
    path: str = "."


class FolderFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file in the shared folder: size in bytes, modification time, SHA-256 when asked for."""

    path: str
    size: int
    mtime: str | None = None
    sha256: str | None = None


class LongList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list of more than 200 entries: itself an artifact, of which the record keeps this."""

    count: int
    bytes: int
    sha256: str
    path: str


class SharedFolder(msgspec.Struct, frozen=True):
    """The shared folder of a run's target, and what it held before and after."""

    host_path: str
    run_path: str
    at_start: list[FolderFile] | LongList = []
    at_end: list[FolderFile] | LongList = []


class NewFiles(msgspec.Struct, frozen=True):
    """New files that a run left outside of ``outputs/`` and ``logs/``: how many (at most `MOST_NEW_FILES`), and some of
    their paths in its folder."""

    count: int
    examples: list[str] = []


MOST_NEW_FILES = 5000


class EnvironmentUsed(msgspec.Struct, frozen=True):
    """The execution environment a run used: its key, the digest of its lock, its image where it has one, and the
    version of Spark where the run went through it."""

    key: str = ""
    lock_sha256: str = ""
    image: str | None = None
    spark: str | None = None


class SettingsUsed(msgspec.Struct, frozen=True):
    """The settings and options that took effect on a run: its time limit in seconds, limits in bytes, the profile that
    ruled its snapshot, whether the shared folder was hashed and the environment could be built for it."""

    timeout_s: float | None = None
    max_artifact_size: int | None = None
    profile: str = ""
    share_hash: bool = False
    prepare: bool = True
    artifact_store: str | None = None


class WholeRecord(msgspec.Struct, frozen=True):
    """A record that was too long for a note: the whole of it is in the store, and these ``keys`` of it are clipped.

    ``count`` is how many; ``bytes`` and ``sha256`` are those of the whole.
    """

    count: int
    bytes: int
    sha256: str
    path: str
    keys: list[str] = []


class RunRecord(msgspec.Struct, frozen=True, tag_field="event", tag="run", kw_only=True):
    """The whole record of a finished run: one line of JSON in a note (docs/history-format.md)."""

    v: int = RECORD_VERSION
    run_id: str
    run_number: int = 0
    status: RunStatus
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None
    script: str = ""
    arguments: list[str] = []
    arguments_base64: list[str] | msgspec.UnsetType = msgspec.UNSET
    run_configuration: str = ""
    target: str = ""
    target_type: str = ""
    host: str = ""
    framework: str = "Python"
    project: ProjectNames = ProjectNames()
    run_configuration_content: dict[str, Any] = {}
    environment_variables: dict[str, str] | None = None
    compute: dict[str, Any] = {}
    settings: SettingsUsed | None = None
    commit: str = ""
    tree: str = ""
    base_commit: str = ""
    dirty: bool = False
    source_directory: str = "."
    created: str = ""
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None
    user: str = ""
    metrics: dict[str, Metric] = {}
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    artifacts: list[Artifact] | LongList = []
    inputs: list[dict[str, Any]] = []
    omitted: list[Omission] | LongList = []
    shared_folder: SharedFolder | None = None
    environment: EnvironmentUsed = EnvironmentUsed()
    peak_memory: int | None = None
    left_behind: NewFiles | None = None
    application_id: str | None = None
    rerun_of: str | None = None
    sweep_id: str | None = None
    verdicts: list[Any] = []
    amltool: str = ""
    whole: WholeRecord | msgspec.UnsetType = msgspec.UNSET

    def exact_arguments(self) -> list[str]:
        """The arguments byte for byte, as ``os.fsdecode`` gives them (JSON cannot hold bytes that are not UTF-8)."""
        if isinstance(self.arguments_base64, msgspec.UnsetType):
            return list(self.arguments)
        return [os.fsdecode(base64.b64decode(argument)) for argument in self.arguments_base64]


FIXED_KEYS = frozenset(
    {"v", "event", "run_id", "run_number", "status", "exit_code", "commit", "tree", "base_commit", "dirty", "created",
     "started", "ended", "duration_s", "peak_memory", "artifacts", "omitted", "shared_folder", "environment",
     "rerun_of", "verdicts", "whole"}
)  # fmt: skip
"""Keys of a record that are never clipped: those of a fixed form, and lists of files, which become long lists."""


def encoded_arguments(arguments: Sequence[str]) -> dict[str, list[str]]:
    """The record's fields for these arguments: readable text, and the exact bytes where text cannot say them."""
    readable = [safe_text(argument) for argument in arguments]
    if readable == list(arguments):
        return {"arguments": readable}
    exact = [base64.b64encode(os.fsencode(argument)).decode() for argument in arguments]
    return {"arguments": readable, "arguments_base64": exact}


class TagEvent(msgspec.Struct, frozen=True, tag_field="event", tag="tag", kw_only=True):
    """A tag set after the run; the newest of a key wins, ``value`` null takes it away."""

    v: int = RECORD_VERSION
    run_id: str
    at: str
    user: str = ""
    key: str
    value: str | None = None


class VerdictEvent(msgspec.Struct, frozen=True, tag_field="event", tag="verdict", kw_only=True):
    """What the rerun ``rerun`` says about the run ``run_id``, and what it was told to let pass; shown on both."""

    v: int = RECORD_VERSION
    run_id: str
    rerun: str
    at: str
    verdict: str
    causes: list[Any] = []
    not_compared: list[Any] | msgspec.UnsetType = msgspec.UNSET
    set_aside: list[Any] | msgspec.UnsetType = msgspec.UNSET
    tolerances: Tolerances | msgspec.UnsetType = msgspec.UNSET


class PromotedEvent(msgspec.Struct, frozen=True, tag_field="event", tag="promoted", kw_only=True):
    """An artifact of the run was made the asset ``name``; every further promotion of that name has a higher version."""

    v: int = RECORD_VERSION
    run_id: str
    at: str
    user: str = ""
    name: str
    version: int
    path: str
    size: int
    sha256: str
    store: str


class DeletedEvent(msgspec.Struct, frozen=True, tag_field="event", tag="deleted", kw_only=True):
    """A tombstone: the run is no longer listed (a deleted line would lose against a concurrent append)."""

    v: int = RECORD_VERSION
    run_id: str
    at: str
    user: str = ""


RunEvent = RunRecord | TagEvent | VerdictEvent | PromotedEvent | DeletedEvent

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RunEvent)


class _AnyEvent(msgspec.Struct):
    v: int
    event: str
    run_id: str = ""


_any_decoder = msgspec.json.Decoder(_AnyEvent)
KNOWN_EVENTS = frozenset({"run", "tag", "verdict", "promoted", "deleted"})


def event_to_line(event: RunEvent) -> bytes:
    """One line of JSON without its newline."""
    return _encoder.encode(event)


def event_from_line(line: bytes) -> RunEvent | None:
    """The event on a line; ``None`` for a well-formed event of a kind or version this amltool does not know.

    Raises:
        ValueError: the line is damaged; the message says how.
    """
    try:
        event: RunEvent = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            other = _any_decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ValueError(str(error)) from None
        if other.event not in KNOWN_EVENTS or other.v > RECORD_VERSION:
            return None
        raise ValueError(str(error)) from None
    if event.v > RECORD_VERSION:
        return None
    if not RUN_ID.fullmatch(event.run_id):
        raise ValueError(f"not a run id: {event.run_id[:80]!r}")
    return event


class Run(msgspec.Struct, frozen=True):
    """A run of the history: its record with the later events folded in."""

    record: RunRecord
    tags: dict[str, str]
    verdicts: tuple[VerdictEvent, ...] = ()
    deleted: bool = False
    promotions: tuple[PromotedEvent, ...] = ()

    @property
    def run_id(self) -> str:
        return self.record.run_id

    def to_json(self) -> dict[str, Any]:
        """The record with ``tags``, ``verdicts`` and ``promotions`` as of now, as ``show --json`` prints it."""
        content: dict[str, Any] = msgspec.to_builtins(self.record)
        content["tags"] = dict(self.tags)
        content["verdicts"] = [msgspec.to_builtins(event) for event in self.verdicts]
        content["promotions"] = [msgspec.to_builtins(event) for event in self.promotions]
        return content


def fold(record: RunRecord, events: Iterable[RunEvent]) -> Run:
    """Fold the later events of one run into it; order comes from the data, never from the line order."""
    tags: dict[str, str] = dict(record.tags)
    verdicts: list[VerdictEvent] = []
    promotions: list[PromotedEvent] = []
    deleted = False
    for event in sorted(events, key=lambda e: (getattr(e, "at", ""), event_to_line(e))):
        if isinstance(event, TagEvent) and event.run_id == record.run_id:
            if event.value is None:
                tags.pop(event.key, None)
            else:
                tags[event.key] = event.value
        elif isinstance(event, VerdictEvent) and record.run_id in (event.run_id, event.rerun):
            if event not in verdicts:
                verdicts.append(event)
        elif isinstance(event, PromotedEvent) and event.run_id == record.run_id:
            if event not in promotions:
                promotions.append(event)
        elif isinstance(event, DeletedEvent) and event.run_id == record.run_id:
            deleted = True
    return Run(record, tags, tuple(verdicts), deleted, tuple(promotions))
