"""What a configuration file says, as a tree of values with places, and what was found wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from amltool.errors import ConfigurationError, Mistake

MAX_FINDINGS = 50
"""Shown of one file; a file with more is broken in one way, not in fifty."""
MAX_MISTAKES = 1000
"""At which the reading of a file ends."""
MAX_GUESSES = 200
"""At what a user meant, in one file; each costs a fraction of a millisecond."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SENSITIVE = re.compile(r"(?:passw(?:or)?d|passphrase|secret|token|key)\W*[:=]|://[^/]*@|[?&]sig=", re.IGNORECASE)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_REAL = re.compile(r"[-+]?(?:[0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?")


class Scalar(msgspec.Struct, frozen=True):
    """One value as it is written; ``plain`` when it stands without quotes. Places count from 1."""

    text: str
    plain: bool
    line: int | None = None
    column: int | None = None

    @property
    def value(self) -> str | int | float | bool | None:
        """As YAML 1.1 reads it, save that a number no JSON reader could take stays text, as do dates and ``1:30``."""
        if not self.plain:
            return self.text
        if self.text in _NULL:
            return None
        lowered = self.text.lower()
        if lowered in _BOOLEANS and self.text in (lowered, lowered.capitalize(), lowered.upper()):
            return _BOOLEANS[lowered]
        if _INTEGER.fullmatch(self.text):
            return int(self.text)
        if _REAL.fullmatch(self.text):
            real = float(self.text)
            return real if real - real == 0 else self.text
        return self.text


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]
    line: int | None = None
    column: int | None = None


class Mapping(msgspec.Struct, frozen=True):
    """A map, keys in the order of the file, none twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    line: int | None = None
    column: int | None = None

    def get(self, key: str) -> Node | None:
        """The value of a key, ``None`` where it is absent."""
        return next((value for found, value in self.entries if found.text == key), None)

    def keys(self) -> list[str]:
        return [key.text for key, _ in self.entries]


Node = Scalar | Sequence | Mapping


def plain_value(node: Node) -> Any:
    """The tree as dicts, lists, text, numbers, booleans and ``None``."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain_value(item) for item in node.items]
    return {key.text: plain_value(value) for key, value in node.entries}


def is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def shorten(text: str, length: int = 40) -> str:
    """Text for a message: one line, printable, not long."""
    shown = text if len(text) <= length else f"{text[: length - 3]}..."
    return "".join(character if character.isprintable() else "?" for character in shown)


def quoted(text: str) -> str:
    """Text of the file in quotes, for a message; what may hold a secret is not repeated."""
    return "text that may hold a secret" if _SENSITIVE.search(text) else f"'{shorten(text)}'"


def describe(node: Node) -> str:
    """What stands there, for a message."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a map"
    return "nothing" if node.value is None else quoted(node.text)


def closest(word: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """The known word a mistyped one most likely stands for; case and ``_`` do not count."""
    if len(word) > 64:
        return None
    import difflib

    folded = {each.casefold().replace("_", ""): each for each in known}
    found = difflib.get_close_matches(word.casefold().replace("_", ""), folded, 1, cutoff)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` or nothing."""
    found = closest(word, known, 0.6)
    return f" (did you mean '{found}'?)" if found is not None else ""


class Findings:
    """The mistakes and the warnings of one file, in the order they were found."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self.warnings: list[Mistake] = []
        self._guesses = 0

    def guess(self, word: str, known: Iterable[str]) -> str | None:
        """``closest``, up to `MAX_GUESSES` times."""
        self._guesses += 1
        return closest(word, known) if self._guesses <= MAX_GUESSES else None

    def add(self, message: str, line: int | None = None, column: int | None = None) -> None:
        self.mistakes.append(Mistake(self.path, message, line, column))
        if len(self.mistakes) >= MAX_MISTAKES:
            self.check()

    def mistake(self, message: str, node: Node | None = None) -> None:
        self.add(message, node.line if node else None, node.column if node else None)

    def warning(self, message: str, node: Node | None = None) -> None:
        self.warnings.append(Mistake(self.path, message, node.line if node else None, node.column if node else None))

    def warning_texts(self) -> tuple[str, ...]:
        shown = tuple(str(warning) for warning in self.warnings[:MAX_FINDINGS])
        left = len(self.warnings) - len(shown)
        return (*shown, f"{self.path}: and {left} more like these") if left else shown

    def check(self, remedy: str = "") -> None:
        """Stop here if there is any mistake.

        Raises:
            ConfigurationError: with all of them, by line.
        """
        if not self.mistakes:
            return
        ordered = sorted(self.mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0))
        shown = ordered[:MAX_FINDINGS]
        if len(ordered) > len(shown):
            shown.append(Mistake(self.path, f"and {len(ordered) - len(shown)} more mistakes"))
        raise ConfigurationError(shown, remedy)
