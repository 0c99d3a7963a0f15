"""Restore: the files of a run's snapshot, written to a folder, never over unsaved work."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path, PurePosixPath

from amltool.commands.opening import Opened
from amltool.errors import UserError
from amltool.files import no_space
from amltool.git.snapshots import complete
from amltool.git.survey import survey
from amltool.layout import FETCH_HISTORY, HostLayout
from amltool.run import Run
from amltool.snapshot import Snapshot
from amltool.targets.placing import place_here


def snapshot_of(opened: Opened, run: Run) -> Snapshot:
    """The snapshot of a recorded run, as it was placed.

    Raises:
        UserError: its commit is not in this clone.
    """
    record = run.record
    if opened.git.resolve(record.commit) is None:
        raise UserError(
            f"The snapshot {record.commit[:12]} of run {run.run_id} is not in this clone.",
            f"Fetch it from a clone that has it: {FETCH_HISTORY}",
        )
    prefix = "" if record.project.path == "." else record.project.path
    found = survey(opened.git, prefix, record.source_directory, opened.profile, record.commit)
    return complete(opened.git, record.commit, record.base_commit, found, found.files)


def restore(opened: Opened, run: Run, folder: Path) -> int:
    """Write the files of a run's snapshot into a new or empty folder; gives their number.

    Raises:
        UserError: the folder is not empty, the snapshot is not here, or the disk is full (nothing is left behind then).
    """
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is there and not empty; restoring could overwrite unsaved work.", "Name a new folder with --to."
        )
    snapshot = snapshot_of(opened, run)
    folder = folder.resolve()  # its user named it, should it be a link
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}.", dir=folder.parent))
    except OSError as error:
        raise no_space(error, folder.parent) from error
    made = HostLayout(PurePosixPath(beside)).run(run.run_id)
    try:
        place_here(opened.git, made, snapshot, is_run=False)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        Path(made.work).rename(folder)
    finally:
        import shutil

        shutil.rmtree(beside, ignore_errors=True)
    return len(snapshot.files)
