"""What can go of all that lies on the host of a compute target: run folders, kept snapshots, versions of the library.

Sizes come from the host itself. What a run under way there may need stays, whoever's run it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import PurePosixPath

from amltool.commands.opening import Opened
from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.hosts.looking import weigh
from amltool.hosts.run_folders import remove_below_root
from amltool.layout import HostLayout
from amltool.targets.placing import project_key
from amltool.targets.placing_there import objects_folder
from amltool.targets.what_lies import WhatLies, look
from amltool.tracking import travel
from amltool.tracking.run_folders import SET_ASIDE as MARK_OF_SET_ASIDE

RUN_FOLDER, KEPT_SNAPSHOTS, LIBRARY, SET_ASIDE = "run folder", "kept snapshots", "library", "set aside"
"""Kinds of what lies there."""
SETTLED_S = 3600.0
"""What is younger may be of a client that is about to use it."""
Standing = tuple[str, PurePosixPath, str]
"""Kind, place, and the reason why it can go."""


class OnHost:
    """What of this project, and of nobody in particular, lies on one host."""

    def __init__(self, opened: Opened, host: Host) -> None:
        self.host = host
        self._opened = opened
        self._layout = HostLayout(host.root)
        self._key = project_key(opened.git, opened.prefix)

    @cached_property
    def lies(self) -> WhatLies:
        """What the host says; asked once.

        Raises:
            TargetError: it does not answer.
        """
        return look(self.host)

    def removable(self, unfinished: set[str], *, only_copies: bool) -> list[tuple[str, PurePosixPath, str, int]]:
        """Kind, place, reason and bytes of each thing that can go.

        Raises:
            TargetError: the host does not answer.
        """
        found = [
            *self._run_folders(unfinished, only_copies=only_copies),
            *self._set_aside(),
            *self._objects(),
            *self._libraries(),
        ]
        sizes = weigh(self.host, [place for _, place, _ in found])
        return [(kind, place, why, size) for (kind, place, why), size in zip(found, sizes, strict=True)]

    def _run_folders(self, unfinished: set[str], *, only_copies: bool) -> Iterator[Standing]:
        known = {run.run_id for run in self._opened.history.runs(limit=None)} if only_copies else set()
        for run in self.lies.runs:
            place = self._layout.run(run.name).path
            if run.name in unfinished:
                continue
            is_free = run.released == self._key and self._is_recorded(run.name)
            if is_free or (run.ended and not run.is_marked and self._is_all_recorded(run.name)):
                yield RUN_FOLDER, place, "its run is recorded"
            elif only_copies and (run.name in known or run.untracked == self._key):
                kept = "files that were not collected" if run.name in known else "a run without a record"
                yield RUN_FOLDER, place, f"asked for: it holds the only copy of {kept}"

    def _set_aside(self) -> Iterator[Standing]:
        """What was set aside of runs that are recorded here, and what once lay in the place of their common folder."""
        for path in self.lies.set_aside:
            above, _, name = path.rpartition("/")
            if not above or self._is_recorded(name.partition(MARK_OF_SET_ASIDE)[0]):
                yield SET_ASIDE, self._layout.root / path, "an earlier run had changed what it is"

    def _is_recorded(self, run_id: str) -> bool:
        return is_recorded(self._opened, run_id)

    def _is_all_recorded(self, run_id: str) -> bool:
        """Of a folder without a mark, which could not be written: the disk was full, or the host away."""
        with contextlib.suppress(UserError):
            record = self._opened.history.find(run_id).record
            return record.run_id == run_id and not record.omitted
        return False

    def _objects(self) -> Iterator[Standing]:
        """What is kept for the next snapshot of this clone, and what was thrown away and could not all be removed."""
        own = objects_folder(self._opened.git)
        for kept in self.lies.objects:
            place = self._layout.objects / kept.name
            if kept.name == own and not kept.busy:
                yield KEPT_SNAPSHOTS, place, "the next snapshot is then sent whole"
            elif kept.name.startswith(f"{own}."):
                yield KEPT_SNAPSHOTS, place, "nothing uses it any more"

    def _libraries(self) -> Iterator[Standing]:
        current = travel.digest(travel.files())
        for version in self.lies.libraries:
            is_old = version.name != current and version.age_s > SETTLED_S
            if is_old and not self.lies.uses_library(version.name):
                yield LIBRARY, self._layout.libraries / version.name, "of another version of amltool; no run uses it"


def is_recorded(opened: Opened, run_id: str) -> bool:
    """Return True if the history here has the run; anybody who may write on a host can say that one is over."""
    with contextlib.suppress(UserError):
        return opened.history.find(run_id).record.run_id == run_id
    return False


def remove_from(host: Host, kind: str, place: PurePosixPath) -> None:
    """Remove one of them; kept snapshots get another name first, so that who looks for them finds all or nothing.

    Raises:
        OSError: something in it is not ours to remove.
        TargetError: the host does not answer.
    """
    if kind in (RUN_FOLDER, SET_ASIDE):
        remove_below_root(host, str(place.relative_to(host.root)))
        return
    if kind == KEPT_SNAPSHOTS and "." not in place.name:
        aside = place.with_name(f"{place.name}.removed")
        host.remove(aside)
        try:
            host.rename(place, aside)
        except FileNotFoundError:
            return
        place = aside
    host.remove(place)
