"""Standard output and error while a task runs: nothing harmful passes, whoever prints."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from amltool.text import harmless_lines

_COLOUR = re.compile(r"(\x1b\[[0-9;]{0,16}m)")


class HarmlessStream:
    """A text stream that lets nothing harmful through; its ``buffer`` takes bytes that are the user's own, as they are.

    On a terminal the colours that we set stay. Everything else is the stream's.
    """

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream
        self._keeps_colours = stream.isatty()

    def write(self, text: str) -> int:
        self.unguarded.write(self._made_harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def _made_harmless(self, text: str) -> str:
        if not self._keeps_colours:
            return harmless_lines(text)
        parts = _COLOUR.split(text)  # every second one is a colour
        return "".join(part if place % 2 else harmless_lines(part) for place, part in enumerate(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


@contextmanager
def harmless_output() -> Iterator[None]:
    """Within it, what is printed passes a `HarmlessStream`; to nest it changes nothing."""
    before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    guards = {name: HarmlessStream(stream) for name, stream in before.items() if _is_open(stream)}
    for name, guard in guards.items():
        setattr(sys, name, guard)
    try:
        yield
    finally:
        for name, guard in guards.items():
            if getattr(sys, name) is guard:
                setattr(sys, name, before[name])


def _is_open(stream: Any) -> bool:
    return stream is not None and not isinstance(stream, HarmlessStream) and not stream.closed


def unguarded(stream: Any) -> Any:
    """The stream itself, for a progress bar, which moves the cursor."""
    return stream.unguarded if isinstance(stream, HarmlessStream) else stream
