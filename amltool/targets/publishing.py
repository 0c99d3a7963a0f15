"""Show a run that goes on to other clones: its state, its console, its metrics and its logs, in a store of all.

A thread of its own does it beside the steps of the run, which wait for nothing of it. Nothing is held in memory: what a
file of the store lacks is read again where the run writes it, from the length that the store says it has.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from amltool.errors import TargetError, UserError
from amltool.files import safe_text
from amltool.history.journal import Step
from amltool.history.progress import row_of
from amltool.hosts.base import LARGEST_PIECE, FileKind, Piece
from amltool.layout import CONSOLE_FILE, METRICS_FILE
from amltool.run import RunRecord, event_to_line, timestamp
from amltool.stores.live import MovedError

if TYPE_CHECKING:
    from amltool.stores.live import LiveStore
    from amltool.targets.drive import Drive

LOOK_S = 2.0
"""The pause between two looks: with the time of a look, the most that another clone is behind."""
SAID_AGAIN_S = 30.0
"""An unchanged state is said again so often, so that others know that the run has a driver."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two attempts while the store cannot be used."""
FINISH_S, LEAVE_S = 20.0, 1.0
"""The most that a run waits for its last state to be shown, and for us to let go of it."""
MOST_FILES = 200
"""Files under ``logs/`` that are shown; the others are there with the artifacts."""
MOST_EMPTY = 64
"""Pieces without a byte of text, after which a file is not shown further: a sparse one may have any length."""
_LIVE = (Step.LAUNCHED, Step.ENDED)


class _AwayError(Exception):
    """The host of the run does not answer: whoever follows the run says so."""


class _Source(msgspec.Struct, frozen=True):
    """A file of a run: its path there, the folder and the path below it, and its size in bytes where that is known."""

    path: str
    folder: PurePosixPath
    place: str
    size: int | None = None


