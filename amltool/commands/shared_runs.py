"""Runs of other clones, as an artifact store of the project shows them: their state, and their files until now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from amltool.commands.artifacts import artifact_content
from amltool.commands.opening import Opened
from amltool.commands.progress import MOST, tracked_in, with_tracked
from amltool.commands.storing import live_store_of, stores_in_use
from amltool.errors import TargetError, UserError
from amltool.history.validation import read_event
from amltool.hosts.base import LARGEST_PIECE
from amltool.layout import METRICS_FILE
from amltool.run import RUN_ID, Run, RunRecord, RunStatus, is_time, parse_timestamp
from amltool.stores.live import LiveStore
from amltool.targets.following import Outage
from amltool.targets.live_logs import LiveFile
from amltool.targets.publishing import SAID_AGAIN_S
from amltool.targets.watcher import Watcher
from amltool.text import LONGEST_CELL, harmless

LOOK_S = 1.0
"""The pause between two looks at a run that is followed."""
SILENT = timedelta(seconds=4 * SAID_AGAIN_S)
"""A driver that says nothing for so long is gone; clocks of machines differ."""


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an unfinished run as its clone wrote it (`history.progress.row_of`), checked as it is read."""

    event: str
    run_id: str
    run_number: int
    status: RunStatus
    since: str | None = None
    waits_for: str | None = None
    script: str
    arguments: list[str] = []
    run_configuration: str = ""
    target: str
    target_type: str = ""
    host: str = ""
    commit: str = ""
    base_commit: str = ""
    dirty: bool = False
    source_directory: str = "."
    created: str
    started: str | None = None
    user: str = ""
    rerun_of: str | None = None
    at: str = ""


class SharedRun:
    """A run that a store shows; ``record`` once it is over."""

    def __init__(self, live: LiveStore, run_id: str) -> None:
        self.run_id = run_id
        self._live = live
        self.record: RunRecord | None = None
        self._row: _Row | None = None

    def look(self) -> bool:
        """Read how the run is now; false where nothing that can be read says that."""
        content = self._live.state(self.run_id)
        try:
            event = None if content is None else read_event(content)
            if isinstance(event, RunRecord):
                self.record = event
            elif content is not None:
                self._row = msgspec.json.decode(content, type=_Row)
        except (ValueError, msgspec.MsgspecError):  # foreign, or of another version
            return False
        said = self.record or self._row
        return said is not None and said.run_id == self.run_id

    @property
    def run(self) -> Run | None:
        return None if self.record is None else Run(self.record, dict(self.record.tags))

    def row(self, most: int = MOST) -> dict[str, Any]:
        """The row of an unfinished run, with what it logged until now."""
        row = {} if self._row is None else msgspec.structs.asdict(self._row)
        row.pop("event", None)
        row |= {"note": self._note(row.pop("at", "")), "logs": f"amltool logs -f {self.run_id}", "cancel_asked": False}
        with contextlib.suppress(UserError):
            return with_tracked(row, tracked_in(lambda offset: self.read(METRICS_FILE, offset), most))
        return row

    def files(self) -> list[LiveFile]:
        """The files that are shown of it until now."""
        return [LiveFile(path, size) for path, size in sorted(self._live.lengths(self.run_id).items())]

    def read(self, path: str, offset: int) -> bytes:
        return self._live.read(self.run_id, path, offset, LARGEST_PIECE)

    def _note(self, at: str) -> str:
        row = self._row
        if row is None:
            return ""
        user = harmless(row.user, LONGEST_CELL)
        where = f"driven by {user} from another clone" if user else "driven from another clone"
        if is_time(at) and datetime.now(timezone.utc) - parse_timestamp(at) > SILENT:
            return f"{where}, where nobody has driven it since {at}"
        return where


class ElsewhereError(UserError):
    """A run goes on in another clone, where a finished one is asked for."""

    def __init__(self, shared: SharedRun) -> None:
        what = f"Run {shared.run_id} is not finished yet, and it is {shared.row(0)['note']}."
        super().__init__(what, f"Follow it: amltool logs -f {shared.run_id}; only that clone can cancel it.")
        self.shared = shared


