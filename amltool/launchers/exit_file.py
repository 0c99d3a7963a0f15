"""The end of a run as ``exit.json`` tells it: input that the run itself can write, so each value is judged alone."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import msgspec

from amltool.hosts.base import Host, Piece
from amltool.layout import RunFolder
from amltool.run import Exit, is_time, parse_timestamp, timestamp
from amltool.text import harmless

LONGEST_EXIT = 1 << 16
"""Bytes of an ``exit.json``: an honest one has a few hundred."""
LONGEST_REASON = 500
LONGEST_PROOF = 64
GONE = "the run's folder is gone from its host"
UNREADABLE = "what the run said of its end could not be read"
NO_OBJECT = f"{UNREADABLE}: it is no JSON object"
MOST_SECONDS = 100 * 366 * 86400.0
MOST_MEMORY = 1 << 60
_SIGNALS = frozenset({*signal.Signals.__members__, "SIGEMT", "SIGINFO", "SIGSTKFLT", "SIGPWR"})
"""Those of this machine, and of others whose kernel has more."""
_TIMES = frozenset({"started", "ended"})
_REAL_TIME = re.compile(r"SIGRT(?:MIN\+|MAX-)[0-9]{1,2}")


def exit_at(host: Host, folder: RunFolder) -> Exit | None:
    """How a run says that it ended; ``None`` where it says nothing that can be read.

    Raises:
        TargetError: the host does not answer.
    """
    content = _content(host, folder)
    return exit_in(content) if isinstance(content, bytes) else None


def unreadable_at(host: Host, folder: RunFolder) -> str | None:
    """Why nothing of an end that is there can be read; ``None`` where there is none.

    Raises:
        TargetError: the host does not answer.
    """
    content = _content(host, folder)
    if isinstance(content, FileNotFoundError):
        return None
    if isinstance(content, OSError):
        trouble = folder_trouble(host, folder)
        return trouble or f"{UNREADABLE}: {folder.exit.name}: {content.strerror or content}"
    return NO_OBJECT


def folder_trouble(host: Host, folder: RunFolder) -> str | None:
    """Why a run's folder cannot be looked into; ``None`` where it can.

    Raises:
        TargetError: the host does not answer.
    """
    (nothing,) = host.pieces(folder.path, [Piece(f".{os.urandom(8).hex()}", 1)])
    if isinstance(nothing, FileNotFoundError):
        return None if host.exists(folder.path) else GONE
    return f"its folder cannot be read: {getattr(nothing, 'strerror', None) or nothing!r}"


def _content(host: Host, folder: RunFolder) -> bytes | OSError:
    (content,) = host.pieces(folder.path, [Piece(folder.exit.name, LONGEST_EXIT)])
    return content


def exit_in(content: bytes) -> Exit | None:
    """The end that the bytes of an ``exit.json`` tell; ``None`` where they are no JSON object."""
    said = _decoded(content) if len(content) < LONGEST_EXIT else None
    return exit_of(said) if isinstance(said, dict) else None


def exit_of(said: object) -> Exit:
    """The end that a decoded ``exit.json`` tells; a value that cannot be one is dropped, which the reason says."""
    if not isinstance(said, dict):
        return Exit(reason=NO_OBJECT)
    found = {name: said.get(name) for name in _CHECKS}
    odd = [name for name, value in found.items() if value is not None and not _CHECKS[name](value)]
    for name in odd:
        del found[name]
    for name in _TIMES & found.keys():
        found[name] = _normal(found[name])
    if found.get("reason") is not None:
        found["reason"] = harmless(" ".join(str(found["reason"]).split()), LONGEST_REASON)
    if odd:
        found["reason"] = "; ".join(filter(None, [found.get("reason"), f"{UNREADABLE}: {', '.join(odd)}"]))
    if found.get("canceled") is None:
        found["canceled"] = False
    return Exit(**found)  # type: ignore[arg-type]


def _normal(time: Any) -> Any:
    return None if time is None else timestamp(parse_timestamp(time))


def _decoded(content: bytes) -> object:
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        import json  # it reads numbers of any size, and half a surrogate

        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return None


def _is_number(value: Any, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most


def _is_whole(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_signal(value: Any) -> bool:
    return isinstance(value, str) and (value in _SIGNALS or _REAL_TIME.fullmatch(value) is not None)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "exit_code": lambda value: _is_whole(value, 255),
    "signal": _is_signal,
    "reason": lambda value: isinstance(value, str),
    "canceled": lambda value: isinstance(value, bool),
    "started": lambda value: isinstance(value, str) and is_time(value) and is_time(_normal(value)),
    "ended": lambda value: isinstance(value, str) and is_time(value) and is_time(_normal(value)),
    "duration_s": lambda value: _is_number(value, MOST_SECONDS) and math.isfinite(value),
    "peak_memory": lambda value: _is_whole(value, MOST_MEMORY),
    "proof": lambda value: isinstance(value, str) and len(value) <= LONGEST_PROOF,
}
