"""Look at runs, finished or not: list them, show one, read its console, wait for it, cancel it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amltool.commands.artifacts import artifact_content, whole_run
from amltool.commands.drivers import DriverWatch, drives, stopped_driver
from amltool.commands.driving import finish, finish_ended, go_on, hand_over, looked_at, prepare_drive, runs_now
from amltool.commands.opening import Opened
from amltool.commands.progress import MOST_IN_LIST, with_logged
from amltool.commands.unfinished import BEFORE_LAUNCH, unfinished_row
from amltool.errors import DamagedError, TargetError, UnknownRunError, UserError
from amltool.history.journal import JournalEntry, Step
from amltool.layout import CONSOLE_FILE, METRICS_FILE
from amltool.locks import SAID_AFTER_S
from amltool.run import Run, RunRecord, RunStatus
from amltool.targets.drive import Drive
from amltool.targets.following import ConsoleReader, Outage
from amltool.targets.live_logs import LogReader
from amltool.targets.watcher import Silent, Watcher

if TYPE_CHECKING:
    from amltool.commands.shared_runs import SharedRun

WAIT_S = 0.05
LOG_WAIT_S = 0.25
"""How often a file under ``logs/`` is looked at: it costs a round trip."""
CANCEL_S = 12.0
"""How long a cancel may take in all where another process does not let go of the run: one that goes on needs less."""
LOOK_S = 1.0
"""How often one who follows a run looks whether it still has a driver."""
STATUSES = {status.value.lower(): status for status in RunStatus}


@dataclass(frozen=True, slots=True)
class Listing:
    """Finished runs and the rows of those that are not, newest first; ``told`` are sentences for the user."""

    runs: list[Run]
    unfinished: list[dict[str, Any]]
    told: list[str]


def list_runs(
    opened: Opened,
    *,
    limit: int | None = 20,
    status: str | None = None,
    best: str | None = None,
    recorded_only: bool = False,
    all_clones: bool = False,
) -> Listing:
    """The newest runs; with ``best`` those with the highest last value of a metric first (``-NAME``: the lowest).

    ``recorded_only`` leaves unfinished ones out, unless their ``status`` is asked for. ``all_clones`` takes in those
    that only an artifact store of the project knows here.

    Raises:
        UserError: an unknown status.
    """
    if best is not None and not best.strip("-"):
        raise UserError("--best names no metric.", "Write --best NAME, or --best -NAME for the lowest value first.")
    away: dict[str, str] = {}
    told = finish_ended(opened, away)
    wanted = None
    if status is not None:
        if status.lower() not in STATUSES:
            raise UserError(
                f"Unsupported status value: {status}", f"Use one of: {', '.join(s.value for s in RunStatus)}."
            )
        wanted = STATUSES[status.lower()]
    if best is None:
        entries = [] if recorded_only and wanted is None else opened.journal.entries()
        rows = ((unfinished_row(entry), entry) for entry in sorted(entries, key=_created, reverse=True))
        chosen = [(row, entry) for row, entry in rows if wanted in (None, row["status"]) and entry.is_there][:limit]
        unfinished = [
            row if row["target"] in away else with_logged(opened, entry, row, MOST_IN_LIST) for row, entry in chosen
        ]
        left = None if limit is None else limit - len(unfinished)
        recorded = [] if left == 0 else opened.history.runs(limit=left, status=wanted)
        known = {run.run_id for run in recorded}  # one may be recorded just now
        unfinished = [row for row in unfinished if row["run_id"] not in known]
        if all_clones:
            from amltool.commands.shared_runs import with_shared

            recorded, unfinished, more = with_shared(opened, recorded, unfinished, limit, wanted)
            told += more
        return Listing(recorded, unfinished, told)
    runs = sorted(_with_metric(opened, best.lstrip("-"), wanted), key=lambda r: _last(r, best), reverse=best[0] != "-")
    return Listing(runs[:limit] if limit else runs, [], told)


def _with_metric(opened: Opened, name: str, status: RunStatus | None) -> list[Run]:
    runs = [whole_run(opened, run) for run in opened.history.runs(limit=None, status=status)]
    found = [run for run in runs if isinstance(_last(run, name), (int, float))]
    if not found:
        known = sorted({metric for run in runs for metric in run.record.metrics})
        raise UserError(
            f"No run has a number for the metric {name!r}.", f"Known metrics: {', '.join(known) or 'none'}."
        )
    return found


def _last(run: Run, name: str) -> Any:
    metric = run.record.metrics.get(name.lstrip("-"))
    return None if metric is None else metric.last


def find_run(opened: Opened, name: str, watcher: Watcher | None = None) -> Run | JournalEntry:
    """The run a name stands for, finished or not. A run without a driver is gone on with first.

    Raises:
        UserError: no run, or several, have that name.
    """
    name = counted(opened, name)
    entry = unfinished_named(opened, name)
    if entry is None:
        return _recorded_or_shared(opened, name)
    record = go_on(opened, entry, watcher)
    if record is not None or not entry.is_there:
        return opened.history.find(entry.run_id)
    return entry


def find_or_follow(opened: Opened, name: str) -> Run | JournalEntry | SharedRun:
    """`find_run`, and also one that another clone drives, as an artifact store of the project shows it.

    Raises:
        UserError: no run, or several, have that name.
    """
    name = counted(opened, name)
    return known_run(opened, name) if unfinished_named(opened, name) is None else find_run(opened, name)


def _recorded_or_shared(opened: Opened, name: str) -> Run:
    """A finished run of the history, or one that only an artifact store of the project knows here.

    Raises:
        UserError: no run, or several, have that name, or it goes on in another clone (ElsewhereError).
    """
    found = known_run(opened, name)
    if isinstance(found, Run):
        return found
    if found.run is not None:
        return found.run
    from amltool.commands.shared_runs import ElsewhereError

    raise ElsewhereError(found)


def known_run(opened: Opened, name: str) -> Run | SharedRun:
    """A run that is not in the journal here: of the history, else one that an artifact store of the project shows.

    Raises:
        UserError: no run, or several, have that name.
    """
    try:
        return opened.history.find(name)
    except UnknownRunError:
        from amltool.commands.shared_runs import shared_run

        found = shared_run(opened, name)
        if found is None:
            raise
        return found


def shown(opened: Opened, name: str) -> Run | dict[str, Any]:
    """What there is to show of a run: the run itself, or the row of one that is not finished. That it cannot be looked
    at where it runs is a part of the row, no error.

    Raises:
        UserError: no run, or several, have that name, or its entry in the journal is damaged.
    """
    name = counted(opened, name)
    entry = unfinished_named(opened, name)
    if entry is None:
        known = known_run(opened, name)
        return known if isinstance(known, Run) else known.run or known.row()
    with contextlib.suppress(FileNotFoundError):  # it is recorded just now
        entry.request()
    away: dict[str, str] = {}
    trouble = ""
    try:
        go_on(opened, entry, away=away)
    except UserError as error:
        trouble = error.what.replace("\n", " ")
    row = unfinished_row(entry, trouble or "".join(f"an answer: {what}" for what in away.values()))
    recorded = opened.history.run(entry.run_id) if row["status"].is_terminal else None
    if recorded is None and entry.is_there:
        return row if row["waits_for"] and (trouble or away) else with_logged(opened, entry, row)
    return recorded or opened.history.find(entry.run_id)


def counted(opened: Opened, name: str) -> str:
    """The run id that ``@`` or ``@2`` stands for, unfinished runs counted; any other name as it is."""
    count = name[1:] or "1"
    entries = opened.journal.entries() if name.startswith("@") else []
    if not entries or not (count.isascii() and count.isdigit() and len(count) < 10 and int(count) > 0):
        return name
    recorded = {(run.record.created, run.run_id) for run in opened.history.runs(limit=int(count))}
    newest = sorted(recorded | {(_created(entry), entry.run_id) for entry in entries}, reverse=True)
    return newest[int(count) - 1][1] if int(count) <= len(newest) else name


def _created(entry: JournalEntry) -> str:
    """When a run was asked for, to the millisecond (its id has the second); nothing where that cannot be read."""
    with contextlib.suppress(UserError, OSError):
        return entry.request().created
    return ""


def unfinished_named(opened: Opened, name: str) -> JournalEntry | None:
    """The unfinished run a name stands for: ``@`` is the newest of all, else a unique prefix or suffix."""
    entries, name = opened.journal.entries(), counted(opened, name)
    if name.startswith("@") or not name:
        return None
    found = [entry for entry in entries if entry.run_id.startswith(name) or entry.run_id.endswith(name)]
    if len(found) > 1:
        names = ", ".join(entry.run_id for entry in found)
        raise UserError(f"{name!r} names several runs: {names}.", "Give more of the run id.")
    return found[0] if found else None


def finished(opened: Opened, name: str) -> Run:
    """A run of the history.

    Raises:
        UserError: there is none, or it is not finished yet.
    """
    run = find_run(opened, name)
    if isinstance(run, Run):
        return run
    raise UserError(f"Run {run.run_id} is not finished yet.", f"Wait for it: amltool wait {run.run_id}")


def wait_for(opened: Opened, name: str, watcher: Watcher) -> Run:
    """Follow a run to its end; drives it when nobody else does.

    Raises:
        KeyboardInterrupt: the user interrupted; the run lives on.
        LockedError: nothing comes of the run, for the process that drives it is stopped.
    """
    name = counted(opened, name)
    entry = unfinished_named(opened, name)
    if entry is None:
        return _recorded_or_shared(opened, name)
    reader: ConsoleReader | None = None
    is_said, outage, driver = False, Outage(watcher), DriverWatch(entry, watcher.say)
    while True:
        try:
            with entry.driven():
                run = prepare_drive(opened, entry, watcher)
                _catch_up(run, reader)
                finish(opened, run)
                return opened.history.find(entry.run_id)
        except FileNotFoundError:  # whoever drove it was faster than our next look
            for block in _rest(opened, entry.run_id, CONSOLE_FILE, reader.offset if reader else 0):
                watcher.console(block)
            return opened.history.find(entry.run_id)
        except KeyboardInterrupt:
            if stands_before_launch(entry):  # nothing but its driver starts it
                hand_over(opened, entry)
            raise
        except BlockingIOError:
            if stands_before_launch(entry):
                is_said = is_said or _say_queued(entry, watcher)
                driver.look(lambda: False, goes_on_alone=False)
                time.sleep(WAIT_S)
                continue
            try:
                driver.look(lambda: _is_over(opened, entry))
                reader = reader or _console_reader(opened, entry)
                blocks = reader.new() if reader is not None else []
            except TargetError as error:  # whoever drives the run waits for an answer, too
                outage.goes_on(error)
                continue
            outage.is_over()
            for block in blocks:
                watcher.console(block)
            time.sleep(WAIT_S)


def _is_over(opened: Opened, entry: JournalEntry) -> bool:
    """Return True if a run has ended where it was started, whatever its driver knows of it."""
    if not is_running(entry):
        return True
    run = looked_at(opened, entry)
    return run is None or not runs_now(run)


def is_rerun(opened: Opened, name: str) -> bool:
    """Whether a run, finished or not, is one that a verdict is given on."""
    entry = unfinished_named(opened, name)
    if entry is not None:
        with contextlib.suppress(FileNotFoundError):  # it is recorded just now
            return entry.request().rerun_of is not None
    known = known_run(opened, entry.run_id if entry else name)
    return isinstance(known, Run) and known.record.rerun_of is not None


def is_queued(opened: Opened, run_id: str) -> bool:
    """Whether a run waits for its turn on its compute target."""
    entry = opened.journal.entry(run_id)
    with contextlib.suppress(FileNotFoundError):
        return entry is not None and entry.state().status is RunStatus.QUEUED
    return False


def stands_before_launch(entry: JournalEntry) -> bool:
    """Whether nothing of a run can be there to read yet."""
    with contextlib.suppress(FileNotFoundError):
        return entry.state().step in BEFORE_LAUNCH and entry.is_there
    return False


def _say_queued(entry: JournalEntry, watcher: Watcher) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if entry.state().status is RunStatus.QUEUED:
            watcher.say(f"Run {entry.run_id} is Queued: it starts by itself when it is its turn.")
            return True
    return False


def _console_reader(opened: Opened, entry: JournalEntry) -> ConsoleReader | None:
    run = looked_at(opened, entry)
    return ConsoleReader(run.target.host, run.folder) if run is not None else None


def _catch_up(run: Drive, reader: ConsoleReader | None) -> None:
    """Console that was shown while another process drove the run is not shown again."""
    if reader is None or run.state.step is not Step.LAUNCHED:
        return
    run.console_offset = reader.offset


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A run that another process has to record, after a cancel; ``told`` says which, and what to do. ``is_canceled``:
    it does not go on, and had not ended before.
    """

    run_id: str
    told: str
    is_canceled: bool