def shared_run(opened: Opened, name: str) -> SharedRun | None:
    """The run of another clone that a name stands for: its id, or a unique part of it; ``None`` where no store has it.

    Raises:
        UserError: several have that name, or a store cannot be asked.
    """
    if not name.isascii() or len(name) < 4 or name.startswith("@"):
        return None
    for live in live_stores(opened):
        ids = [name] if RUN_ID.fullmatch(name) else live.runs()
        found = [run_id for run_id in ids if run_id.startswith(name) or run_id.endswith(name)]
        if len(found) > 1:
            raise UserError(f"{name!r} names several runs: {', '.join(found[:5])}.", "Give more of the run id.")
        if found and (run := SharedRun(live, found[0])).look():
            return run
    return None


def live_stores(opened: Opened) -> Iterator[LiveStore]:
    """The stores of the project that show runs which go on."""
    for address in dict.fromkeys(address for _, address in stores_in_use(opened)):
        live = live_store_of(opened, address)
        if live is not None:
            yield live


def with_shared(
    opened: Opened, runs: Sequence[Run], rows: Sequence[dict[str, Any]], limit: int | None, status: RunStatus | None
) -> tuple[list[Run], list[dict[str, Any]], list[str]]:
    """Recorded runs and rows of unfinished ones, with those that only a store knows; and what is to be said of that."""
    known = {run.run_id for run in runs} | {row["run_id"] for row in rows}
    found: list[SharedRun] = []
    told: list[str] = []
    try:
        for live in live_stores(opened):
            ids = [run_id for run_id in live.runs() if run_id not in known]
            found += _looked_at(opened, live, ids, limit)
    except UserError as error:
        told.append(f"Runs of other clones may be missing: {error}")
    over = [run for each in found if (run := each.run) is not None and status in (None, run.record.status)]
    on = [row for each in found if each.record is None and status in (None, (row := each.row())["status"])]
    unfinished = sorted([*rows, *on], key=lambda row: str(row.get("created", row["run_id"])), reverse=True)[:limit]
    recorded = sorted([*runs, *over], key=lambda run: (run.record.created, run.run_id), reverse=True)
    return recorded if limit is None else recorded[: max(0, limit - len(unfinished))], unfinished, told


def _looked_at(opened: Opened, live: LiveStore, ids: Sequence[str], limit: int | None) -> list[SharedRun]:
    """The newest of these runs that the history here does not know."""
    found: list[SharedRun] = []
    for run_id in ids:
        if limit is not None and len(found) >= limit:
            break
        is_here = opened.journal.entry(run_id) is not None or opened.history.knows(run_id)
        if not is_here and (run := SharedRun(live, run_id)).look():
            found.append(run)
    return found


def shared_console(opened: Opened, shared: SharedRun, path: str, *, follow: bool, watcher: Watcher) -> Iterator[bytes]:
    """A file of a run of another clone in blocks; ``follow`` goes on to the run's end, and while its store is away.

    Raises:
        UserError: there is no such file (yet), or the store cannot be asked.
    """
    offset, outage = 0, Outage(watcher)
    while True:
        try:
            if shared.record is not None:
                yield from _rest(opened, shared.record, path, offset)
                return
            while block := shared.read(path, offset):
                offset += len(block)
                yield block
            if not follow and offset == 0 and path not in {file.path for file in shared.files()}:
                raise UserError(f"Run {shared.run_id} has no {path} yet.", f"See: amltool logs {shared.run_id} --list")
            if not follow:
                return
            time.sleep(LOOK_S)
            shared.files()  # how long they are now
            shared.look()
        except TargetError as error:
            if not follow:
                raise
            outage.goes_on(error)
            continue
        outage.is_over()


def _rest(opened: Opened, record: RunRecord, path: str, offset: int) -> Iterator[bytes]:
    passed = 0
    try:
        for block in artifact_content(opened, Run(record, {}), path):
            yield block[max(offset - passed, 0) :]
            passed += len(block)
    except TargetError:
        raise
    except UserError:
        if offset == 0:  # what was shown was all there was of it
            raise
