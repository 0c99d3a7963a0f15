"""What goes on beside the steps of a run, so that over a network one does not wait for the other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from amltool.files import no_space
from amltool.hosts.local import seen_from_here
from amltool.hosts.streaming import watching
from amltool.targets.shared_folder import list_shared_folder

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from amltool.hosts.base import Host
    from amltool.run import FolderFile
    from amltool.targets.drive import Drive
    from amltool.targets.following import ConsoleReader

Got = TypeVar("Got")
FRESH_S = 1.0
"""What was listed longer ago, before a run starts, is listed again: others may have written there."""


class Meanwhile(Generic[Got]):
    """Something that is done in a thread of its own; `result` waits for it and gives what it gave, or raises."""

    def __init__(self, do: Callable[[], Got]) -> None:
        self._do = do
        self._got: list[Got] = []
        self._error: BaseException | None = None
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def result(self) -> Got:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._got[0]

    def _work(self) -> None:
        try:
            self._got.append(self._do())
        except BaseException as error:
            self._error = error


class BegunShare:
    """The shared folder of a run that will start soon: made and listed beside other things."""

    def __init__(self, run: Drive, share: PurePosixPath) -> None:
        host = run.target.host
        self.made = Meanwhile(partial(make_share, host, share))
        self.listed = Meanwhile(partial(list_shared_folder, host, share, with_hash=False))


def make_share(host: Host, share: PurePosixPath) -> None:
    """Make the shared folder; one that is there is fine."""
    try:
        host.make_folder(share)
    except OSError as error:
        raise no_space(error, seen_from_here(host, share)) from error


def share_at_start(run: Drive) -> list[FolderFile]:
    """What the shared folder holds, which is there now."""
    share, begun, run.begun_share = run.target.share, run.begun_share, None
    if share is None:
        return []
    if begun is not None:
        begun.made.result()
        if begun.listed.age_s < FRESH_S:
            return begun.listed.result()
    else:
        make_share(run.target.host, share)
    return list_shared_folder(run.target.host, share, with_hash=run.request.share_hash)


def share_at_end(run: Drive) -> Meanwhile[list[FolderFile]] | None:
    """What the shared folder holds now, listed while the run is collected; ``None`` where there is none."""
    share = run.target.share
    if share is None:
        return None
    return Meanwhile(partial(list_shared_folder, run.target.host, share, with_hash=run.request.share_hash))


def watched_console(run: Drive) -> ConsoleReader | None:
    """A reader of the console of a run that starts now; a host that can is told to say what is printed."""
    if watching(run.target.host) is None:
        return None
    from amltool.targets.following import ConsoleReader

    console = ConsoleReader(run.target.host, run.folder, run.console_offset)
    console.begin()
    return console


@contextlib.contextmanager
def placing_begun(run: Drive) -> Iterator[None]:
    """Over a network the host looks at what it lacks of the snapshot while the environment is found or built; what
    makes that fail takes it back. The shared folder is looked at as well."""
    begin, withdraw = run.target.begin_place, None
    if begin is not None:
        snapshot = run.snapshot()
        if snapshot.tree == run.request.tree:
            withdraw = run.withdraw = begin(run.git, run.folder, snapshot)
        if run.target.share is not None and not run.request.share_hash:
            run.begun_share = BegunShare(run, run.target.share)
    try:
        yield
    except BaseException:
        if withdraw is not None:
            withdraw()
        raise
