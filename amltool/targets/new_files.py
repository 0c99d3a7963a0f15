"""New files that a run left outside of ``outputs/`` and ``logs/``: they are not kept, and its user is told so once."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from amltool.errors import TargetError
from amltool.files import safe_text
from amltool.hosts.local import seen_from_here
from amltool.run import MOST_NEW_FILES, NewFiles
from amltool.targets.meanwhile import Meanwhile

if TYPE_CHECKING:
    from amltool.targets.drive import Drive

EXAMPLES = 3
LONGEST_EXAMPLE = 200
SKIPPED = ("outputs", "logs", "__pycache__", ".ipynb_checkpoints")


def changed_files(run: Drive) -> Meanwhile[list[str]]:
    """The paths below ``work`` that changed since the run began, asked for beside other things."""
    return Meanwhile(partial(_changed, run))


def _changed(run: Drive) -> list[str]:
    folder = run.folder
    try:
        return run.target.host.changed(folder.path, folder.work.name, folder.start.name, SKIPPED, MOST_NEW_FILES)
    except (OSError, TargetError):  # it is only a notice
        return []


def new_files(changed: list[str], before: Collection[str], linked: Collection[str]) -> NewFiles | None:
    """Those that were neither there ``before`` nor are kept through a link in ``outputs/``; ``None`` where there are
    none, or nobody knows what was there."""
    found = [path for path in changed if path not in before and path not in linked] if before else []
    shown = [safe_text(path)[:LONGEST_EXAMPLE] for path in found[:EXAMPLES]]
    return NewFiles(len(found), shown) if found else None


def say_new_files(run: Drive, left: NewFiles) -> None:
    """Tell what was left, where, and how it would be kept."""
    many = f"{left.count:,}{' or more' if left.count >= MOST_NEW_FILES else ''}"
    files = f"{many} new files lie" if left.count > 1 else "1 new file lies"
    some = ", ".join(left.examples) + (", ..." if left.count > len(left.examples) else "")
    place = seen_from_here(run.target.host, run.folder.work)
    run.watcher.say(
        f"{files} outside outputs/ and logs/ and {'are' if left.count > 1 else 'is'} not kept: {some}. "
        f"Until a next run takes the folder, see {place}; what is written to outputs/ is kept."
    )
