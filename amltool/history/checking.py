"""Check the run history: every damaged line, every record that could not be run again, the refs and the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from amltool.errors import DamagedError, UserError
from amltool.git.command import Git, GitError
from amltool.git.keeping import kept_for_remotes, kept_snapshots
from amltool.git.merging_notes import settle
from amltool.git.noted_tips import noted_tips, taking_refspecs
from amltool.git.reading_notes import Note, read_notes
from amltool.git.refs import stale_locks, tip_of
from amltool.history.index import Index
from amltool.history.rows import Rows
from amltool.history.validation import read_event
from amltool.layout import FETCH_HISTORY, HISTORY_REF, NOTES_REF, REFETCH_HISTORY, SNAPSHOTS_REF
from amltool.run import DeletedEvent, RunRecord, VerdictEvent


class Fault(str, Enum):
    """What a check of the history can find."""

    DAMAGED_LINE = "damaged-line"
    DAMAGED_NOTE = "damaged-note"
    WRONG_COMMIT = "wrong-commit"
    MISSING_SNAPSHOT = "missing-snapshot"
    UNKEPT_SNAPSHOT = "unkept-snapshot"
    TWO_RECORDS = "two-records"
    NO_RECORD = "no-record"
    UNKNOWN_EVENT = "unknown-event"
    STALE_LOCK = "stale-lock"
    WRONG_INDEX = "wrong-index"
    BROKEN_SNAPSHOTS = "broken-snapshots"
    WENT_BACK = "went-back"
    NOTES_GONE = "notes-gone"
    TAKING_REFSPEC = "taking-refspec"

    @property
    def is_error(self) -> bool:
        """Whether the history is not as it should be; the others are worth knowing and do no harm."""
        return self not in (
            Fault.UNKNOWN_EVENT,
            Fault.WRONG_COMMIT,
            Fault.NO_RECORD,
            Fault.WENT_BACK,
            Fault.TAKING_REFSPEC,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; ``line`` counts from 1 in the note of ``commit``.

    ``message`` may hold what somebody else wrote in a note, as its ``repr``: no control character is in it.
    """

    fault: Fault
    message: str
    remedy: str
    commit: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    commit: str
    number: int
    content: bytes


def check(git: Git) -> list[Finding]:
    """Everything that is wrong with the run history of a clone; artifacts are their store's to check.

    Raises:
        DamagedError: the notes cannot be read at all.
    """
    findings = [
        Finding(Fault.STALE_LOCK, f"A killed writer left {lock}.", "The next run that is recorded removes it.")
        for lock in stale_locks(git)
    ]
    findings += _check_whether_it_went_back(git)
    tip = tip_of(git, NOTES_REF)
    if tip is None:
        return findings
    try:
        notes = list(read_notes(git, tip))
    except GitError as error:
        raise DamagedError(f"The run history in {NOTES_REF} cannot be read: {error.stderr}.", _FETCH) from error
    records: dict[str, list[tuple[_Line, RunRecord]]] = {}
    spoken_of: dict[str, _Line] = {}
    for note in notes:
        findings += _check_note(note, records, spoken_of)
    findings += _check_records(records, spoken_of)
    findings += _check_snapshots(git, records)
    findings += _check_index(git)
    return findings


_FETCH = f"See `git fsck`; another clone may have it whole: {REFETCH_HISTORY}"


def _check_note(
    note: Note, records: dict[str, list[tuple[_Line, RunRecord]]], spoken_of: dict[str, _Line]
) -> Iterator[Finding]:
    if note.content is None:
        yield Finding(Fault.DAMAGED_NOTE, f"The note's blob {note.blob} is missing.", _FETCH, note.commit)
        return
    edit = f"The other lines are listed. To remove it: git notes --ref={NOTES_REF.removeprefix('refs/notes/')} edit"
    for number, content in enumerate(note.content.split(b"\n"), 1):
        if not content.strip():
            continue
        line = _Line(note.commit, number, content)
        try:
            event = read_event(content)
        except ValueError as error:
            why = ascii(str(error)[:300]).strip("'\"")
            yield Finding(Fault.DAMAGED_LINE, why, f"{edit} {note.commit}", note.commit, number)
            continue
        if event is None:
            message = "An event of a kind or version that this amltool does not know."
            yield Finding(Fault.UNKNOWN_EVENT, message, "A newer amltool wrote it; it is kept.", note.commit, number)
        elif isinstance(event, RunRecord):
            records.setdefault(event.run_id, []).append((line, event))
        else:
            spoken_of[event.run_id] = line
            if isinstance(event, VerdictEvent):
                spoken_of.setdefault(event.rerun, line)
            if isinstance(event, DeletedEvent):
                spoken_of.pop(event.run_id)