def cancel_run(opened: Opened, name: str, *, give_up: bool = False) -> RunRecord | Unrecorded | None:
    """Cancel an unfinished run: its whole process tree is gone when this returns. The record says whether that is what
    ended it; ``None``: nothing can be known of it any more, its entry was damaged and is gone. A driver that is stopped
    or hangs is waited for until `CANCEL_S` after the beginning.

    With ``give_up`` a run whose target does not answer is ended all the same; what lies there stays, or even goes on.

    Raises:
        UserError: no such run, or its target does not answer.
    """
    name = counted(opened, name)
    entry = unfinished_named(opened, name)
    if entry is None:
        over = _recorded_or_shared(opened, name)
        raise UserError(
            f"Run {over.run_id} is over: {over.record.status.value}.",
            "Only a run that is not finished can be canceled.",
        )
    until = time.monotonic() + CANCEL_S
    entry.ask_to_cancel()
    try:
        run = looked_at(opened, entry)
    except DamagedError:
        entry.discard()
        return None
    is_canceled = stands_before_launch(entry)
    try:
        if run is not None and runs_now(run):
            run.target.launcher.cancel(run.target.host, run.folder, run.state.handle)
            entry.note_cancel_reached()
            is_canceled = True
    except (UserError, OSError) as error:
        if give_up:
            entry.give_up()
        elif isinstance(error, TargetError):
            later = f"The cancel is kept, and done when there is an answer; to see it: amltool wait {entry.run_id}"
            gone = f"If the machine is gone for good: amltool cancel {entry.run_id} --give-up"
            raise TargetError(error.what, f"{later}\n{gone}") from error
        else:
            raise
    try:
        return _recorded(opened, entry, until, is_canceled=is_canceled)
    except (UserError, OSError):
        if not give_up or entry.is_given_up:
            raise
        entry.give_up()
    return _recorded(opened, entry, until, is_canceled=is_canceled)


