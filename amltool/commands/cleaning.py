"""Find what can go, say how much it is, and remove it when asked to: nothing an unfinished run needs.

What lies there is listed first, and then asked which runs are unfinished: whatever a run leaves, it stood in the
journal before. Between the list and the removal a user may think for hours, so all is looked at again before it goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from amltool.commands.artifacts import artifacts_of
from amltool.commands.cleaning_host import (
    KEPT_SNAPSHOTS,
    LIBRARY,
    RUN_FOLDER,
    SET_ASIDE,
    OnHost,
    is_recorded,
    remove_from,
)
from amltool.commands.driving import prepare_drive
from amltool.commands.opening import Opened, read_computes, survey_computes
from amltool.environments.base import KeptEnvironment
from amltool.errors import TargetError, UserError
from amltool.history.journal import JournalEntry
from amltool.hosts.base import Host
from amltool.layout import HostLayout
from amltool.run import LongList, WholeRecord
from amltool.stores import open_store
from amltool.targets import open_target
from amltool.targets.drive import Target, clone_label, environment_request
from amltool.targets.placing import project_key
from amltool.targets.watcher import Silent
from amltool.targets.what_lies import look

ARTIFACT = "artifact"


@dataclass(frozen=True, slots=True)
class Removable:
    """Something that can go: what it is, where, how many bytes, and why it is not needed."""

    kind: str
    target: str
    place: str
    size: int
    reason: str
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for beside run folders: ``store``: artifacts that no run names; ``only_copies``: folders that hold
    what is nowhere else (files that were not collected, untracked runs); ``environments``: those built here."""

    store: bool = False
    only_copies: bool = False
    environments: bool = False


def find_removable(
    opened: Opened, wanted: Wanted, *, target: str | None = None, say: Callable[[str], None] = lambda _: None
) -> list[Removable]:
    """What lies on the hosts of compute targets that no unfinished run needs, and what else is ``wanted``.

    A target that cannot be looked at is told of and passed over, unless it is the one that is named.

    Raises:
        UserError: no such target, or the one that is named cannot be looked at.
    """
    looking = _Looking(opened, wanted)
    if target is None:
        computes, bad = survey_computes(opened.project.root)
        for name, error in bad.items():
            say(f"What {name} has is not known: {error.what} {error.remedy}".rstrip())
    else:
        computes = read_computes(opened.project.root, target)
    for compute in computes:
        try:
            looking.look_at_target(open_target(compute, opened.names, opened.git.top))
        except UserError as error:
            if target is not None:
                raise
            say(f"What {compute.name} has is not all known: {error.what} {error.remedy}")
    found = list(looking.found.values())
    return [*found, *_unnamed_artifacts(opened)] if wanted.store else found


class _Looking:
    """What was found so far; two targets may have one host, and one Docker."""

    def __init__(self, opened: Opened, wanted: Wanted) -> None:
        self._opened, self._wanted = opened, wanted
        self._away: dict[Host, TargetError] = {}
        self.found: dict[tuple[str, str, str], Removable] = {}

    def look_at_target(self, target: Target) -> None:
        """What lies on its host comes first: what its Docker does not tell does not hide it.

        Raises:
            UserError: it cannot be looked at, or not at all of it.
        """
        if target.host in self._away:  # it was asked for another target, which took its time
            raise self._away[target.host]
        there = OnHost(self._opened, target.host)
        try:
            _ = there.lies
        except TargetError as error:
            self._away[target.host] = error
            raise
        unfinished = _unfinished(self._opened)
        for kind, place, reason, size in there.removable(unfinished, only_copies=self._wanted.only_copies):
            self._add(target, Removable(kind, target.name, str(place), size, reason))
        for item in _left_behind(self._opened, target):
            self._add(target, item)
        if self._wanted.environments:
            for item in _environments(self._opened, target, there):
                self._add(target, item)

    def _add(self, target: Target, item: Removable) -> None:
        self.found.setdefault((target.host.name, item.kind, item.place), item)


def _unfinished(opened: Opened) -> set[str]:
    return {entry.run_id for entry in opened.journal.entries()}


def _left_behind(opened: Opened, target: Target) -> list[Removable]:
    clone = clone_label(project_key(opened.git, opened.prefix))
    left_behind = list(target.launcher.left_behind(target.host, clone))
    unfinished = _unfinished(opened)
    return [
        Removable(left.kind, target.name, left.place, left.size, "its run is over", left.run_id)
        for left in left_behind
        if left.run_id not in unfinished and (not left.is_anybodys or is_recorded(opened, left.run_id))
    ]


def _environments(opened: Opened, target: Target, there: OnHost) -> list[Removable]:
    """Those that neither an unfinished run of this clone needs nor one that has a folder there, whoever's it is."""
    kept_there = list(target.environment.kept(target.host))
    needed = _needed_environments(opened) | there.lies.environments_in_use()
    return [
        Removable(kept.kind, target.name, kept.place, kept.size, kept.reason)
        for kept in kept_there
        if not kept.key or kept.key not in needed
    ]


