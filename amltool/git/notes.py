"""The run history's notes and the ref that keeps snapshots: written so that nothing acknowledged is ever lost.

Every write happens under the history's lock, makes its objects in memory, writes them durably, and then moves the
refs in one transaction from the tips it looked at; whoever came between (a fetch, ``git notes``, ``gc``) makes it look
again. ``git notes append`` from several processes silently loses records (RELIABILITY fact 1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from amltool.errors import UserError
from amltool.files import locked, no_space
from amltool.git.command import Git, GitError, ObjectReader
from amltool.git.keeping import (
    SnapshotGoneError,
    kept_snapshots,
    missing_of,
    require_id,
    require_whole,
    wait_for_gc,
    with_snapshots,
)
from amltool.git.note_tree import NoteTree
from amltool.git.noted_tips import note_tips
from amltool.git.objects import NewObjects
from amltool.git.refs import Move, expect, head_now, is_ancestor, move_refs, refuse_if_hopeless, tip_of
from amltool.layout import HISTORY_REF, NOTES_REF, SNAPSHOTS_REF
from amltool.locks import SAID_AFTER_S, tell

PATIENCE_S = 30.0
"""How long a write tries against foreign writers that hold or move our refs."""


class Addition(msgspec.Struct, frozen=True):
    """What one write adds: lines (without newline) to the notes of commits, snapshots that must be kept."""

    lines: Mapping[str, Sequence[bytes]]
    keep: tuple[str, ...] = ()


def append_lines(git: Git, lines: Mapping[str, Sequence[bytes]]) -> None:
    """Add lines to the notes of commits; a line that is there already is not added again. See `record`."""
    record(git, lines)


def keep_snapshots(git: Git, commits: Iterable[str]) -> None:
    """Make snapshots survive gc, rebase and amend (DESIGN 4). See `record`."""
    record(git, {}, keep=commits)


def keep_for_run(git: Git, commit: str, base: str) -> None:
    """Keep the snapshot of a run that is to be acknowledged; ``base`` is the commit that its uncommitted work is on.

    Raises:
        UserError: the repository cannot be written.
        SnapshotGoneError: something of it was taken away meanwhile; nothing was written.
    """
    if head_now(git) != commit:
        wait_for_gc(git)
    record(git, {}, keep=[commit], verify=lambda: require_whole(git, commit, base))


def repair_snapshots(git: Git) -> int:
    """Let the snapshots ref name only what is there, where it names more: Git calls such a repository broken.

    Gives the number of snapshots that it keeps then. Raises UserError where the repository cannot be written.
    """
    kept, _ = kept_snapshots(git)

    def change(reader: ObjectReader, _: object, new: NewObjects) -> dict[str, str]:
        tip = with_snapshots(reader, None, sorted(kept), new)
        return {} if tip is None else {SNAPSHOTS_REF: tip}

    digits = len(tip_of(git, SNAPSHOTS_REF) or "")
    if kept:
        write(git, (SNAPSHOTS_REF,), digits, change, "amltool: repair")
    elif digits:
        move_refs(git, [Move(SNAPSHOTS_REF, "", tip_of(git, SNAPSHOTS_REF))], "amltool: repair")
    return len(kept)


def record(
    git: Git,
    lines: Mapping[str, Sequence[bytes]],
    *,
    keep: Iterable[str] = (),
    verify: Callable[[], None] = lambda: None,
) -> list[Move]:
    """Add lines to notes and keep snapshots, in one transaction; durable when this returns. Gives what moved.

    ``verify`` may refuse what was kept once refs name it, by `SnapshotGoneError`: then they are moved back.

    Raises:
        UserError: the repository cannot be written; the history is unchanged.
        SnapshotGoneError: a snapshot to keep is not in it; the history is unchanged.
    """
    addition = Addition(lines, tuple(dict.fromkeys(keep)))
    for commit, added in lines.items():
        require_id(commit)
        if any(not line.strip() or b"\n" in line for line in added):
            raise ValueError("a line of a note is one non-empty line")

    def change(reader: ObjectReader, tips: Mapping[str, str | None], new: NewObjects) -> dict[str, str]:
        moved = {NOTES_REF: _with_lines(reader, tips[NOTES_REF], addition.lines, new)}
        moved[SNAPSHOTS_REF] = with_snapshots(reader, tips[SNAPSHOTS_REF], addition.keep, new)
        if _follows(git, tips[NOTES_REF], tips[HISTORY_REF]):  # else the notes went back: `settle` joins them
            moved[HISTORY_REF] = moved[NOTES_REF]
        return {ref: tip for ref, tip in moved.items() if tip is not None}

    digits = len(next(iter(lines), None) or next(iter(addition.keep), ""))
    if not digits:
        return []
    refs = (NOTES_REF, SNAPSHOTS_REF, HISTORY_REF)
    return write(git, refs, digits, change, "amltool: record", verify)


def _follows(git: Git, notes: str | None, own: str | None) -> bool:
    """Return True if the notes hold all that we recorded; a writer killed between the refs left ours behind."""
    return own in (None, notes) or (notes is not None and own is not None and is_ancestor(git, own, notes))


Change = Callable[[ObjectReader, Mapping[str, "str | None"], NewObjects], dict[str, str]]
"""Given the tips of refs, makes new objects and says where the refs go; called again when a tip moved meanwhile."""


def write(
    git: Git,
    refs: Sequence[str],
    digits: int,
    change: Change,
    message: str,
    verify: Callable[[], None] = lambda: None,
) -> list[Move]:
    """Move refs of ours to what ``change`` makes of their tips; see this module's first lines.

    Raises:
        UserError: the repository cannot be written; the refs are unchanged.
    """
    layout = git.layout
    try:
        layout.folder.mkdir(exist_ok=True)
        with locked(layout.history_lock, "the run history"):
            begun = time.monotonic()
            is_said = False
            while True:
                moves = _try_to_write(git, refs, digits, change, message, verify)
                if moves is not None:
                    return moves
                waited_s = time.monotonic() - begun
                if waited_s > SAID_AFTER_S and not is_said:
                    is_said = True
                    tell(f"Waiting for another program that keeps {refs[0]} in {git.common_dir} locked.")
                if waited_s > PATIENCE_S:
                    raise UserError(
                        f"Another program keeps the run history's refs in {git.common_dir} locked.",
                        f"See what it is; if nothing runs, remove {refs[0]}.lock there, then run the command again.",
                    )
                time.sleep(0.02)
    except GitError as error:
        refuse_if_hopeless(git, error.stderr)
        said = error.stderr.splitlines() or [f"exit {error.exit_code}"]
        raise UserError(
            f"Git could not write the run history in {git.common_dir}: {said[-1]}.",
            "See `git fsck`, then run the same command again: nothing was lost.",
        ) from error
    except OSError as error:
        raise no_space(error, layout.folder) from error


def _try_to_write(
    git: Git, refs: Sequence[str], digits: int, change: Change, message: str, verify: Callable[[], None]
) -> list[Move] | None:
    tips = {ref: tip_of(git, ref) for ref in refs}
    new = NewObjects(digits)
    with git.objects() as reader:
        moves = expect(tips, change(reader, tips, new))
    if not moves:
        return []
    _require_needed(git, new)
    new.write(git)
    if not move_refs(git, moves, message):
        return None
    try:
        # Look again now that refs name them: a `gc --prune=now` may have taken them in the moment before.
        _require_needed(git, new)
        verify()
    except SnapshotGoneError:
        move_refs(git, [Move(move.ref, move.old or "", move.new) for move in moves], "amltool: taken back")
        raise
    if missing_of(git, list(new)):
        new.write(git)
    for move in moves:
        if move.ref == HISTORY_REF and move.new:
            note_tips(git, move.new)
    return moves


def _require_needed(git: Git, new: NewObjects) -> None:
    gone = missing_of(git, new.needed)
    if gone:
        raise SnapshotGoneError(min(gone))


def note_of(git: Git, commit: str) -> bytes | None:
    """The note of one commit, ``None`` where it has none."""
    require_id(commit)
    with git.objects() as reader:
        return NoteTree(reader, tip_of(git, NOTES_REF), len(commit)).get(commit)


def _with_lines(
    reader: ObjectReader, tip: str | None, lines: Mapping[str, Sequence[bytes]], new: NewObjects
) -> str | None:
    """The tip after lines were added; the same tip when all are there."""
    if not any(lines.values()):
        return tip
    tree = NoteTree(reader, tip, len(next(iter(lines))))
    count = 0
    for commit, added in lines.items():
        old = tree.get(commit) or b""
        there = set(old.split(b"\n"))
        fresh = [line for line in dict.fromkeys(added) if line not in there]
        if fresh:
            count += len(fresh)
            head = old if not old or old.endswith(b"\n") else old + b"\n"
            tree.set(commit, head + b"\n".join(fresh) + b"\n", new)
    if not count:
        return tip
    message = f"amltool: {count} line{'s' * (count != 1)}"
    return new.commit(tree.write(new), [tip] if tip else [], message, int(time.time()))
