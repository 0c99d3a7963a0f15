"""Tables as lines of text: widths are found once, and a row costs microseconds, for a history may be long."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from amltool.text import LONGEST_CELL, harmless

COLUMN_GAP = "  "
NARROWEST = 8
BOLD = "1"
FOLDED_ROWS = 200
"""Of a longer table that is too wide, rows are folded here, and not by rich, which takes 2.5 ms for each."""
WIDE = 200
"""Columns assumed where the output is not a terminal, so that nothing is cut in a pipe."""


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    styles: Mapping[str, str] | None = None,
    dispensable: Sequence[str] = (),
) -> str:
    """A table; cells whose text is a key of ``styles`` are coloured on a terminal.

    ``dispensable`` columns are left out, in this order, until a narrow terminal holds every row on one line.
    """
    width = _width()
    texts = [[harmless("" if cell is None else cell, LONGEST_CELL) for cell in row] for row in rows]
    heads = [harmless(column, LONGEST_CELL) for column in columns]
    widths = _widths(heads, texts)
    kept = _fitting(heads, widths, width, [harmless(name, LONGEST_CELL) for name in dispensable])
    fits = sum(widths[at] + len(COLUMN_GAP) for at in kept) - len(COLUMN_GAP) <= width
    if not fits and len(texts) <= FOLDED_ROWS:
        return _folded_by_rich(heads, texts, kept, styles or {})
    if not fits:
        widths = _narrowed(widths, kept, width)
    return "\n".join(_plain_lines(heads, texts, kept, widths, styles or {}))


def _folded_by_rich(heads: list[str], texts: list[list[str]], kept: list[int], styles: Mapping[str, str]) -> str:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for index in kept:
        made.add_column(Text(heads[index]), overflow="fold")
    for cells in texts:
        made.add_row(*(Text(cells[index], style=styles.get(cells[index], "")) for index in kept))
    return _printed(made)


def _widths(heads: list[str], rows: list[list[str]]) -> list[int]:
    from rich.cells import cell_len

    widths = [cell_len(head) for head in heads]
    for row in rows:
        for at, text in enumerate(row):
            length = len(text) if text.isascii() else cell_len(text)
            if length > widths[at]:
                widths[at] = length
    return widths


def _fitting(columns: list[str], widths: list[int], width: int, dispensable: Sequence[str]) -> list[int]:
    kept = list(range(len(columns)))
    for name in dispensable:
        if sum(widths[at] + len(COLUMN_GAP) for at in kept) - len(COLUMN_GAP) <= width:
            break
        kept = [at for at in kept if columns[at] != name]
    return kept


def _narrowed(widths: list[int], kept: list[int], width: int) -> list[int]:
    """Widths that fit, the widest columns made narrower first; nothing gets narrower than `NARROWEST`."""
    narrow = list(widths)
    over = sum(narrow[at] + len(COLUMN_GAP) for at in kept) - len(COLUMN_GAP) - width
    while over > 0:
        widest = max(kept, key=lambda at: narrow[at])
        if narrow[widest] <= NARROWEST:
            break
        others = [narrow[at] for at in kept if narrow[at] < narrow[widest]]
        less = min(over, narrow[widest] - max(*others, NARROWEST) if others else over, narrow[widest] - NARROWEST)
        narrow[widest] -= max(less, 1)
        over -= max(less, 1)
    return narrow


def _plain_lines(
    heads: list[str], rows: list[list[str]], kept: list[int], widths: list[int], styles: Mapping[str, str]
) -> Iterator[str]:
    """The lines of a table as rich would print them, two and a half milliseconds a row faster."""
    codes = _codes(styles) if _is_coloured() else {}
    bold = BOLD if _is_coloured() else ""
    columns = [(at, widths[at]) for at in kept]
    for number, cells in enumerate((heads, *rows)):
        pieces = [_chopped(cells[at], width) for at, width in columns]
        for line in range(max(map(len, pieces))):
            parts = []
            for (at, width), piece in zip(columns, pieces, strict=True):
                text = piece[line] if line < len(piece) else ""
                code = (codes.get(cells[at], "") if number else bold) if text else ""
                padding = " " * (width - _length(text))
                parts.append(f"\x1b[{code}m{text}\x1b[0m{padding}" if code else f"{text}{padding}")
            yield COLUMN_GAP.join(parts).rstrip()


def _length(text: str) -> int:
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


def _chopped(text: str, width: int) -> list[str]:
    if _length(text) <= width:
        return [text]
    from rich.cells import chop_cells

    return chop_cells(text, width)


def _codes(styles: Mapping[str, str]) -> dict[str, str]:
    """What a terminal is told for each style."""
    from rich.color import ColorSystem
    from rich.style import Style

    rendered = {
        name: Style.parse(style).render("x", color_system=ColorSystem.STANDARD) for name, style in styles.items()
    }
    return {name: text.partition("m")[0].removeprefix("\x1b[") for name, text in rendered.items() if text != "x"}


def _printed(renderable: object) -> str:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, force_terminal=_is_coloured(), width=_width(), highlight=False).print(renderable)
    text = stream.getvalue()
    return "\n".join(line.rstrip() for line in text.rstrip("\n").split("\n"))


def _is_coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _width() -> int:
    return _terminal_width() if sys.stdout.isatty() else WIDE


def _terminal_width() -> int:
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, 60)
    except (OSError, ValueError):
        return WIDE
