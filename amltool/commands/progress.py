"""Metrics, parameters and tags of unfinished runs until now, read where the run writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from amltool.artifact import Tracked, fold_lines
from amltool.commands.driving import looked_at
from amltool.commands.opening import Opened
from amltool.errors import UserError
from amltool.history.journal import JournalEntry, Step
from amltool.hosts.base import LARGEST_PIECE, Piece
from amltool.hosts.ssh_passphrases import nobody_asked

MOST_IN_LIST, MOST = 4 << 20, 256 << 20
"""Bytes of a ``metrics.jsonl`` that are read for a row of a list, and for one run; of a longer one nothing is said."""
Read = Callable[[int], bytes]
"""Gives the bytes of a file from an offset on, `LARGEST_PIECE` of them at most; none at its end."""


class TooLongError(Exception):
    """A file has more bytes than are to be read."""


@nobody_asked()
def with_logged(opened: Opened, entry: JournalEntry, row: dict[str, Any], most: int = MOST) -> dict[str, Any]:
    """The row of an unfinished run with what it logged until now; as it is where nothing can be known of that."""
    try:
        state = entry.state()
        if state.step in (Step.LAUNCHED, Step.ENDED):
            return with_tracked(row, _tracked_there(opened, entry, most))
        return with_tracked(row, Tracked(state.metrics, state.parameters, state.tags))
    except (UserError, OSError):
        return row


def with_tracked(row: dict[str, Any], tracked: Tracked | None) -> dict[str, Any]:
    """A row with metrics, parameters and tags, where there are any."""
    if tracked is None or not (tracked.metrics or tracked.parameters or tracked.tags):
        return row
    return {**row, "metrics": tracked.metrics, "parameters": tracked.parameters, "tags": tracked.tags}


def tracked_in(read: Read, most: int) -> Tracked | None:
    """The values in a ``metrics.jsonl`` that grows; ``None`` where it has more bytes than ``most``."""

    def blocks() -> Iterator[bytes]:
        offset, held = 0, b""
        while block := read(offset):
            offset += len(block)
            if offset > most:
                raise TooLongError
            whole, newline, held = (held + block).rpartition(b"\n")
            yield whole + newline  # of a line that is being written nothing is known yet

    try:
        return fold_lines(blocks())
    except TooLongError:
        return None


def _tracked_there(opened: Opened, entry: JournalEntry, most: int) -> Tracked | None:
    run = looked_at(opened, entry)
    if run is None:
        return None
    host, folder = run.target.host, run.folder
    place = folder.live_metrics(run.target.launcher.live_work(host, folder)).relative_to(folder.path).as_posix()

    def read(offset: int) -> bytes:
        (found,) = host.pieces(folder.path, [Piece(place, LARGEST_PIECE, offset)])
        return b"" if isinstance(found, OSError) else found

    return tracked_in(read, most)
