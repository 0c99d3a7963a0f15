"""The files of a run that goes on: what there is, and ``logs/`` in a folder here that grows with them."""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path

from amltool.commands.artifacts import artifacts_of
from amltool.commands.driving import go_on, looked_at
from amltool.commands.looking import LOOK_S, find_or_follow, find_run, is_running, stands_before_launch, wait_for
from amltool.commands.opening import Opened
from amltool.commands.outputs import download
from amltool.destination import Destination
from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.history.journal import JournalEntry
from amltool.run import Run
from amltool.targets.drive import Drive
from amltool.targets.following import Outage
from amltool.targets.live_logs import MOST_AT_ONCE, TOPS, LiveFile, LogsCopy, files_of
from amltool.targets.watcher import Silent, Watcher

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0
"""Between two looks at ``logs/``; the pause grows while nothing in it does."""
LONGEST_MARK = 100
MARK = ".amltool-run"
"""In a folder that logs were brought to: the run they are of."""


def files_so_far(opened: Opened, name: str) -> list[LiveFile]:
    """The files under ``logs/`` and ``outputs/`` of a run, finished or not, in order of path.

    Raises:
        UserError: no such run, or its target does not answer.
    """
    found = find_or_follow(opened, name)
    if not isinstance(found, (Run, JournalEntry)):
        if found.run is None:
            return found.files()
        found = found.run
    if isinstance(found, Run):
        kept = [each for each in artifacts_of(opened, found) if each.path.split("/")[0] in TOPS]
        return [LiveFile(each.path, each.size) for each in kept]
    if stands_before_launch(found):
        return []
    run = looked_at(opened, found)
    if run is None:
        return files_so_far(opened, found.run_id)
    return list(files_of(run.target.host, run.target.launcher.live_work(run.target.host, run.folder)))


def keep_logs(opened: Opened, name: str, into: Path, *, follow: bool, watcher: Watcher) -> None:
    """Bring ``logs/`` of a run to a folder of this machine; ``follow`` goes on to the run's end, and while its target
    does not answer. Of a run that is over they are there as they were recorded.

    Raises:
        UserError: no such run, the folder holds something else, or it cannot be written.
    """
    found = find_run(opened, name)
    _claim(into, found.run_id)
    if isinstance(found, JournalEntry):
        run = looked_at(opened, found)
        if run is not None and not _bring(opened, found, run, into, watcher, follow=follow):
            return
        found = wait_for(opened, found.run_id, Silent())
    recorded = [each for each in artifacts_of(opened, found) if each.path.startswith(f"{TOPS[0]}/")]
    lacking = [each for each in recorded if _digest(into, each.path) != each.sha256]
    download(opened, found, lacking, into, overwrite=True)


def _bring(opened: Opened, entry: JournalEntry, run: Drive, into: Path, watcher: Watcher, *, follow: bool) -> bool:
    """Whether the run is over now."""
    host, launcher = run.target.host, run.target.launcher
    copy = LogsCopy(host, lambda: launcher.live_work(host, run.folder), into)
    looked, outage, pause_s = time.monotonic(), Outage(watcher), FIRST_PAUSE_S
    while True:
        running, brought = is_running(entry), 0
        try:
            if not stands_before_launch(entry):
                brought = copy.bring()
        except TargetError as error:
            if not follow:
                raise
            if not running:  # whoever recorded it has all of it here
                return True
            outage.goes_on(error)
            continue
        outage.is_over()
        _say_refused(copy, watcher)
        if brought >= MOST_AT_ONCE:
            continue
        if not running or not follow:
            return not running
        pause_s = FIRST_PAUSE_S if brought else min(2 * pause_s, LONGEST_PAUSE_S)
        time.sleep(pause_s)
        if time.monotonic() - looked > LOOK_S:  # its driver may have died since
            go_on(opened, entry)
            looked = time.monotonic()


def _say_refused(copy: LogsCopy, watcher: Watcher) -> None:
    for path, reason in copy.refused.items():
        if path not in copy.told:
            copy.told.add(path)
            watcher.say(f"{TOPS[0]}/{path} is not kept here: {reason}.")


def _claim(into: Path, run_id: str) -> None:
    destination = Destination(into)
    try:
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()) and _marked(destination) != run_id:
            raise UserError(
                f"{into} is not empty, and what is in it is not of run {run_id}.", "Name a new or empty folder."
            )
        destination.put([MARK], [f"{run_id}\n".encode()])
    except OSError as error:
        raise no_space(error, into) from error


def _marked(destination: Destination) -> str | None:
    with contextlib.suppress(OSError), destination.reading([MARK]) as stream:
        return stream.read(LONGEST_MARK).decode("utf-8", "replace").strip()
    return None


def _digest(into: Path, path: str) -> str | None:
    with contextlib.suppress(OSError, UserError), Destination(into).reading(path.split("/")) as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
    return None
