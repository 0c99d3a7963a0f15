"""What a comparison of two runs finds of one output, metric, parameter or log: the values it is told in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from amltool.run import Tolerances

LONGEST_VALUE = 1000
"""Bytes of JSON that a value has in a report; of a longer one the beginning is shown."""


class Finding(str, Enum):
    """How one part of the rerun compares with the original's."""

    SAME = "same"
    WITHIN_TOLERANCE = "within-tolerance"
    DIFFERS = "differs"
    MISSING = "missing"
    NEW = "new"
    IGNORED = "ignored"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Compared:
    """One output (values: SHA-256 in hex), metric (values: its last), parameter or log of both runs; ``reason`` where
    it needs one."""

    name: str
    finding: Finding
    original: Any = None
    rerun: Any = None
    reason: str = ""

    @property
    def same(self) -> bool:
        return self.finding is Finding.SAME

    def text(self) -> str:
        """One line for people."""
        if self.reason:
            return f"{self.name}: {self.reason}"
        if self.finding in (Finding.MISSING, Finding.NEW):
            return f"{self.name}: {'only in the original' if self.finding is Finding.MISSING else 'only in the rerun'}"
        return f"{self.name}: {self.finding.value} ({short(self.original)} -> {short(self.rerun)})"

    def to_json(self) -> dict[str, Any]:
        values = {"original": _bounded(self.original), "rerun": _bounded(self.rerun)}
        content = {"name": self.name, "finding": self.finding.value, **values}
        return {**content, "reason": self.reason} if self.reason else content


def unless_ignored(row: Compared, patterns: Iterable[str], name: str) -> Compared:
    """A row that differs or is not known, as ignored where one of the patterns is for its name."""
    if row.same or not any(fnmatchcase(name, one) or fnmatchcase(row.name, one) for one in patterns):
        return row
    return Compared(row.name, Finding.IGNORED, row.original, row.rerun, "differs, and was to be ignored")


def there_or_not(name: str, was: Any, now: Any) -> Compared | None:
    """The row of what only one of two runs has; ``None`` where both have it."""
    if was is not None and now is not None:
        return None
    return Compared(name, Finding.NEW if was is None else Finding.MISSING, was, now)


def compare_value(was: Any, now: Any, tolerances: Tolerances) -> Finding:
    """Numbers by tolerance, also within lists and tables; the text ``NaN`` equals itself, as does every other text."""
    if is_number(was) and is_number(now):
        if was == now:
            return Finding.SAME
        return Finding.WITHIN_TOLERANCE if tolerances.within(was, now) else Finding.DIFFERS
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return worst(compare_value(a, b, tolerances) for a, b in zip(was, now, strict=True))
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() == now.keys():
        return worst(compare_value(was[key], now[key], tolerances) for key in was)
    return Finding.SAME if type(was) is type(now) and was == now else Finding.DIFFERS


def worst(findings: Iterable[Finding]) -> Finding:
    """The one of these that decides."""
    found = set(findings)
    order = (Finding.DIFFERS, Finding.UNKNOWN, Finding.WITHIN_TOLERANCE)
    return next((one for one in order if one in found), Finding.SAME)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def short(value: Any) -> str:
    """A value in at most 60 characters; of a SHA-256 the beginning."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:12]
    if isinstance(value, (list, dict)) and len(value) > 30:
        return f"{len(value)} values"
    text = repr(value) if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _bounded(value: Any) -> Any:
    if not isinstance(value, (str, list, dict)) or len(msgspec.json.encode(value)) <= LONGEST_VALUE:
        return value
    return short(value)
