"""What Git's hooks tell of the run history: that it is not pushed, and whose commits were just rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from amltool.files import safe_text
from amltool.git.command import Git
from amltool.git.refs import tip_of
from amltool.layout import NOTES_REF, SNAPSHOTS_REF, pushed_snapshots, remote_notes_ref

if TYPE_CHECKING:
    from amltool.run import Run

NAMED_RUNS = 5
SHORT = 7
"""Hex digits of a commit in a line for people."""
AT_ONCE = 400
"""Commits in one question: SQLite may take no more than 999 values."""


def unpushed_history(git: Git, remote: str, url: str) -> str:
    """A line where the run history here is not on a Git remote, as far as is known without asking it; else ``""``.

    A push to a place without a name has the place for its name (githooks(5)): of such a one nothing is known.
    """
    here = tip_of(git, NOTES_REF)
    if here is None or not remote or remote == url:
        return ""
    there = tip_of(git, remote_notes_ref(remote))
    if there is not None and git.ask("merge-base", "--is-ancestor", here, there)[0] == 0:
        return ""
    snapshots = tip_of(git, SNAPSHOTS_REF)
    refspecs = NOTES_REF if snapshots is None else f"{NOTES_REF} {pushed_snapshots(snapshots)}"
    return (
        f"amltool: the run history here is not on {safe_text(remote)} yet: git push "
        f"{safe_text(remote)} {refspecs} (to hear no more of it: warn_unpushed_history: false)"
    )


def rewritten_runs(git: Git, how: str, given: bytes) -> str:
    """The recorded runs of commits that were just rewritten, with how to run them again; ``""`` where there are none.

    ``how`` is ``amend`` or ``rebase``; ``given`` holds a line ``OLD NEW`` for each commit (githooks(5)).
    """
    if tip_of(git, NOTES_REF) is None:
        return ""
    rewritten = dict(_rewritten(git, how, given))
    runs = _runs_of(git, list(rewritten))
    if not runs:
        return ""
    count = f"{len(runs)} recorded run{'s' * (len(runs) != 1)}"
    lines = [f"amltool: {count} of commits just rewritten; the snapshots are kept, so they can be run again:"]
    for run in runs[:NAMED_RUNS]:
        old = run.record.commit if run.record.commit in rewritten else run.record.base_commit
        lines.append(f"  amltool rerun {run.run_id}  ({old[:SHORT]}, now {rewritten[old][:SHORT]})")
    if len(runs) > NAMED_RUNS:
        lines.append(f"  and {len(runs) - NAMED_RUNS} more: amltool runs")
    return "\n".join(lines)


def _runs_of(git: Git, commits: Sequence[str]) -> list[Run]:
    from amltool.history.history import History

    history = History(git)
    parts = (history.runs_of_commit(*commits[at : at + AT_ONCE]) for at in range(0, len(commits), AT_ONCE))
    return list({run.run_id: run for part in parts for run in part}.values())


def _rewritten(git: Git, how: str, given: bytes) -> Iterator[tuple[str, str]]:
    """Old and new ids. pre-commit hands a hook it runs first no input here: then an amended commit is in the reflog."""
    lines = [line.split() for line in given.decode("ascii", "replace").splitlines()]
    yield from ((parts[0], parts[1]) for parts in lines if len(parts) >= 2)
    if not lines and how == "amend" and git.head is not None:
        before = git.resolve("HEAD@{1}")
        if before is not None:
            yield before, git.head