def _needed_environments(opened: Opened) -> set[str]:
    """The keys of those that unfinished runs of this clone need."""
    return {_environment_key(opened, entry) for entry in opened.journal.entries()}


def _environment_key(opened: Opened, entry: JournalEntry) -> str:
    """The key of the environment that an unfinished run needs; empty when it needs none that is there."""
    key = entry.state().environment.key
    if key:
        return key
    with contextlib.suppress(UserError, FileNotFoundError):  # its target is away, or it ended just now
        run = prepare_drive(opened, entry, Silent())
        found = run.target.environment.find(run.target.host, environment_request(run))
        return found.key if found is not None else ""
    return ""


def _unnamed_artifacts(opened: Opened) -> list[Removable]:
    """None while a run is unfinished: what it kept so far is named by nothing yet. A run that leaves the journal is in
    the history before, so that is asked last."""
    if opened.journal.entries():
        return []
    named = {event.sha256 for event in opened.history.promotions()}
    for run in opened.history.runs(limit=None):
        record = run.record
        named.add(record.environment.lock_sha256)
        if isinstance(record.whole, WholeRecord):
            named.add(record.whole.sha256)
        named.update(str(entry.get("sha256")) for entry in record.inputs)
        lists: list[Any] = [record.artifacts, record.omitted]
        if record.shared_folder is not None:
            lists += [record.shared_folder.at_start, record.shared_folder.at_end]
        named.update(listed.sha256 for listed in lists if isinstance(listed, LongList))
        named.update(artifact.sha256 for artifact in artifacts_of(opened, run))
    store = open_store(None, opened.git.layout.store)
    return [
        Removable(ARTIFACT, "", kept.sha256, kept.size, "no run of the history names it")
        for kept in store.walk()
        if kept.sha256 not in named
    ]


def remove(
    opened: Opened, removables: Sequence[Removable], say: Callable[[str], None] = lambda _: None
) -> list[Removable]:
    """Remove what was found; gives what went. What something else uses by now stays, and that is told."""
    targets: dict[str, _Cleaning] = {}
    gone = _remove_artifacts(opened, [item for item in removables if item.kind == ARTIFACT], say)
    for item in removables:
        if item.kind == ARTIFACT:
            continue
        try:
            if item.target not in targets:
                compute = next(iter(read_computes(opened.project.root, item.target)))
                targets[item.target] = _Cleaning(opened, open_target(compute, opened.names, opened.git.top))
            targets[item.target].remove(item)
            gone.append(item)
        except UserError as error:
            say(f"{item.place} stays: {error.what} {error.remedy}")
        except OSError as error:
            say(f"{item.place} stays: {error.strerror or error}.")
    return gone


def _remove_artifacts(opened: Opened, found: list[Removable], say: Callable[[str], None]) -> list[Removable]:
    """Remove those that still nothing names, while no run can begin: only runs put something into the store."""
    if not found:
        return []
    gone = []
    store = open_store(None, opened.git.layout.store)
    with opened.journal.closed():
        unnamed = {item.place for item in _unnamed_artifacts(opened)}
        for item in found:
            if item.place not in unnamed:
                say(f"{item.place} stays: a run that was submitted meanwhile may need it.")
                continue
            try:
                store.remove(item.place)
                gone.append(item)
            except OSError as error:
                say(f"{item.place} stays: {error.strerror or error}.")
    return gone


class _Cleaning:
    """Removes what was found of one target, if it still can go."""

    def __init__(self, opened: Opened, target: Target) -> None:
        self._opened, self._target = opened, target

    @cached_property
    def _kept(self) -> dict[str, KeptEnvironment]:
        return {kept.place: kept for kept in self._target.environment.kept(self._target.host)}

    @cached_property
    def _removable(self) -> set[str]:
        """What of the host's folders still can go; sizes apart, what was offered is asked for in the same way."""
        there = OnHost(self._opened, self._target.host)
        _ = there.lies
        return {str(place) for _, place, _, _ in there.removable(_unfinished(self._opened), only_copies=True)}

    def remove(self, item: Removable) -> None:
        """Remove one.

        Raises:
            UserError: it is used now, or cannot be removed.
        """
        host, place = self._target.host, PurePosixPath(item.place)
        if item.run_id:
            self._require_over(item.run_id)
            self._target.launcher.remove_left_behind(host, HostLayout(host.root).run(item.run_id))
        elif item.kind in (RUN_FOLDER, SET_ASIDE, KEPT_SNAPSHOTS, LIBRARY):
            self._require_over(place.name)
            if item.place not in self._removable:
                raise _NEEDED
            remove_from(host, item.kind, place)
        elif kept := self._kept.get(item.place):
            # a run may have begun since it was offered
            if kept.key in look(host).environments_in_use() | _needed_environments(self._opened):
                raise _NEEDED
            self._target.environment.remove(host, kept)

    def _require_over(self, run_id: str) -> None:
        if self._opened.journal.entry(run_id) is not None:
            raise _NEEDED


_NEEDED = UserError("a run needs it now.", "Try again when that run is over.")