class Publication:
    """Shows one run in a store, from `begin` to `finish`, or to `leave` where another process goes on with it."""

    def __init__(self, run: Drive, open_live: Callable[[], LiveStore | None]) -> None:
        self._run = run
        self._open_live = open_live
        self._live: LiveStore | None = None
        self._wake = threading.Event()
        self._is_left = False
        self._last: Callable[[LiveStore], None] | None = None
        self._said: bytes = b""
        self._said_at = 0.0
        self._lengths: dict[str, int] | None = None
        self._empty: dict[str, int] = {}
        self._refused: set[str] = set()
        self._pause_s = 0.0
        self._is_told = False
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Go on from now on; nothing happens where the store shows no runs."""
        self._is_left = False
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="publication", daemon=True)
            self._thread.start()

    def note(self) -> None:
        """Show the state of the run, which changed."""
        self._wake.set()

    def leave(self) -> None:
        """Do nothing more; what is under way is waited for a moment."""
        self._is_left = True
        self._end(LEAVE_S)

    def finish(self, record: RunRecord) -> None:
        """Show the record of the run in place of its state, and its artifacts in place of its files so far."""
        content, run_id = event_to_line(record), self._run.request.run_id

        def last(live: LiveStore) -> None:
            live.publish(run_id, content)
            live.finish(run_id)

        self._finish(last)

    def withdraw(self) -> None:
        """Take back what is shown of a run of which nothing started."""
        self._finish(lambda live: live.remove(self._run.request.run_id))

    def _finish(self, last: Callable[[LiveStore], None]) -> None:
        self._last = last
        self._pause_s = 0.0
        self.begin()
        self._end(FINISH_S)
        if self._last is not None:
            self._tell("there was no time")
        self._is_left = True

    def _end(self, within_s: float) -> None:
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within_s)

    def _work(self) -> None:
        while not self._is_left:
            self._wake.clear()
            try:
                more = self._look()
            except _AwayError:
                more = False
            except Exception as error:  # whatever it is, the run goes on
                self._fail(error)
                if self._last is not None and not isinstance(error, TargetError):  # waiting does not help
                    self._last = None
                    return
                more = False
            else:
                self._pause_s = 0.0
            if more is None:
                return
            if not more:
                self._wait()

    def _wait(self) -> None:
        """Until the state changes, or for a moment; a store that cannot be used is left alone for its whole pause."""
        until = time.monotonic() + (self._pause_s or LOOK_S)
        while not self._is_left and (left := until - time.monotonic()) > 0:
            if self._wake.wait(left) and (self._pause_s == 0.0 or self._last is not None):
                return
            if self._wake.is_set():
                self._wake.clear()

    def _look(self) -> bool | None:
        """Show what is new; true where there may be more at once, ``None`` where all is done."""
        self._live = live = self._live or self._open_live()
        if live is None:
            self._last = None
            return None
        if self._last is not None:
            self._last(live)
            self._last = None
            return None
        self._show_state(live)
        return self._show_files(live) if self._run.state.step in _LIVE else False

    def _show_state(self, live: LiveStore) -> None:
        run, now = self._run, time.monotonic()
        content = msgspec.json.encode(row_of(run.request, run.state))
        if content != self._said or now - self._said_at > SAID_AGAIN_S:
            row = {"v": 1, "event": "unfinished", **row_of(run.request, run.state), "at": timestamp()}
            live.publish(run.request.run_id, msgspec.json.encode(row))
            self._said, self._said_at = content, now

    def _show_files(self, live: LiveStore) -> bool:
        run_id = self._run.request.run_id
        lengths = self._lengths = live.lengths(run_id) if self._lengths is None else self._lengths
        more, self._lengths = False, None  # until it is known again, should something go wrong
        for path, content in self._new(live, lengths):
            try:
                lengths[path] = live.append(run_id, path, lengths.get(path, 0), content)
            except MovedError as moved:
                lengths[path] = moved.length
            except ValueError:
                self._refused.add(path)
            more = more or len(content) == LARGEST_PIECE
            if self._is_left or self._last is not None:
                return False
        self._lengths = lengths
        return more

    def _new(self, live: LiveStore, lengths: dict[str, int]) -> Iterator[tuple[str, bytes]]:
        """The bytes that the run wrote and the store lacks, by path: of each file a piece at most."""
        by_folder = dict[PurePosixPath, list[_Source]]()
        with _away():
            sources = self._sources()
        for source in sources:
            have = lengths.get(source.path, 0)
            if source.path in self._refused or (source.size is not None and source.size == have):
                continue
            if source.size is not None and source.size < have:
                live.restart(self._run.request.run_id, source.path)
                lengths.pop(source.path)
            by_folder.setdefault(source.folder, []).append(source)
        for folder, grown in by_folder.items():
            wanted = [Piece(one.place, LARGEST_PIECE, lengths.get(one.path, 0)) for one in grown]
            pieces = self._run.target.host.pieces(folder, wanted)
            for source in grown:
                with _away():
                    found = next(pieces)
                if not isinstance(found, OSError) and found and not self._is_hollow(source.path, found):
                    yield source.path, found

    def _sources(self) -> list[_Source]:
        run = self._run
        host, folder = run.target.host, run.folder
        work = run.target.launcher.live_work(host, folder)
        metrics = folder.live_metrics(work).relative_to(folder.path).as_posix()
        found = [_Source(CONSOLE_FILE, folder.path, CONSOLE_FILE), _Source(METRICS_FILE, folder.path, metrics)]
        top = folder.logs.name
        names = set[str]()
        files = (each for each in host.walk(work.parent, f"{work.name}/{top}") if each.kind is FileKind.FILE)
        for entry in islice(files, MOST_FILES):
            path = safe_text(f"{top}/{entry.path}")
            if path not in names and entry.path != "." and entry.size <= run.request.max_artifact_size:
                names.add(path)
                found.append(_Source(path, work.parent, f"{work.name}/{top}/{entry.path}", entry.size))
        return found

    def _is_hollow(self, path: str, content: bytes) -> bool:
        self._empty[path] = 0 if content.strip(b"\0") else self._empty.get(path, 0) + 1
        return self._empty[path] >= MOST_EMPTY

    def _fail(self, error: Exception) -> None:
        """Try again later, and say it once."""
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or FIRST_PAUSE_S)
        self._tell(error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}")

    def _tell(self, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._run.watcher.say(f"Other clones may not see this run as it goes on. {why.rstrip('.')}.")


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Tell what a host does not answer from what a store does not."""
    try:
        yield
    except (TargetError, OSError) as error:
        raise _AwayError from error
