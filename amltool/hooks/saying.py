"""What a check found, as text or as one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TextIO

from amltool.limits import Level, Problem
from amltool.text import harmless_lines

COLOURS = {Level.ERROR: "\x1b[31m", Level.WARNING: "\x1b[33m"}
PLAIN = "\x1b[0m"


def say(problems: Sequence[Problem], notes: Sequence[str]) -> None:
    """Print problems, errors first; a remedy that several in a row share is printed once."""
    out = sys.stdout
    _bear_any_name(out)
    coloured = _wants_colour(out)
    ordered = sorted(problems, key=lambda problem: problem.level is not Level.ERROR)
    blocks = [harmless_lines("\n".join(notes))] if notes else []
    for (level, remedy), alike in groupby(ordered, key=lambda problem: (problem.level, problem.remedy)):
        word = f"{COLOURS[level]}{level.value}:{PLAIN}" if coloured else f"{level.value}:"
        lines = [f"{word} {harmless_lines(problem.message)}" for problem in alike]
        separator = "\n\n" if "\n" in lines[0] else "\n"
        blocks.append(separator.join([*lines, harmless_lines(remedy)] if remedy else lines))
    if blocks:
        out.write("\n\n".join(blocks) + "\n")


def say_json(problems: Sequence[Problem], notes: Sequence[str], weighed: Mapping[str, Any], *, ok: bool) -> None:
    """Print one JSON document: the keys of ``check --json`` (DESIGN 5), as far as the check knows them."""
    import json

    found = [
        {"id": each.id, "level": each.level.value, "message": each.message, "remedy": each.remedy} for each in problems
    ]
    print(json.dumps({**weighed, "ok": ok, "problems": found, "notes": list(notes)}))


def say_error(text: str) -> None:
    _bear_any_name(sys.stderr)
    print(harmless_lines(text), file=sys.stderr)


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _bear_any_name(stream: TextIO) -> None:
    """A letter the terminal's encoding lacks is shown by its number, never an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
