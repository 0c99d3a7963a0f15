"""Merge two histories: the union of the lines of every note, so that clones that exchange theirs always converge."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from amltool.files import locked, write_whole
from amltool.git.command import Git, ObjectReader
from amltool.git.keeping import missing_of, require_id, with_snapshots
from amltool.git.note_tree import NoteTree
from amltool.git.noted_tips import forget_tips, noted_tips
from amltool.git.notes import write
from amltool.git.objects import NewObjects, parse_time, parse_tree_id
from amltool.git.reading_notes import differing
from amltool.git.refs import is_ancestor, tip_of
from amltool.layout import HISTORY_REF, NOTES_REF, SNAPSHOTS_REF


def merge(git: Git, ours: str, theirs: str) -> str:
    """The tip that joins two tips; its objects are in the repository when this returns, no ref is moved.

    A line that either side has is kept (a note that one side removed as a whole, too: only a `deleted` event takes a
    run away). A note both sides changed holds its lines once each, in the order of their bytes, as Git's
    ``cat_sort_uniq`` does. The merge does not depend on which side is ours, and has no date of its own: two clones that
    merge the same tips make the same commit.

    Raises:
        DamagedError: an object of either side is not in the repository.
        GitError: the repository cannot be written.
    """
    new = NewObjects(len(ours))
    with git.objects() as reader:
        tip = _merged(git, reader, ours, theirs, new)
    new.write(git)
    return tip


def merge_into_history(git: Git, theirs: str) -> None:
    """Merge a tip that was fetched into the run history; durable when this returns.

    Raises:
        UserError: the repository cannot be written; the history is unchanged.
    """

    def change(reader: ObjectReader, tips: Mapping[str, str | None], new: NewObjects) -> dict[str, str]:
        ours = tips[NOTES_REF]
        joined = _merged(git, reader, ours, theirs, new) if ours else theirs
        return {NOTES_REF: joined, **({HISTORY_REF: joined} if tips[HISTORY_REF] in (None, ours, theirs) else {})}

    write(git, (NOTES_REF, HISTORY_REF), len(theirs), change, "amltool: merge")


def _tips(git: Git) -> tuple[str | None, str | None]:
    """Where the notes are, and where this clone left them."""
    return tip_of(git, NOTES_REF), tip_of(git, HISTORY_REF)


def settle(git: Git) -> None:
    """See that the history holds all that this clone recorded; costs a look at two files where nothing happened.

    A fetch with ``+refs/notes/*:refs/notes/*`` moves the notes back to the remote's, and one that prunes removes them
    (RELIABILITY fact 21); one of ``+refs/*:refs/*`` that prunes takes all refs of ours. Notes that went on from what we
    know (``git notes``, a merge) are taken as they are. Somebody who wants to lose the history removes `HISTORY_REF` as
    well.

    Raises:
        UserError: the repository cannot be written, or what was recorded is damaged; nothing was changed.
    """
    notes, own = _tips(git)
    if own is None:
        _settle_taken(git, notes)
        return
    if notes == own:
        return
    with suppress(OSError), locked(git.layout.history_lock, "the run history"):
        notes, own = _tips(git)  # the first look may have met a writer between its two refs
    if own is None or notes == own:
        return
    if notes is not None and is_ancestor(git, own, notes):
        write(git, (HISTORY_REF,), len(own), lambda *_: {HISTORY_REF: notes}, "amltool: accept")
        return
    merge_into_history(git, own)
    _say_put_back(git, notes)


def _say_put_back(git: Git, notes: str | None) -> None:
    with suppress(OSError):
        write_whole(git.layout.put_back, f"{notes or 'nothing'}\n".encode())


def _settle_taken(git: Git, notes: str | None) -> None:
    """Put back refs that a fetch took all of. Somebody who removes the history removes two of them: the snapshots stay
    where they were, or go on."""
    noted = noted_tips(git)
    if noted is None:
        return
    there = tip_of(git, SNAPSHOTS_REF)
    stays = noted.snapshots == there or (
        noted.snapshots is not None and there is not None and is_ancestor(git, noted.snapshots, there)
    )
    if notes is None and stays:
        forget_tips(git)
        return
    tips = [tip for tip in (noted.history, noted.snapshots) if tip is not None]
    if missing_of(git, [require_id(tip) for tip in tips]):
        return  # `gc` was faster; `history.check` says so

    def change(reader: ObjectReader, tips: Mapping[str, str | None], new: NewObjects) -> dict[str, str]:
        ours = tips[NOTES_REF]
        joined = _merged(git, reader, ours, noted.history, new) if ours else noted.history
        moved = {NOTES_REF: joined, HISTORY_REF: joined}
        if noted.snapshots is not None and not stays:
            kept = tips[SNAPSHOTS_REF]
            tip = noted.snapshots if kept is None else with_snapshots(reader, kept, [noted.snapshots], new)
            moved[SNAPSHOTS_REF] = tip or noted.snapshots
        return moved

    write(git, (NOTES_REF, HISTORY_REF, SNAPSHOTS_REF), len(noted.history), change, "amltool: put back")
    _say_put_back(git, notes)


def _merged(git: Git, reader: ObjectReader, ours: str, theirs: str, new: NewObjects) -> str:
    if ours == theirs:
        return ours
    left, right = NoteTree(reader, ours, len(ours)), NoteTree(reader, theirs, len(ours))
    for commit in differing(git, ours, theirs):
        mine, other = left.get(commit), right.get(commit)
        union = _union(mine, other)
        if union != mine:
            left.set(commit, union, new)
    tree = left.write(new)
    sides = sorted((ours, theirs))
    for side, other_side in (sides, reversed(sides)):
        if tree == _tree(reader, side) and is_ancestor(git, other_side, side):
            return side
    return new.commit(tree, sides, "amltool: merge", max(_time(reader, side) for side in sides))


def _union(mine: bytes | None, other: bytes | None) -> bytes:
    if mine is None or other is None or mine == other:
        return (mine if other is None else other) or b""
    lines = {line for note in (mine, other) for line in note.split(b"\n") if line.strip()}
    return b"".join(line + b"\n" for line in sorted(lines))


def _tree(reader: ObjectReader, tip: str) -> str:
    found = reader.read(tip)
    return parse_tree_id(found[1]) if found else ""


def _time(reader: ObjectReader, tip: str) -> int:
    found = reader.read(tip)
    return parse_time(found[1]) if found else 0
