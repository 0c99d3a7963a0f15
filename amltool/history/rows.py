"""The index's tables: where in the notes each run is, and the few columns that are asked for (SQLite)."""

from __future__ import annotations

import gc
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from amltool.git.reading_notes import Note
from amltool.history.validation import lines_of, read_event
from amltool.run import RunRecord, RunStatus, VerdictEvent

SCHEMA = 2
"""Raise it with every change of the tables: an index of another version is made anew."""

_TABLES = """
CREATE TABLE notes(note INTEGER PRIMARY KEY, commit_id TEXT, blob TEXT);
CREATE TABLE runs(run INTEGER PRIMARY KEY, note INTEGER, start INTEGER, length INTEGER, digest INTEGER, own INTEGER,
  run_id TEXT, moment TEXT, status TEXT, base_commit TEXT, run_number INTEGER, shadowed INTEGER DEFAULT 0);
CREATE TABLE events(event INTEGER PRIMARY KEY, note INTEGER, run_id TEXT, rerun TEXT, kind TEXT, line BLOB);
CREATE TABLE tip(oid TEXT);
"""
_KEYS = """
CREATE INDEX notes_by_commit ON notes(commit_id);
CREATE INDEX runs_by_note ON runs(note);
CREATE INDEX runs_by_id ON runs(run_id);
CREATE INDEX runs_by_moment ON runs(moment);
CREATE INDEX runs_by_base ON runs(base_commit) WHERE base_commit IS NOT NULL;
CREATE INDEX runs_by_number ON runs(run_number);
CREATE INDEX events_by_note ON events(note);
CREATE INDEX events_by_run ON events(run_id, kind);
CREATE INDEX events_by_rerun ON events(rerun);
"""
_ADD_RUN = (
    "INSERT INTO runs(note, start, length, digest, own, run_id, moment, status, base_commit, run_number)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_EVENT = "INSERT INTO events(note, run_id, rerun, kind, line) VALUES(?, ?, ?, ?, ?)"
_PLACE = "SELECT run_id, note, blob, start, length FROM runs JOIN notes USING(note)"
_LISTED = "NOT shadowed AND NOT EXISTS(SELECT 1 FROM events e WHERE e.run_id = runs.run_id AND e.kind = 'deleted')"
_ENDS = "run_id IN (SELECT run_id FROM runs WHERE substr(run_id, ?) = ?)"
_BLOCK = 400
_MOST = (1 << 63) - 1
"""Rows that SQLite can be asked for."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Hold Python's cycle collector while many small values without cycles are made: it takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Place(NamedTuple):
    """Where the record of a run is: ``length`` bytes from ``start`` on in a blob; ``note`` is that blob's row."""

    run_id: str
    note: int
    blob: str
    start: int
    length: int


class Rows:
    """An index on an open connection; ``sqlite3.Error`` leaves every method, its owner knows what to do."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._ask = connection

    def tip(self) -> str | None:
        """The tip these rows are of; ``None`` when they are of another schema, or not there."""
        if self._ask.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            return None
        row = self._ask.execute("SELECT oid FROM tip").fetchone()
        return None if row is None else row[0]

    def rebuild(self, tip: str, notes: Iterable[Note]) -> None:
        """Make the index from nothing, in the caller's transaction."""
        for table in ("notes", "runs", "events", "tip"):
            self._ask.execute(f"DROP TABLE IF EXISTS {table}")
        _execute_all(self._ask, _TABLES)
        with collector_paused():
            self._add(notes)
        _execute_all(self._ask, _KEYS)
        twice = self._ask.execute("SELECT run_id FROM runs GROUP BY run_id HAVING count(*) > 1")
        self._shadow(row[0] for row in twice.fetchall())
        self._ask.execute("INSERT INTO tip VALUES(?)", (tip,))
        self._ask.execute(f"PRAGMA user_version = {SCHEMA}")

    def update(self, tip: str, commits: Sequence[str], notes: Iterable[Note]) -> None:
        """Replace the rows of these commits, in the caller's transaction."""
        touched: set[str] = set()
        for commit in commits:
            for (note,) in self._ask.execute("SELECT note FROM notes WHERE commit_id = ?", (commit,)).fetchall():
                touched.update(row[0] for row in self._ask.execute("SELECT run_id FROM runs WHERE note = ?", (note,)))
                for table in ("runs", "events", "notes"):
                    self._ask.execute(f"DELETE FROM {table} WHERE note = ?", (note,))  # noqa: S608 (our own names)
        touched.update(self._add(notes))
        self._shadow(touched)
        self._ask.execute("UPDATE tip SET oid = ?", (tip,))

    def newest(self, limit: int | None = None, status: RunStatus | None = None, skip: int = 0) -> list[Place]:
        """Runs that are not deleted, newest first."""
        wanted, values = ("AND status = ?", [status.value]) if status else ("", [])
        return self._places(
            f"{_PLACE} WHERE {_LISTED} {wanted} ORDER BY moment DESC, run_id DESC LIMIT ? OFFSET ?",
            (*values, -1 if limit is None else min(limit, _MOST), skip),
        )

    def named(self, name: str) -> list[Place]:
        """Runs whose id begins or ends with a name."""
        begins = self._places(f"{_PLACE} WHERE run_id >= ? AND run_id < ? AND {_LISTED}", (name, name + "\U0010ffff"))
        return sorted(begins or self._places(f"{_PLACE} WHERE {_ENDS} AND {_LISTED}", (-len(name), name)))

    def of_commits(self, commits: Sequence[str]) -> list[Place]:
        """Runs whose commit or base commit is among these, newest first."""
        marks = ",".join("?" * len(commits))
        own = f"note IN (SELECT note FROM notes WHERE commit_id IN ({marks}))"  # noqa: S608 (question marks only)
        return self._places(
            f"{_PLACE} WHERE ({own} OR base_commit IN ({marks})) AND {_LISTED} ORDER BY moment DESC, run_id DESC",
            (*commits, *commits),
        )

    def is_deleted(self, run_id: str) -> bool:
        """Whether the history holds a tombstone of this run."""
        found = self._ask.execute("SELECT 1 FROM events WHERE run_id = ? AND kind = 'deleted'", (run_id,))
        return found.fetchone() is not None

    def commit_of(self, run_id: str) -> str | None:
        """The commit whose note holds the record of a run."""
        query = "SELECT commit_id FROM runs JOIN notes USING(note) WHERE run_id = ? AND NOT shadowed"
        row = self._ask.execute(query, (run_id,)).fetchone()
        return None if row is None else row[0]

    def highest_run_number(self, credible: int) -> int:
        """The highest run number up to ``credible``; 0 where there is none."""
        query = "SELECT max(run_number) FROM runs WHERE run_number <= ?"
        return int(self._ask.execute(query, (credible,)).fetchone()[0] or 0)

    def events_of(self, run_ids: Sequence[str]) -> dict[str, list[bytes]]:
        """The lines of later events on runs, or by them on others."""
        found: dict[str, list[bytes]] = {}
        for start in range(0, len(run_ids), _BLOCK):
            block = run_ids[start : start + _BLOCK]
            marks = ",".join("?" * len(block))
            for column in ("run_id", "rerun"):
                query = f"SELECT {column}, line FROM events WHERE {column} IN ({marks})"  # noqa: S608 (our own names)
                for run_id, line in self._ask.execute(query, block):
                    found.setdefault(run_id, []).append(line)
        return found

    def events_of_kind(self, kind: str) -> list[bytes]:
        """The lines of every later event of a kind, those on deleted runs too."""
        return [line for (line,) in self._ask.execute("SELECT line FROM events WHERE kind = ?", (kind,))]

    def content(self) -> Iterator[tuple[object, ...]]:
        """Everything that was asked of the notes, in an order of its own: two indexes of a tip give the same."""
        yield from self._ask.execute(
            "SELECT commit_id, blob, start, length, digest, own, run_id, moment, status, base_commit, run_number,"
            " shadowed FROM runs JOIN notes USING(note) ORDER BY run_id, commit_id, blob, start"
        )
        yield from self._ask.execute(
            "SELECT commit_id, blob, run_id, rerun, kind, line FROM events JOIN notes USING(note)"
            " ORDER BY run_id, line, commit_id, blob"
        )

    def _places(self, query: str, values: Sequence[object]) -> list[Place]:
        return [Place(*row) for row in self._ask.execute(query, values)]

    def _add(self, notes: Iterable[Note]) -> set[str]:
        added: set[str] = set()
        number = self._ask.execute("SELECT coalesce(max(note), 0) FROM notes").fetchone()[0]
        remaining = iter(notes)
        while block := list(islice(remaining, _BLOCK)):
            runs: list[_Run] = []
            events: list[_Event] = []
            for place, (commit, _, content) in enumerate(block, number + 1):
                _take(place, commit, content or b"", runs, events)
            named = [(number + 1 + place, note.commit, note.blob) for place, note in enumerate(block)]
            self._ask.executemany("INSERT INTO notes VALUES(?, ?, ?)", named)
            self._ask.executemany(_ADD_RUN, runs)
            self._ask.executemany(_ADD_EVENT, events)
            added.update(run[5] for run in runs)
            number += len(block)
        return added

    def _shadow(self, run_ids: Iterable[str]) -> None:
        """Of several records with one id show one, the same in every clone: that on its own commit, then by digest."""
        for run_id in run_ids:
            query = "SELECT run FROM runs WHERE run_id = ? ORDER BY own DESC, digest, length, start"
            rows = [row[0] for row in self._ask.execute(query, (run_id,))]
            self._ask.executemany(
                "UPDATE runs SET shadowed = ? WHERE run = ?", [(place > 0, row) for place, row in enumerate(rows)]
            )


_Run = tuple[int, int, int, int, bool, str, str, str, "str | None", int]
_Event = tuple[int, str, "str | None", str, bytes]


def _take(note: int, commit: str, content: bytes, runs: list[_Run], events: list[_Event]) -> None:
    """Add the rows of one note; damaged lines and unknown events have none."""
    for start, line in lines_of(content):
        try:
            event = read_event(line)
        except ValueError:
            continue
        if isinstance(event, RunRecord):
            other = None if event.base_commit == commit else event.base_commit
            row = (event.run_id, _moment(event), event.status.value, other, event.run_number)
            runs.append((note, start, len(line), zlib.crc32(line), event.commit == commit, *row))
        elif event is not None:
            rerun = event.rerun if isinstance(event, VerdictEvent) else None
            events.append((note, event.run_id, rerun, str(event.__struct_config__.tag), line))


def _moment(record: RunRecord) -> str:
    """When a run was made, as text that sorts: the second in its id (which has a checked form), then the fraction of
    ``created``; one that is in the next second already sorts after all fractions."""
    second, created = record.run_id[:15], record.created
    return second + created[19:] if created[17:19] == second[13:] else f"{second}~{created[19:]}"


def _execute_all(connection: sqlite3.Connection, script: str) -> None:
    """Several statements inside the open transaction (``executescript`` would commit it first)."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)
