"""What two runs printed, line by line: the console and ``logs/``, where nothing else was left to compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

from amltool.artifact import Artifact, Omission
from amltool.commands.clock import Clock, says_something
from amltool.commands.findings import Compared, Finding, short, there_or_not
from amltool.layout import CONSOLE_FILE
from amltool.run import RunRecord

LOGS = "logs/"
LONGEST_LINE = 1 << 20
"""Bytes after which a line is cut in two."""
SHORT = 4096
"""Bytes: of a file that has more, the same bytes say something."""
MOST_DIFFERING = 100_000
"""Lines that are looked at for what a clock wrote; a file with more that differ is not compared to its end."""

Contents = Callable[[Artifact], Iterable[bytes] | None]
"""The content of an artifact in blocks, ``None`` where it is not here."""


@dataclass(frozen=True, slots=True)
class Printed:
    """The files a run printed to: those that were collected, those that were not, and how to read one."""

    record: RunRecord
    artifacts: Mapping[str, Artifact]
    omitted: Mapping[str, Omission]
    contents: Contents

    def by_name(self, clock: Clock) -> dict[str, str]:
        """The paths by their names without what a clock wrote, those twice the same as they are."""
        names: dict[str, str] = {}
        for path in sorted({*self.artifacts, *self.omitted}):
            if path == CONSOLE_FILE or path.startswith(LOGS):
                name = clock.masked(path)[0].replace("\0", "|")
                names[path if name in names else name] = path
        return names


@dataclass(slots=True)
class LineComparison:
    """Two files, line by line: how many lines there were and differ, where first, and what was set aside."""

    lines: int = 0
    differing: int = 0
    first: str = ""
    says_something: bool = False
    is_whole: bool = True
    aside: Counter[str] = field(default_factory=Counter)


def compare_printed(was: Printed, now: Printed) -> tuple[list[Compared], list[str]]:
    """The console and each file of ``logs/``, and sentences of what was set aside; a file that says nothing has no
    row."""
    clocks = Clock.of(was.record), Clock.of(now.record)
    before, after = was.by_name(clocks[0]), now.by_name(clocks[1])
    rows, aside = [], []
    for name in sorted({*before, *after}):
        paths = before.get(name), after.get(name)
        row, found = _compare_file((was, now), clocks, paths)
        if row is not None:
            rows.append(row)
        if found:
            kinds = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in sorted(found.items()))
            aside.append(f"{paths[1]}: a clock or chance wrote what differs: {kinds}")
    return rows, aside


def _compare_file(
    runs: tuple[Printed, Printed], clocks: tuple[Clock, Clock], paths: tuple[str | None, str | None]
) -> tuple[Compared | None, Counter[str]]:
    path = paths[1] or paths[0] or ""
    for what, run, its in zip(("original", "rerun"), runs, paths, strict=True):
        if its is not None and its in run.omitted:
            reason = f"not collected in the {what} ({run.omitted[its].reason}), so not compared"
            return Compared(path, Finding.UNKNOWN, reason=reason), Counter()
    files = [run.artifacts.get(its) if its else None for run, its in zip(runs, paths, strict=True)]
    first, second = (None if file is None or not file.size else file for file in files)
    if first is None and second is None:
        return None, Counter()
    if first is None or second is None:
        return there_or_not(path, first and first.sha256, second and second.sha256), Counter()
    if first.sha256 == second.sha256:
        blank = first.size < SHORT and _is_blank(runs[0].contents(first))
        return None if blank else Compared(path, Finding.SAME, first.sha256, second.sha256), Counter()
    contents = runs[0].contents(first), runs[1].contents(second)
    if contents[0] is None or contents[1] is None:
        return Compared(path, Finding.UNKNOWN, reason="its content is not in this clone, so not compared"), Counter()
    return _judge(path, compare_lines(contents[0], contents[1], clocks))


def _is_blank(content: Iterable[bytes] | None) -> bool:
    return content is not None and not b"".join(content).strip()


def _judge(path: str, found: LineComparison) -> tuple[Compared | None, Counter[str]]:
    if found.differing:
        reason = f"{found.differing} of {found.lines} lines differ, the first is {found.first}"
        return Compared(path, Finding.DIFFERS, reason=reason), Counter()
    if not found.is_whole:
        reason = f"over {MOST_DIFFERING} lines hold what a clock wrote, so the rest is not compared"
        return Compared(path, Finding.UNKNOWN, reason=reason), Counter()
    return (Compared(path, Finding.SAME, reason="the same lines") if found.says_something else None), found.aside


def compare_lines(was: Iterable[bytes], now: Iterable[bytes], clocks: tuple[Clock, Clock]) -> LineComparison:
    """Compare two files that come in blocks."""
    found = LineComparison()
    looked_at = 0
    for before, after in zip_longest(lines_of(was), lines_of(now)):
        found.lines += 1
        if before == after:
            found.says_something = found.says_something or says_something(_shown(before or b""))
            continue
        looked_at += 1
        if looked_at > MOST_DIFFERING:
            found.is_whole = False
            break
        _compare_line(found, before, after, clocks)
    return found


def _compare_line(found: LineComparison, was: bytes | None, now: bytes | None, clocks: tuple[Clock, Clock]) -> None:
    before, after = (None if line is None else _shown(line) for line in (was, now))
    if before is not None and after is not None:
        if before == after:
            found.aside["earlier state"] += 1
        (first, parts), (second, others) = clocks[0].masked(before), clocks[1].masked(after)
        if first == second:
            pairs = zip(parts, others, strict=True)
            found.aside.update(kind for (kind, one), (_, other) in pairs if one != other)
            found.says_something = found.says_something or says_something(first)
            return
    found.differing += 1
    found.first = found.first or f"line {found.lines}: {_told(before)} -> {_told(after)}"


def _told(line: str | None) -> str:
    return "none" if line is None else repr(short(line))


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file that comes in blocks."""
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        while len(rest) > LONGEST_LINE:
            yield rest[:LONGEST_LINE]
            rest = rest[LONGEST_LINE:]
    if rest:
        yield rest


def _shown(line: bytes) -> str:
    """A line as a terminal shows it in the end: of what was written over with carriage returns, the last."""
    states = [state for state in line.split(b"\r") if state.strip()]
    return (states[-1] if states else b"").decode("utf-8", "backslashreplace").replace("\0", "\\0")
