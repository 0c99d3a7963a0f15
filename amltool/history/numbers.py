"""Run numbers: one more than the highest credible one in this clone, without opening the index where that is certain.

A number from elsewhere beyond `HIGHEST_CREDIBLE` is shown with its run and does not count, nor does such a number in
the file: our own stay below `LARGEST_RUN_NUMBER`, whatever others wrote.

The file holds the highest number given out and the tip of the notes it is known to cover. As long as only this clone
writes the history, its own records carry numbers that were taken here, and the tip is moved along with them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from amltool.files import locked, no_space, read_regular, write_whole
from amltool.git.command import Git
from amltool.git.refs import Move, tip_of
from amltool.layout import NOTES_REF
from amltool.locks import LockedError

NO_TIP = "-"
HIGHEST_CREDIBLE = 10_000_000


def next_run_number(git: Git, highest_recorded: Callable[[], int]) -> int:
    """One more than the highest known here; taken from then on, also when the run never comes to its end.

    ``highest_recorded`` asks the index; it is called only when notes came from elsewhere since.

    Raises:
        UserError: the number cannot be written down.
    """
    layout = git.layout
    tip = tip_of(git, NOTES_REF) or NO_TIP
    recorded = 0 if _read(layout.run_number)[1] == tip else highest_recorded()
    try:
        layout.folder.mkdir(exist_ok=True)
        with locked(layout.history_lock, "the run history"):
            number = min(max(recorded, _read(layout.run_number)[0]), HIGHEST_CREDIBLE) + 1
            write_whole(layout.run_number, f"{number} {tip}\n".encode())
    except OSError as error:
        raise no_space(error, layout.run_number) from error
    return number


def cover(git: Git, move: Move) -> None:
    """Note that a record of this clone moved the notes: its number was taken here."""
    path = git.layout.run_number
    try:
        with locked(git.layout.history_lock, "the run history"):
            number, tip = _read(path)
            if tip == (move.old or NO_TIP):
                write_whole(path, f"{number} {move.new}\n".encode())
    except (OSError, LockedError):
        return  # then the index is asked next time


def _read(path: Path) -> tuple[int, str]:
    """The highest number and the tip it covers; none where it cannot be read: numbers need not be unique."""
    try:
        number, _, tip = read_regular(path)[:100].decode("ascii").strip().partition(" ")
        return (int(number), tip) if 0 <= int(number) <= HIGHEST_CREDIBLE else (0, "")
    except (OSError, ValueError):
        return 0, ""
