"""The index: a SQLite file that answers questions about the run history, and of which nothing is lost with it.

It is keyed by the tip of the notes ref, brought up to date from the difference of two tips, and made from nothing when
in doubt. Updating happens under a lock of its own and in one transaction (WAL: readers are not kept waiting). Where it
cannot be written, or is damaged beyond repair, the same tables are made in memory for the one process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from amltool.errors import DamagedError, UserError
from amltool.files import locked
from amltool.git.command import Git, GitError
from amltool.git.reading_notes import changed_notes, read_notes
from amltool.git.refs import are_notes_as_left, tip_of
from amltool.history.rows import Rows
from amltool.layout import NOTES_REF, REFETCH_HISTORY
from amltool.locks import LockedError, tell

NO_TIP = ""
"""Stands for the tip of a history that has no run yet."""

WAIT_S = 20.0
"""How long a statement waits for another process's transaction."""

ELSE_MEMORY_S = 10.0
"""How long another process may be at work on the index before an answer is made without it."""

_CACHE = "cache_size = -65536"  # KB: an index of 100,000 runs is made in memory and written once

Answer = TypeVar("Answer")


class Index:
    """The index of one clone."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._path = git.layout.index
        self._lock = git.layout.index_lock
        self._memory: tuple[str, sqlite3.Connection] | None = None
        self._is_given_up = False

    def ask(self, question: Callable[[Rows], Answer]) -> Answer:
        """Ask a question of rows that are those of the tip as it is now.

        Raises:
            DamagedError: the notes themselves cannot be read.
        """
        _settle(self._git)
        for again in (True, False):
            if self._is_given_up or tip_of(self._git, NOTES_REF) is None:
                break
            try:
                with self._fresh() as rows:
                    return question(rows)
            except sqlite3.OperationalError as error:
                if again and "no such" in str(error):
                    self._discard()
                    continue
                break
            except sqlite3.DatabaseError:
                self._discard()
            except LockedError as error:
                self._is_given_up = True  # a command has more than one question, and has waited once
                tell(f"{error.what} The answer comes from the notes themselves.")
                break
            except OSError:
                break
        return question(self._in_memory())

    @contextmanager
    def _fresh(self) -> Iterator[Rows]:
        tip = tip_of(self._git, NOTES_REF) or NO_TIP
        if self._path.exists():
            with _connected(self._path) as connection:
                rows = Rows(connection)
                if rows.tip() == tip:
                    yield rows
                    return
        self._git.layout.folder.mkdir(exist_ok=True)
        with locked(self._lock, "the index of the run history", within_s=ELSE_MEMORY_S):
            if not self._path.exists():
                self._make_anew()
            with _connected(self._path) as connection:
                self._bring_up_to_date(connection)
        with _connected(self._path) as connection:
            yield Rows(connection)

    def _make_anew(self) -> None:
        """Make the file beside its place and rename it: half the work of making it in place through a WAL."""
        tip = tip_of(self._git, NOTES_REF) or NO_TIP
        beside = self._path.with_name(f".{self._path.name}.tmp")
        beside.unlink(missing_ok=True)
        try:
            with _connected(beside, "rwc") as connection:
                for pragma in ("journal_mode = OFF", "synchronous = OFF", _CACHE):
                    connection.execute(f"PRAGMA {pragma}")
                with _transaction(connection):
                    self._rebuild(Rows(connection), tip)
                connection.execute("PRAGMA journal_mode = WAL")
            with beside.open("rb") as made:
                os.fsync(made.fileno())
            for suffix in ("-wal", "-shm", "-journal"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            beside.replace(self._path)
        finally:
            beside.unlink(missing_ok=True)

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        rows = Rows(connection)
        tip, known = tip_of(self._git, NOTES_REF) or NO_TIP, rows.tip()
        if known == tip:
            return
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", _CACHE):
            connection.execute(f"PRAGMA {pragma}")
        with _transaction(connection):
            if not self._updated(rows, known, tip):
                self._rebuild(rows, tip)

    def _updated(self, rows: Rows, known: str | None, tip: str) -> bool:
        if not known or not tip:
            return False
        try:
            commits, notes = changed_notes(self._git, known, tip)
            rows.update(tip, commits, notes)
        except GitError:
            return False
        return True

    def _rebuild(self, rows: Rows, tip: str) -> None:
        try:
            rows.rebuild(tip, read_notes(self._git, tip) if tip else ())
        except GitError as error:
            raise DamagedError(
                f"The run history in {NOTES_REF} cannot be read: {error.stderr or error}.",
                f"See `git fsck`; another clone may have it whole: {REFETCH_HISTORY}",
            ) from error

    def _in_memory(self) -> Rows:
        tip = tip_of(self._git, NOTES_REF) or NO_TIP
        if self._memory is None or self._memory[0] != tip:
            self._memory = (tip, self.rebuilt(tip))
        return Rows(self._memory[1])

    def rebuilt(self, tip: str) -> sqlite3.Connection:
        """The index of a tip made from nothing, in memory."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._rebuild(Rows(connection), tip)
        return connection

    def _discard(self) -> None:
        """Remove a damaged index; where that cannot be done, the answer comes from memory."""
        with contextlib.suppress(OSError, LockedError), locked(self._lock, within_s=ELSE_MEMORY_S):
            for suffix in ("", "-wal", "-shm", "-journal"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _settle(git: Git) -> None:
    """Put right a history that went back; where that cannot be written, what is there is answered from."""
    if not are_notes_as_left(git):
        from amltool.git.merging_notes import settle

        with contextlib.suppress(UserError):
            settle(git)


@contextmanager
def _connected(path: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=WAIT_S)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
