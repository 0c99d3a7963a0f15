"""Records as they may come from elsewhere: one that a run made, with odd values in odd places."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

DIGEST = "a" * 64


def _deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 255, 256, 300, -9, 10**9, 10**9 + 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**309,
    10**400, 0.5, -0.0, 1e308, -1e308, 5e-324, "", " ", "NaN", "Infinity", "-Infinity", "-", "--help", "-rf", "@",
    "@2", ".", "..", "../../etc/passwd", "/etc/passwd", "a/../../b", "a:b", ":(top)x", "HEAD", "a\nb", "a\tb", "a\rb",
    "a\0b", "a\x1b[2Jb", "\x1b]0;owned\x07", "\x9b31m", "\x7f", "\u202eabc", "\u2066", "\u200f", "\u061c", "\u2028",
    "\ufeff", "\U000e0041", "\xe9\u6570\U0001f40d", "a\\b", "'; rm -rf x", "$(id)", "%s%n", "x" * 300, "x" * 5000,
    "a/" * 200 + "a", "y" * 1_000_000, "yesterday", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "2026-11-21", "2026-11-21T08:15:02", "2026-11-21T08:15:02+00:00Z",
    "2026-11-21T08:15:02.123456789Z", "20261121T081502Z", "Z", "SIGKILL", "SIG\u00b2", "SIG99", "SIGRTMIN+3",
    "SIGKILL\x1b[31m", DIGEST, DIGEST[:40], "A" * 64, "https://example.org/x", "azure://x", "file", "==", "eA==", [],
    {}, [None], [[]], [""], ["a\0b"], ["a\x1bb", "\udce4"], {"": ""}, {"a\x1b": "\u202e"}, {"path": "."},
    {"path": "../x"}, {"count": 300, "bytes": 5, "sha256": DIGEST, "path": "x\x1b]0;owned\x07"},
    {"count": 2**70, "bytes": 5, "sha256": DIGEST, "path": "x"},
    {"count": 300, "bytes": 10**400, "sha256": DIGEST, "path": "artifacts.json"}, {"count": "3"}, {"count": 1},
    [{"path": "outputs/\x1b", "size": 3, "sha256": DIGEST}],
    [{"path": "a", "size": 1, "sha256": DIGEST, "store": "azure://a/b\n"}],
    [{"path": "a", "size": 1, "sha256": DIGEST}, {"path": "a/b", "size": 1, "sha256": DIGEST}],
    [{"path": "x" * 300, "size": 2**63, "sha256": DIGEST}],
    [{"path": "outputs/a:b\nc", "size": 10**400, "sha256": DIGEST}],
    [{"path": "o", "size": None, "reason": "\x1b[2J", "place": "\x9b"}],
    {"x\x1b[31m": {"last": 10**400, "count": -1}}, {"y": {"last": "\u202e", "count": 2**65, "min": 1, "max": 2}},
    {"loss": {"last": 1, "count": 1, "min": 10**305, "max": 10**305}},
    {"loss": {"last": {"a": [1]}, "count": 1, "min": 0}}, {"loss": {"last": _deep(200), "count": 1}}, _deep(40),
    _deep(200), _deep(900), [{"kind": "dataset", "path": "\x1b"}],
    {"host_path": "/\x1b", "run_path": "\n", "at_start": {"count": 1, "bytes": 1, "sha256": DIGEST, "path": "s"}},
    {"key": "k", "lock_sha256": DIGEST, "image": "\x1bx"}, {"key": "k", "lock_sha256": "../../x", "image": ""},
    {"name": "\x1b", "path": "a\nb"}, {"path": "a:b"}, {"path": "-x"},
    {"ArgumentVector": ["$file"], "Target": "\x1b"},
)  # fmt: skip
"""Among them are no lone surrogates that JSON can say: no reader of JSON in UTF-8 takes them."""


def foreign_lines(line: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many run ids with a line each, made from a whole record; some are damaged, some are later events."""
    chance = random.Random(seed)
    record = json.loads(line)
    for number in range(count):
        run_id = _run_id(record["run_id"], number)
        yield run_id, _line(copy.deepcopy(record) | {"run_id": run_id}, chance)


def _run_id(like: str, number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    tail = "".join(letters[(number >> shift) & 31] for shift in (15, 10, 5, 0))
    return f"{like[:-4]}{tail}"


def _line(record: dict[str, Any], chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        record = _event(record, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _spoil(record, chance)
    content = _json(record)
    if kind > 0.95:
        place = chance.randrange(len(content))
        content = content[:place] + chance.choice((b"", b"\xff", b"\x00", b"[" * 3000, b"1e999")) + content[place + 1 :]
    return content.replace(b"\n", b" ") or b"{"


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace")


def _event(record: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    about = {"v": 1, "run_id": record["run_id"], "at": record["created"]}
    return chance.choice((
        about | {"event": "tag", "key": "k", "value": "v", "user": "u"},
        about | {"event": "verdict", "rerun": record["run_id"], "verdict": "differs", "causes": ["a"]},
        about | {"event": "deleted"},
        about | {"event": "starred", "to": "x"},
    ))  # fmt: skip


def _spoil(record: dict[str, Any], chance: random.Random) -> None:
    place: Any = record
    keys = [key for key in record if key != "run_id"]
    while True:
        key = chance.choice(keys)
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and chance.random() < 0.5:
            place, keys = inner, list(inner if isinstance(inner, dict) else range(len(inner)))
            continue
        place[key] = chance.choice(ODD)
        if isinstance(place, dict) and chance.random() < 0.1:
            place[chance.choice(("\x1b", "later", ""))] = chance.choice(ODD)
        return
