"""What of amltool's lies on a host beside environments, and which of it a run there may still need.

The host says it: runs of other clones and of other clients of the same user are in no journal of ours.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from amltool.files import no_space
from amltool.hosts.base import Host
from amltool.hosts.local import seen_from_here
from amltool.hosts.looking import told
from amltool.hosts.run_folders import write_mark
from amltool.layout import HostLayout, RunFolder

NEVER_STARTED_S = 7 * 24 * 3600.0
"""A run that was placed and has not started for so long never will: its client is gone."""


class Uses(msgspec.Struct, frozen=True):
    """What a run's mark says of what the run needs outside of it: the key of an environment, and the name of what
    travels with runs."""

    environment: str
    library: str = ""


class RunThere(msgspec.Struct, frozen=True):
    """A run's folder, or its marks alone: ``released`` and ``untracked`` say whose project's it is, where it has that
    mark."""

    name: str
    age_s: float
    started: bool = False
    ended: bool = False
    released: str | None = None
    untracked: str | None = None
    environment: str | None = None
    library: str | None = None

    @property
    def is_marked(self) -> bool:
        """Whether somebody who was done with it said whose it is."""
        return self.released is not None or self.untracked is not None

    @property
    def is_under_way(self) -> bool:
        """Whether the run may still need something that lies outside of its folder."""
        is_over = self.ended or self.is_marked
        return not is_over and (self.started or self.age_s < NEVER_STARTED_S)


class LibraryThere(msgspec.Struct, frozen=True):
    """A version of what travels with runs."""

    name: str
    age_s: float


class ObjectsThere(msgspec.Struct, frozen=True):
    """What is kept of a clone's snapshots; ``busy`` while one is placed."""

    name: str
    busy: bool


class WhatLies(msgspec.Struct, frozen=True):
    """All of it."""

    runs: list[RunThere]
    libraries: list[LibraryThere]
    objects: list[ObjectsThere]
    set_aside: list[str] = []
    """What was not as amltool left it: paths below the root, ``runs/RUN.set-aside-…``."""

    def environments_in_use(self) -> set[str]:
        """The keys of the environments that runs under way were given."""
        return {run.environment for run in self.runs if run.is_under_way and run.environment}

    def uses_library(self, name: str) -> bool:
        """Whether a run under way may need a version of what travels; one that does not say which may need any."""
        return any(run.is_under_way and run.library in (None, "", name) for run in self.runs)


def say_what_it_uses(host: Host, folder: RunFolder, environment: str, library: PurePosixPath) -> None:
    """Let whoever cleans there see what a run needs, before anything else of it is there.

    Raises:
        UserError: it cannot be written.
    """
    is_there = HostLayout(host.root).libraries in library.parents  # in a container it is seen elsewhere
    try:
        said = msgspec.json.encode(Uses(environment, library.name if is_there else ""))
        write_mark(host, folder, folder.uses.name, said)
    except OSError as error:
        raise no_space(error, seen_from_here(host, folder.path)) from error


def look(host: Host) -> WhatLies:
    """Ask a host; one round trip.

    Raises:
        TargetError: it does not answer, or not as it should.
    """
    layout = HostLayout(host.root)
    program = (Path(__file__).parent / "scripts/what_lies.py").read_text("utf-8")
    folders = [layout.root, layout.runs, layout.marks, layout.libraries, layout.objects]
    return told(host, "What lies", program, folders, WhatLies)
