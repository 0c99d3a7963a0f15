"""A record that a note can hold: what would make it too long goes into the artifact store.

First of all lists of files become artifacts by themselves (`LongList`). Then values are clipped, and the whole record
is kept beside them under its digest (`WholeRecord`), so that whoever needs all of it gets that.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from amltool.layout import LARGEST_RECORD, RECORD_FILE
from amltool.run import FIXED_KEYS, LongList, RunRecord, WholeRecord, event_to_line
from amltool.targets.collecting import as_record_list

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore

LIMITS = (8192, 4096, 2048, 1024, 512, 256, 128)
"""Bytes that one key of a record may have, from the most to the least: the first with which all fit is taken."""
CLIPPED = "…"


def bounded(record: RunRecord, open_store: Callable[[], ArtifactStore]) -> RunRecord:
    """A record whose line has at most `LARGEST_RECORD` bytes; what it lacks is in the store, durable on return.

    Raises:
        UserError: the store cannot be written.
    """
    if len(event_to_line(record)) <= LARGEST_RECORD:
        return record
    store = open_store()
    content = msgspec.json.encode(record)
    kept = store.put(io.BytesIO(content), name=RECORD_FILE)
    store.flush()
    whole = WholeRecord(count=0, bytes=kept.size, sha256=kept.sha256, path=RECORD_FILE)
    short = record
    for limit in LIMITS:
        short = _clipped(_with_long_lists(record, store, limit), whole, limit)
        if len(event_to_line(short)) <= LARGEST_RECORD:
            break
    return short


def _with_long_lists(record: RunRecord, store: ArtifactStore, limit: int) -> RunRecord:
    """The record with every list of files over the limit as an artifact."""

    def kept(entries: Any, path: str) -> Any:
        is_long = not isinstance(entries, LongList) and _size(entries) > limit
        return as_record_list(entries, store, path, longest=0) if is_long else entries

    shared = record.shared_folder
    if shared is not None:
        shared = replace(
            shared,
            at_start=kept(shared.at_start, "shared_folder_at_start.json"),
            at_end=kept(shared.at_end, "shared_folder_at_end.json"),
        )
    return replace(
        record,
        artifacts=kept(record.artifacts, "artifacts.json"),
        omitted=kept(record.omitted, "omitted.json"),
        shared_folder=shared,
    )


def _clipped(record: RunRecord, whole: WholeRecord, limit: int) -> RunRecord:
    content: dict[str, Any] = msgspec.to_builtins(record)
    keys = [key for key, value in content.items() if key not in FIXED_KEYS and _size(value) > limit]
    share = record.shared_folder
    if share is not None and _size(share.host_path + share.run_path) > limit:
        keys.append("shared_folder")
    if not keys:
        return record
    if "arguments_base64" in content and {"arguments", "arguments_base64"} & {*keys}:  # each says what the other does
        del content["arguments_base64"]
        keys = [*(key for key in keys if key not in ("arguments", "arguments_base64")), "arguments", "arguments_base64"]
    reference = {"bytes": whole.bytes, "sha256": whole.sha256, "path": whole.path}
    for key in keys:
        value: Any = content.get(key)
        if key == "metrics":
            content[key] = _metrics(value, limit, reference)
        elif key in ("project", "shared_folder"):
            content[key] = {
                name: _clip(text, limit // 4) if isinstance(text, str) else text for name, text in value.items()
            }
        elif value is not None:
            content[key] = _clip(value, limit)
    short = msgspec.convert(content, RunRecord)
    return replace(short, whole=replace(whole, count=len(keys), keys=keys))


def _metrics(metrics: dict[str, Any], limit: int, reference: dict[str, Any]) -> dict[str, Any]:
    """As many metrics as there is room for, those that are numbers first; a long value is named by its count."""
    chosen: dict[str, Any] = {}
    room = limit - 2
    for name in sorted(metrics, key=lambda name: "min" not in metrics[name]):
        metric = metrics[name]
        if _size(metric["last"]) > LIMITS[-1]:
            last = metric["last"]
            is_long = isinstance(last, (list, dict))
            metric = {**metric, "last": {"count": len(last), **reference} if is_long else _clip(last, LIMITS[-1])}
        needed = _size({name: metric})
        if needed <= room:
            chosen[name] = metric
            room -= needed
    return {name: chosen[name] for name in metrics if name in chosen}


def _clip(value: Any, limit: int) -> Any:
    """A text, a list or a map of at most so many bytes of JSON; of a list or map the first items, each clipped."""
    if _size(value) <= limit:
        return value
    each, room = max(limit // 4, LIMITS[-1] // 4), limit - 2
    if isinstance(value, list):
        items = [_clip(item, each) for item in value[:limit]]
        return items[: _fitting((_size(item) + 1 for item in items), room)]
    if isinstance(value, dict):
        pairs = {key: _clip(item, each) for key, item in islice(value.items(), limit)}
        return dict(islice(pairs.items(), _fitting((_size({key: item}) for key, item in pairs.items()), room)))
    return _clip_text(value if isinstance(value, str) else str(value), limit)


def _fitting(sizes: Iterable[int], room: int) -> int:
    """How many of these, from the first on, there is room for."""
    return sum(1 for used in accumulate(sizes) if used <= room)


def _clip_text(text: str, limit: int) -> str:
    text = text[:limit]
    length = bisect_right(range(len(text)), limit, key=lambda length: _size(text[:length] + CLIPPED)) - 1
    return text[:length] + CLIPPED if length > 0 else ""


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value))