def _check_records(records: dict[str, list[tuple[_Line, RunRecord]]], spoken_of: dict[str, _Line]) -> Iterator[Finding]:
    for run_id, found in records.items():
        for line, record in found:
            if record.commit != line.commit:
                message = f"The record of run {run_id} is of commit {record.commit}."
                remedy = "Somebody copied the note, as `git commit --amend` can (notes.rewriteRef); it is listed once."
                yield Finding(Fault.WRONG_COMMIT, message, remedy, line.commit, line.number)
        if len({line.content for line, _ in found}) > 1:
            line = found[-1][0]
            message = f"Run {run_id} has {len(found)} records that differ."
            remedy = "Every clone lists the same one; see them all: git notes --ref=amltool/runs show"
            yield Finding(Fault.TWO_RECORDS, message, f"{remedy} {line.commit}", line.commit, line.number)
    for run_id, line in spoken_of.items():
        if run_id not in records:
            message = f"An event speaks of run {run_id}, which is not in this history."
            yield Finding(
                Fault.NO_RECORD,
                message,
                f"Fetch it: {FETCH_HISTORY}",
                line.commit,
                line.number,
            )


def _check_snapshots(git: Git, records: dict[str, list[tuple[_Line, RunRecord]]]) -> Iterator[Finding]:
    kept, is_whole = kept_snapshots(git)
    if not is_whole:
        message = f"{SNAPSHOTS_REF} names snapshots that are not in the repository: `git fsck` and `git gc` fail."
        yield Finding(Fault.BROKEN_SNAPSHOTS, message, "Let it keep what is there: amltool history.check --repair")
    runs: dict[str, str] = {}
    for found in records.values():
        for _, record in found:
            if record.commit not in kept:
                runs.setdefault(record.commit, record.run_id)
    for commit in kept_for_remotes(git) if runs else ():
        runs.pop(commit, None)
    with git.objects() as reader:
        for commit, run_id in runs.items():
            there = reader.read(commit)
            if there is None or there[0] != "commit":
                message = f"The snapshot of run {run_id} is not in this clone."
                yield Finding(
                    Fault.MISSING_SNAPSHOT,
                    message,
                    f"Fetch it: {FETCH_HISTORY}",
                    commit,
                )
            else:
                message = f"Nothing keeps the snapshot of run {run_id}: a gc after a rebase would take it."
                yield Finding(Fault.UNKEPT_SNAPSHOT, message, f"Keep it: git tag keep-{commit[:12]} {commit}", commit)


def _check_whether_it_went_back(git: Git) -> Iterator[Finding]:
    """Put back what a fetch took away, and tell once that it had."""
    try:
        settle(git)
    except UserError as error:
        message = f"{NOTES_REF} went back: it has not all that this clone recorded ({HISTORY_REF}). {error.what}"
        yield Finding(Fault.DAMAGED_NOTE, message, error.remedy)
    place = git.layout.put_back
    if place.exists():
        place.unlink(missing_ok=True)
        message = f"{NOTES_REF} had gone back to an older state; the runs that this clone had recorded were put back."
        remedy = "A fetch of +refs/notes/*:refs/notes/* or +refs/*:refs/* does that; see: git config --get-all "
        yield Finding(Fault.WENT_BACK, message, f"{remedy}remote.origin.fetch")
    noted = noted_tips(git)
    if noted is not None and tip_of(git, HISTORY_REF) is None:
        message = (
            f"{HISTORY_REF} was removed, by a fetch that prunes or by hand, and {noted.history} is not here any more."
        )
        yield Finding(Fault.NOTES_GONE, message, f"Another clone may have the runs: {FETCH_HISTORY}")
    for refspec in taking_refspecs(git):
        message = f"git fetch moves this clone's run history to the remote's, and may prune it: {ascii(refspec)[1:-1]}"
        remedy = "The next command puts it back; have branches and tags fetched only: git config remote.NAME.fetch "
        yield Finding(Fault.TAKING_REFSPEC, message, f"{remedy}'+refs/heads/*:refs/remotes/NAME/*'")


def _check_index(git: Git) -> Iterator[Finding]:
    """The index says what the notes say: it is compared with one made anew."""
    index = Index(git)
    try:
        tip, content = index.ask(lambda rows: (rows.tip(), list(rows.content())))
        connection = index.rebuilt(tip or "")
        anew = list(Rows(connection).content())
        connection.close()
        if content != anew:
            remedy = f"Remove {git.layout.index}: it is made anew, and nothing is lost."
            yield Finding(Fault.WRONG_INDEX, "The index of the history differs from the notes.", remedy)
    except UserError as error:
        yield Finding(Fault.DAMAGED_NOTE, error.what, error.remedy)
