"""Expressions of patterns, matched in time linear in the text, whoever wrote the pattern.

Python's ``re`` tries what several ``*`` may stand for in all combinations: ``*a*a*a*a*b`` never ends on a name of sixty
``a``. An expression with at most `MOST_TRIED` such places is left to it, for it is the faster; any other becomes a
nondeterministic automaton whose states are the bits of a number, all followed at once
(https://swtch.com/~rsc/regexp/regexp1.html; Navarro and Raffinot, Flexible Pattern Matching in Strings, 2002, 4.2).
"""

from __future__ import annotations

import re
import warnings
from typing import Protocol

MOST_TRIED = 2
"""Places of any length that ``re`` may try: the square of a path's length at most."""
MOST_LETTERS = 4096
"""Letters an automaton keeps the states of."""

ANY_FOLDERS, FOLDERS_BETWEEN = "(?:.+/)?", "(?:/.+)?"
_TOKEN = re.compile(
    r"\(\?:\.\+/\)\?|\(\?:/\.\+\)\?|\[\^/\][*+]?|\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.",
    re.DOTALL,
)
_TRIED = ("[^/]*", "[^/]+", ANY_FOLDERS, FOLDERS_BETWEEN)


class Expression(Protocol):
    """An expression made ready."""

    def whole(self, text: str) -> bool:
        """Return True if the expression matches all of the text."""

    def above(self, path: str, folders_only: bool) -> bool:
        """Return True if it matches the path (unless ``folders_only``) or a folder above it."""


def compile_expression(text: str) -> re.Pattern[str]:
    """Compile for Python's ``re``: only what has few places that it could try in many ways."""
    with warnings.catch_warnings():  # `[[:alpha:]]` is an odd set to Python, and meant so
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(text, re.DOTALL)


def parts_of(core: str) -> list[str]:
    """Return what an expression is put together of, in order: letters, sets and places of any length."""
    return _TOKEN.findall(core)


def is_cheap(core: str) -> bool:
    """Return True if ``re`` takes at most quadratic time for it."""
    return core.count("*") + core.count("+") <= MOST_TRIED or (
        sum(part in _TRIED for part in parts_of(core)) <= MOST_TRIED
    )


def expression(core: str) -> Expression:
    """Make the expression of an entry ready; ``^`` at its beginning means nothing, for all begin there."""
    core = core.removeprefix("^")
    return _Tried(core) if is_cheap(core) else Automaton(core)


class _Tried:
    __slots__ = ("_core", "_made")

    def __init__(self, core: str) -> None:
        self._core = core
        self._made: dict[str, re.Pattern[str]] = {}

    def whole(self, text: str) -> bool:
        return self._matches(text, r"\Z")

    def above(self, path: str, folders_only: bool) -> bool:
        return self._matches(path, "/" if folders_only else r"(?:/|\Z)")

    def _matches(self, text: str, tail: str) -> bool:
        made = self._made.get(tail)
        if made is None:
            made = self._made[tail] = compile_expression(self._core + tail)
        return made.match(text) is not None


class Automaton:
    """An expression as states: bit ``i`` is set when the first ``i`` steps are done.

    A step takes one letter of its kind. In a state of ``_loops`` any number of letters of a kind may be taken, and the
    steps of a skip may be left out.
    """

    __slots__ = ("_end", "_known", "_loops", "_skips", "_steps")

    def __init__(self, core: str) -> None:
        self._steps: list[str] = []
        self._loops: dict[int, str] = {}
        self._skips: list[tuple[int, int]] = []
        for part in parts_of(core):
            self._add(part)
        self._end = 1 << len(self._steps)
        self._known: dict[str, tuple[int, int]] = {}

    def _add(self, part: str) -> None:
        place = len(self._steps)
        if part == "[^/]*":
            self._loops[place] = "[^/]"
        elif part == "[^/]+":
            self._steps.append("[^/]")
            self._loops[place + 1] = "[^/]"
        elif part in (ANY_FOLDERS, FOLDERS_BETWEEN):
            self._steps += [".", "/"] if part == ANY_FOLDERS else ["/", "."]
            self._loops[place + 1] = "."
            self._skips.append((1 << place, 2))
        else:
            self._steps.append(part)

    def _closed(self, states: int) -> int:
        """The states with those reached by leaving steps out; skips are in order, so one pass finds all."""
        for place, steps in self._skips:
            if states & place:
                states |= place << steps
        return states

    def _after(self, states: int, letter: str) -> int:
        known = self._known.get(letter)
        if known is None:
            if len(self._known) >= MOST_LETTERS:
                self._known.clear()
            known = self._known[letter] = self._taken_by(letter)
        steps, loops = known
        return self._closed(((states & steps) << 1) | (states & loops))

    def _taken_by(self, letter: str) -> tuple[int, int]:
        """The states from which this letter leads on, and those in which it may stay."""
        kinds = {kind: bool(compile_expression(kind).match(letter)) for kind in {*self._steps, *self._loops.values()}}
        steps = sum(1 << place for place, kind in enumerate(self._steps) if kinds[kind])
        return steps, sum(1 << place for place, kind in self._loops.items() if kinds[kind])

    def whole(self, text: str) -> bool:
        states = self._closed(1)
        for letter in text:
            states = self._after(states, letter)
            if not states:
                return False
        return bool(states & self._end)

    def above(self, path: str, folders_only: bool) -> bool:
        states = self._closed(1)
        for letter in path:
            if letter == "/" and states & self._end:
                return True
            states = self._after(states, letter)
            if not states:
                return False
        return not folders_only and bool(states & self._end)
