"""The run history: all finished runs of a clone, in Git notes; questions are answered through the index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from amltool.errors import DamagedError, UnknownRunError, UserError
from amltool.git.command import Git, GitError
from amltool.git.notes import record
from amltool.git.refs import are_notes_as_left
from amltool.history.numbers import HIGHEST_CREDIBLE, cover, next_run_number
from amltool.history.validation import read_event, read_indexed
from amltool.layout import NOTES_REF, REFETCH_HISTORY
from amltool.run import (
    RUN_ID,
    DeletedEvent,
    PromotedEvent,
    Run,
    RunEvent,
    RunRecord,
    RunStatus,
    TagEvent,
    VerdictEvent,
    event_to_line,
    fold,
    timestamp,
)

if TYPE_CHECKING:
    from amltool.history.index import Index
    from amltool.history.rows import Place, Rows

    _Question = Callable[[Rows], list[Place]]

NAMED_CANDIDATES = 5


class History:
    """All finished runs of a clone."""

    def __init__(self, git: Git) -> None:
        self._git = git

    @cached_property
    def index(self) -> Index:
        from amltool.history.index import Index

        return Index(self._git)

    def record(self, events: Iterable[RunEvent], *, keep: Iterable[str] = ()) -> None:
        """Write events to the notes and keep snapshots, all or nothing; durable when this returns.

        An event that is there already is not added again, so a step that was cut off can be repeated.

        Raises:
            UserError: the repository cannot be written, a snapshot to keep is not in it, or an event is of a run
                that is not in the history.
        """
        lines: dict[str, list[bytes]] = {}
        for event in events:
            line = event_to_line(event)
            read_event(line)  # what we would not read back we do not write: a ValueError here is our bug
            lines.setdefault(self._commit_of(event), []).append(line)
        if not are_notes_as_left(self._git):
            from amltool.git.merging_notes import settle

            settle(self._git)
        for move in record(self._git, lines, keep=keep):
            if move.ref == NOTES_REF:
                cover(self._git, move)

    def runs(self, limit: int | None = None, status: RunStatus | None = None) -> list[Run]:
        """Runs that are not deleted, newest first."""
        return self._read(lambda rows: rows.newest(limit, status))

    def run(self, run_id: str) -> Run | None:
        """The run with this id, ``None`` where there is none or it is deleted."""
        if not RUN_ID.fullmatch(run_id):
            return None
        return next(iter(self._read(lambda rows: rows.named(run_id))), None)

    def runs_of_commit(self, *commits: str) -> list[Run]:
        """The runs whose commit or base commit is one of these full ids, newest first."""
        runs = self._read(lambda rows: rows.of_commits(commits))
        return [run for run in runs if {run.record.commit, run.record.base_commit} & set(commits)]

    def find(self, name: str) -> Run:
        """The run a name stands for: a unique prefix or suffix of its id, ``@`` for the newest, ``@2`` the one before.

        Raises:
            UserError: no run has that name, or several have; candidates are named.
        """
        if name.startswith("@"):
            return self._counted(name)
        if not name.isascii():  # an id has no such letter, and SQLite takes no half of a pair
            raise UserError(f"No run is named {name!r}.", "A run id has digits, letters and -: amltool runs")
        places = self.index.ask(lambda rows: rows.named(name)) if name else []
        if len(places) > 1:
            raise UserError(f"{name!r} names {len(places)} runs: {_names(places)}.", "Give more of the run id.")
        if places:
            return self._read(lambda _: places)[0]
        if RUN_ID.fullmatch(name) and self.index.ask(lambda rows: rows.is_deleted(name)):
            raise UserError(f"The run {name} was deleted.", "See the others: amltool runs")
        newest = self.index.ask(lambda rows: rows.newest(NAMED_CANDIDATES))
        known = f"The newest: {_names(newest)}." if newest else "There is no finished run yet."
        raise UnknownRunError(f"No run is named {name!r}.", f"{known} All of them: amltool runs")

    def knows(self, run_id: str) -> bool:
        """Return True for a run that is recorded here, deleted or not."""
        return self.index.ask(lambda rows: bool(rows.named(run_id)) or rows.is_deleted(run_id))

    def next_run_number(self) -> int:
        """One more than the highest known here; taken from then on, also when the run never comes to its end.

        Raises:
            UserError: the number cannot be written down.
        """
        return next_run_number(self._git, self.highest_run_number)

    def highest_run_number(self) -> int:
        """The highest credible number of a recorded run; 0 where there is none."""
        return self.index.ask(lambda rows: rows.highest_run_number(HIGHEST_CREDIBLE))

    def tag(self, run_id: str, key: str, value: str | None, *, user: str = "") -> None:
        """Set a tag on a run; ``None`` takes it away. Raises UserError where there is no such run."""
        self.record([TagEvent(run_id=run_id, at=timestamp(), user=user, key=key, value=value)])

    def verdict(self, event: VerdictEvent) -> None:
        """Add the verdict of a rerun; it shows on both runs. Raises UserError where there is no such run."""
        self.record([event])

    def promotions(self) -> list[PromotedEvent]:
        """Every promotion of an artifact, oldest first; also those of runs that were deleted since."""
        lines = self.index.ask(lambda rows: rows.events_of_kind("promoted"))
        found = [event for event in _events(lines) if isinstance(event, PromotedEvent)]
        return sorted(set(found), key=lambda event: (event.at, event.name, event.version, event.run_id))

    def delete(self, run_id: str, *, user: str = "") -> None:
        """Take a run out of every list; its record stays in the notes beside a tombstone."""
        self.record([DeletedEvent(run_id=run_id, at=timestamp(), user=user)])

    def _counted(self, name: str) -> Run:
        count = name[1:] or "1"
        if not (count.isascii() and count.isdigit() and len(count) < 10 and int(count) > 0):
            raise UserError(f"{name!r} names no run.", "@ is the newest run, @2 the one before.")
        runs = self._read(lambda rows: rows.newest(1, skip=int(count) - 1))
        if not runs:
            if name in ("@", "@1"):
                raise UserError("No runs yet.", "Make one: amltool submit SCRIPT --target local")
            there = len(self.index.ask(lambda rows: rows.newest(int(count))))
            raise UserError(
                f"{name!r} names no run: the history has {there} run{'s' * (there != 1)}.", "See them: amltool runs"
            )
        return runs[0]

    def _commit_of(self, event: RunEvent) -> str:
        """The commit whose note an event belongs on: that of the record of its run."""
        if isinstance(event, RunRecord):
            return event.commit
        commit = self.index.ask(lambda rows: rows.commit_of(event.run_id))
        if commit is None:
            raise UserError(f"The run {event.run_id} is not in the history.", "See what is: amltool runs")
        return commit

    def _read(self, question: _Question) -> list[Run]:
        """The runs a question gives the places of, in its order."""
        from amltool.history.rows import collector_paused

        def both(rows: Rows) -> tuple[list[Place], dict[str, list[bytes]]]:
            places = question(rows)
            return places, rows.events_of([place.run_id for place in places])

        places, events = self.index.ask(both)
        with collector_paused():
            records = self._records(places)
            return [fold(records[place.run_id], _events(events.get(place.run_id, ()))) for place in places]

    def _records(self, places: Sequence[Place]) -> dict[str, RunRecord]:
        of_blob: dict[str, list[Place]] = {}
        for place in sorted(places, key=lambda place: place.note):  # Git is twice as fast in the order of its trees
            of_blob.setdefault(place.blob, []).append(place)
        records: dict[str, RunRecord] = {}
        for (blob, inside), content in zip(of_blob.items(), self._contents(list(of_blob)), strict=True):
            if content is None:
                raise _unreadable(f"blob {blob} is missing")
            for place in inside:
                record = read_indexed(content[place.start : place.start + place.length])
                if isinstance(record, RunRecord):  # always: only places of records are in the index
                    records[place.run_id] = record
        return records

    def _contents(self, blobs: Sequence[str]) -> Iterator[bytes | None]:
        from amltool.git.reading_notes import read_blobs

        try:
            yield from read_blobs(self._git, blobs)
        except GitError as error:
            raise _unreadable(str(error)) from error


def _events(lines: Iterable[bytes]) -> list[RunEvent]:
    return [event for line in lines if (event := read_indexed(line)) is not None]


def _unreadable(why: str) -> DamagedError:
    return DamagedError(
        f"A note of the run history cannot be read: {why}.",
        f"See: amltool history.check; another clone may have it: {REFETCH_HISTORY}",
    )


def _names(places: Sequence[Place]) -> str:
    more = ", …" if len(places) > NAMED_CANDIDATES else ""
    return ", ".join(place.run_id for place in places[:NAMED_CANDIDATES]) + more
