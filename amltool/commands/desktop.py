"""Show files with the programs of this desktop."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from amltool.errors import UserError

OPENERS = ("open",) if sys.platform == "darwin" else ("wslview", "xdg-open", "gio")
VIEWED = frozenset({".bmp", ".csv", ".gif", ".jpeg", ".jpg", ".json", ".log", ".md", ".pdf", ".png", ".txt", ".yml"})
"""Endings of files that are shown; of any other, which a desktop may run, the folder is."""


def show(place: Path) -> Path:
    """Show a folder, or a file of a kind that is only looked at; gives what is shown.

    Raises:
        UserError: nothing here shows files.
    """
    shown = place if place.is_dir() or place.suffix.lower() in VIEWED else place.parent
    opener = next((name for name in OPENERS if shutil.which(name)), None)
    if opener is None:
        raise UserError(
            f"Nothing on this machine opens files for a person; they lie in {shown}.",
            f"Install xdg-open (package xdg-utils), or look there: ls {shown}",
        )
    words = [opener, *(["open"] if opener == "gio" else []), str(shown.absolute())]
    subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return shown


def new_folder(run_id: str) -> Path:
    """A folder for files that were asked for without saying where."""
    return Path(tempfile.mkdtemp(prefix=f"amltool-{run_id}-"))
