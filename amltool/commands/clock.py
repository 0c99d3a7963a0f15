"""Times, durations, rates, run ids, process numbers, temporary paths and addresses in a line that a run printed.

Two lines that differ in nothing else say the same. A date or a number of seconds counts as written by the clock only if
it lies within a day of its run: other dates are data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from amltool.run import RunRecord, parse_timestamp

LONGEST_LINE = 10_000
"""A longer line is compared as it is."""
SLACK = timedelta(hours=26)
"""Between the clock here and any time zone's."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_N = r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_MONTH = "|".join(MONTHS)
_TIME = r"(?:\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)"
_ZONE = r"(?:\s?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_UNIT = r"(?:ns|[uµμ]s|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?)"
_ISO = re.compile(rf"(?<!\w)(\d{{4}})[-/.](\d\d)[-/.](\d\d)(?:[T _]+({_TIME}){_ZONE})?(?!\w)")
_COMPACT = re.compile(r"(?<!\d)(\d{4})(\d\d)(\d\d)[T_-]?(\d\d)(\d\d)(\d\d)(?!\d)Z?")
_DAY_FIRST = re.compile(rf"(?<![\w/])(\d\d)[/.](\d\d)[/.](\d{{4}})(?:[ ,T]+({_TIME}){_ZONE})?(?!\w)")
_NAMED = re.compile(
    rf"(?<!\w)(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?(?:(\d{{1,2}})[ /-])?"
    rf"\b({_MONTH})[a-z]*[ /-]*(\d{{1,2}})?(?!\d)"
    rf"(?:[ ,/:-]+(\d{{4}})(?!\d))?(?:[ ,:]+({_TIME}){_ZONE}(?:\s+[A-Z]{{3,5}})?(?:\s+(\d{{4}}))?)?(?!\w)",
    re.I,
)
_EPOCH = re.compile(r"(?<![\w.])(1\d{9})(\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?![\w])")

_ALWAYS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("address", re.compile(r"(?<=\bat )0x[0-9a-f]{6,16}\b|\b0x(?:7f|55|56)[0-9a-f]{10}\b", re.I)),
    ("temporary path", re.compile(r"(?<![A-Za-z0-9_])(?:(?:tmp|pymp-)[a-z0-9_]{8}|tmp\.[A-Za-z0-9]{6,12})(?!\w)")),
    ("process number", re.compile(r"(?i)(?<=\bpid)[ =:#]{1,3}\d+\b|(?<=ipykernel_)\d+|(?<=\bprocess )\d+\b")),
    ("duration", re.compile(rf"(?:\d+ days?, )?(?<![\d:.]){_TIME}<(?:{_TIME}|\?)")),
    ("time", re.compile(r"(?:\d+ days?, )?(?<![\d:.])\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?(?![\d:])")),
    ("duration", re.compile(r"(?i)(?<=\beta)[ :]{1,3}\d+:\d{2}\b")),
    ("rate", re.compile(rf"(?i)(?:{_N}|\?)\s?[a-zµμ%]{{1,12}}/(?:s|sec|second|min|minute|h|hour|it|iter|iteration|step|"
                        r"sample|epoch|batch|item|image|row|loop|call|example)(?![\w/])")),
    ("rate", re.compile(rf"(?i){_N}\s?[a-z]{{0,20}} per (?:s|sec|second|min|minute|hour)\b")),
    ("duration", re.compile(r"(?i)(?<![\w.])(?:\d+h ?)?\d+m ?\d+(?:\.\d+)?s\b")),
    ("duration", re.compile(rf"(?i){_N}\s?{_UNIT}(?![\w/])")),
    ("duration", re.compile(r"(?i)(?:(?<=time)|(?<=took)|(?<=elapsed)|(?<=duration))"
                            r"(?:\s?(?:was|is|in|\(s\)|[:=])){1,2}\s?\d+(?:\.\d+)?(?![\w.])")),
)  # fmt: skip
_ANSI = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time in which a run wrote, and what names it."""

    since: datetime | None
    until: datetime | None
    run_id: str

    @classmethod
    def of(cls, record: RunRecord) -> Clock:
        since = _moment(record.started or record.created)
        until = _moment(record.ended) or since
        return cls(since and since - SLACK, until and until + SLACK, record.run_id)

    def masked(self, line: str) -> tuple[str, list[tuple[str, str]]]:
        """A line with what a clock or chance wrote replaced by its kind, and these parts with their kinds."""
        if len(line) > LONGEST_LINE:
            return line, []
        parts: list[tuple[str, str]] = []

        def replaced(kind: str, is_one: Callable[[re.Match[str]], bool]) -> Callable[[re.Match[str]], str]:
            def replace(found: re.Match[str]) -> str:
                if not is_one(found):
                    return found[0]
                parts.append((kind, found[0]))
                return f"\0{kind}\0"

            return replace

        folder = re.compile(rf"(?:[^\s'\"]*/runs/{re.escape(self.run_id)}|/azureml-run)(?=[/\s'\"]|$)")
        line = folder.sub(replaced("run folder", lambda _: True), _ANSI.sub("", line))
        line = re.sub(re.escape(self.run_id), replaced("run id", lambda _: True), line)
        for pattern, read in _DATES:
            line = pattern.sub(replaced("time", lambda found, read=read: self._is_within(read(found))), line)  # type: ignore[misc]
        for kind, pattern in _ALWAYS:
            line = pattern.sub(replaced(kind, lambda _: True), line)
        return line, parts

    def _is_within(self, moments: list[datetime]) -> bool:
        if self.since is None or self.until is None:
            return False
        return any(self.since <= moment <= self.until for moment in moments)


def says_something(masked: str) -> bool:
    """Return True if a masked line holds more than what a clock or chance wrote."""
    return any(character.isalnum() for character in "".join(masked.split("\0")[::2]))


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_timestamp(text) if text else None
    except ValueError:
        return None


def _made(year: str | int, month: str | int, day: str | int, time: str | None = None) -> list[datetime]:
    parts = [int(part) for part in re.split("[:.,]", time)[:3]] if time else [12]
    try:
        return [datetime(int(year), int(month), int(day), *parts, tzinfo=timezone.utc)]  # type: ignore[arg-type, misc]
    except ValueError:
        return []


def _compact(found: re.Match[str]) -> list[datetime]:
    return _made(found[1], found[2], found[3], f"{found[4]}:{found[5]}:{found[6]}")


def _day_first(found: re.Match[str]) -> list[datetime]:
    return [*_made(found[3], found[2], found[1], found[4]), *_made(found[3], found[1], found[2], found[4])]


def _named(found: re.Match[str]) -> list[datetime]:
    day, time, year = found[1] or found[3], found[5], found[4] or found[6]
    if not day or not (time or year):
        return []
    month = MONTHS.index(found[2].lower()[:3]) + 1
    years = [int(year)] if year else range(datetime.now(timezone.utc).year - 30, datetime.now(timezone.utc).year + 2)
    return [moment for each in years for moment in _made(each, month, day, time)]


def _epoch(found: re.Match[str]) -> list[datetime]:
    return [datetime.fromtimestamp(int(found[1]), timezone.utc)]


_DATES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], list[datetime]]], ...] = (
    (_ISO, lambda found: _made(found[1], found[2], found[3], found[4])),
    (_COMPACT, _compact),
    (_DAY_FIRST, _day_first),
    (_NAMED, _named),
    (_EPOCH, _epoch),
)
