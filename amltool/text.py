"""Text that came from elsewhere, made harmless: the one place it passes on its way to a terminal, a file or a pipe.

Harmful is what ``str.isprintable`` says no to: C0 and C1 controls, DEL, the marks that turn the direction of writing
(https://trojansource.codes), characters without width, line and paragraph separators, halves of a pair.
"""

from __future__ import annotations

import re

LONGEST_CELL = 4000
"""Characters of one value that are shown; a record from elsewhere may hold a text of megabytes."""

_NOT_PLAIN = re.compile("[^\t\n -~]+")
_NOT_PLAIN_IN_JSON = re.compile("[^\n -~]+")


def harmless(text: object, longest: int | None = None) -> str:
    r"""Text on one line without anything harmful (``\x1b`` is shown), of at most ``longest`` characters."""
    shown = str(text)
    if longest is not None and len(shown) > longest:
        shown = f"{shown[: longest - 1]}…"
    return shown if shown.isprintable() else "".join(map(_shown, shown))


def harmless_lines(text: str) -> str:
    """`harmless` for text of several lines: line ends and tabs stay."""
    return text if text.isprintable() else _NOT_PLAIN.sub(_shown_run, text)


def harmless_json(document: bytes) -> bytes:
    r"""A JSON document in UTF-8 of equal value, everything harmful escaped as ``\uXXXX``."""
    text = document.decode()
    if text.isascii() and "\x7f" not in text:
        return document
    return _NOT_PLAIN_IN_JSON.sub(_escaped_run, text).encode()


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _shown_run(run: re.Match[str]) -> str:
    return run[0] if run[0].isprintable() else "".join(map(_shown, run[0]))


def _escaped_run(run: re.Match[str]) -> str:
    return run[0] if run[0].isprintable() else "".join(map(_escaped, run[0]))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