def _recorded(opened: Opened, entry: JournalEntry, until: float, *, is_canceled: bool) -> RunRecord | Unrecorded:
    """The record of a run that a cancel has reached; it is made here where nobody else drives the run."""
    stopped_since: float | None = None
    while True:
        try:
            with entry.driven():
                finish(opened, prepare_drive(opened, entry, Silent()))
            return opened.history.find(entry.run_id).record
        except FileNotFoundError:  # its driver was faster
            return opened.history.find(entry.run_id).record
        except BlockingIOError:
            now, driver = time.monotonic(), stopped_driver(entry)
            stopped_since = None if driver is None else stopped_since or now
            if now > until or (stopped_since is not None and now - stopped_since > SAID_AFTER_S):
                return Unrecorded(entry.run_id, drives(driver or entry.driver(), entry.run_id), is_canceled)
            time.sleep(WAIT_S)


def console_of(
    opened: Opened, name: str, *, follow: bool, path: str = CONSOLE_FILE, watcher: Watcher | None = None
) -> Iterator[bytes]:
    """The console of a run (or a file under its ``logs/``) in blocks; ``follow`` goes on to the run's end, and while
    its target does not answer, which the ``watcher`` is told."""
    found = find_or_follow(opened, name)
    if not isinstance(found, (Run, JournalEntry)):
        from amltool.commands.shared_runs import shared_console

        yield from shared_console(opened, found, path, follow=follow, watcher=watcher or Silent())
        return
    if isinstance(found, Run):
        yield from artifact_content(opened, found, path)
        return
    run = looked_at(opened, found)
    if run is None:
        yield from artifact_content(opened, opened.history.find(found.run_id), path)
        return
    host, launcher = run.target.host, run.target.launcher
    reader: ConsoleReader | LogReader = ConsoleReader(host, run.folder)
    if path == METRICS_FILE:
        reader = LogReader(host, lambda: run.folder.live_metrics(launcher.live_work(host, run.folder)).parent, path)
    elif path != CONSOLE_FILE:
        reader = LogReader(host, lambda: launcher.live_work(host, run.folder), path)
    watcher, is_said = watcher or Silent(), False
    looked, outage, driver = time.monotonic(), Outage(watcher), DriverWatch(found, watcher.say)
    while True:
        running = is_running(found)
        is_said = is_said or _say_queued(found, watcher)
        try:
            blocks = [] if stands_before_launch(found) else reader.new()
        except TargetError as error:
            if not follow:
                raise
            if not running:  # whoever recorded it has all of it here
                break
            outage.goes_on(error)
            continue
        outage.is_over()
        yield from blocks
        if not follow:
            while blocks and isinstance(reader, ConsoleReader) and not reader.is_at_end:
                yield from reader.new()
            if isinstance(reader, LogReader) and not reader.is_there:
                raise UserError(f"Run {found.run_id} has no {path} yet.", f"See: amltool logs {found.run_id} --list")
            return
        if not running:
            break
        time.sleep(WAIT_S if path == CONSOLE_FILE else LOG_WAIT_S)
        if time.monotonic() - looked > LOOK_S:
            # its driver may have died since: then nobody else would see the run's end
            go_on(opened, found)
            driver.look(lambda: _is_over(opened, found), goes_on_alone=not stands_before_launch(found))
            looked = time.monotonic()
    yield from _rest(opened, found.run_id, path, reader.offset)


def _rest(opened: Opened, run_id: str, path: str, offset: int) -> Iterator[bytes]:
    """What a collected file holds after an offset: the run's folder may be gone before its last lines were read."""
    with contextlib.suppress(UserError):
        for block in artifact_content(opened, opened.history.find(run_id), path):
            yield block[max(offset, 0) :]
            offset -= len(block)


def is_running(entry: JournalEntry) -> bool:
    with contextlib.suppress(FileNotFoundError):
        state = entry.state()
        return list(Step).index(state.step) <= list(Step).index(Step.LAUNCHED) and entry.is_there
    return False
