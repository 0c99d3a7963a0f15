"""Tables look as rich prints them, and a long one does not pass through rich."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from amltool import tables
from amltool.tables import table

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), max_size=12)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8)
HEADS = ("run", "status", "größe")
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@settings(deadline=None)
@given(ROWS, st.booleans())
def test_a_table_that_fits_is_what_rich_prints(rows: list[tuple[str, str, str]], coloured: bool) -> None:
    styles = {cell: colour for cell, colour in zip(rows[0], ("green", "red"), strict=False) if cell and coloured}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_is_coloured", lambda: coloured)
        ours = table(HEADS, rows, styles=styles)
        theirs = tables._folded_by_rich(list(HEADS), [list(row) for row in rows], [0, 1, 2], styles)
    assert plain(ours) == plain(theirs)
    assert set(ANSI.findall(ours)) == set(ANSI.findall(theirs))


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in ANSI.sub("", text).split("\n")]


@settings(deadline=None, max_examples=30)
@given(st.integers(20, 60), ROWS)
def test_a_long_table_is_folded_within_the_width_and_nothing_is_lost(
    width: int, rows: list[tuple[str, str, str]]
) -> None:
    long = [*rows, *[("x" * 50, "y" * 30, "z")] * (tables.FOLDED_ROWS + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "WIDE", max(width, 3 * tables.NARROWEST + 4))
        patch.setattr(tables, "_folded_by_rich", None)
        lines = table(HEADS, long).split("\n")
        assert max(map(cell_len, lines)) <= tables.WIDE
    for letter, count in (("x", 50), ("y", 30)):
        own = sum(cell.count(letter) for row in rows for cell in row)
        assert sum(line.count(letter) for line in lines) == count * (tables.FOLDED_ROWS + 1) + own


def test_ten_thousand_rows_need_nothing_of_rich_but_the_width_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_folded_by_rich", None)
    lines = table(("run", "no"), ((f"run-{number}", number) for number in range(10_000))).split("\n")
    assert len(lines) == 10_001
    assert lines[0] == "run       no"
    assert lines[-1] == "run-9999  9999"
