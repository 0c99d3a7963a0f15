"""Find what can go, say how much it is, and remove it when asked to: nothing an unfinished run needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from amltool.commands.driving import prepare_drive
from amltool.commands.looking import artifacts_of
from amltool.commands.opening import Opened, read_computes
from amltool.errors import TargetError, UserError
from amltool.history.journal import JournalEntry
from amltool.hosts.base import FileKind, Host
from amltool.layout import HostLayout
from amltool.run import LongList
from amltool.stores import open_store
from amltool.targets import TARGETS, open_target
from amltool.targets.base import Silent, Target, clone_label, environment_request
from amltool.targets.placing import is_untracked, project_key, released_folders

RUN_FOLDER = "run folder"


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
    """Run folders and left-overs of this project that no unfinished run needs, and what else is ``wanted``.

    A target of a type that this amltool cannot run has no run folders; it is passed over unless it is named, and so is
    one that does not answer, which is told.

    Raises:
        UserError: no such target, or its host does not answer.
    """
    found: dict[tuple[str, str, str], Removable] = {}
    unfinished = {entry.run_id for entry in opened.journal.entries()}
    for compute in read_computes(opened.project.root, target):
        if target is None and compute.type not in TARGETS:
            continue
        opened_target = open_target(compute, opened.names, opened.git.top)
        host = opened_target.host
        items = _run_folders(opened, host, compute.name, unfinished, only_copies=wanted.only_copies)
        try:
            items += _left_behind(opened, opened_target, unfinished)
            if wanted.environments:
                items += _environments(opened, opened_target)
        except TargetError as error:
            if target is not None:
                raise
            say(f"What {compute.name} has beside run folders is not known: {error.what} {error.remedy}")
        for item in items:  # two targets may have one host, and one Docker
            found.setdefault((host.name, item.kind, item.place), item)
    if wanted.store:
        return [*found.values(), *_unnamed_artifacts(opened)]
    return list(found.values())


def _left_behind(opened: Opened, target: Target, unfinished: set[str]) -> list[Removable]:
    clone = clone_label(project_key(opened.git, opened.prefix))
    return [
        Removable(left.kind, target.name, left.place, left.size, "its run is over", left.run_id)
        for left in target.launcher.left_behind(target.host, clone)
        if left.run_id not in unfinished
    ]


def _environments(opened: Opened, target: Target) -> list[Removable]:
    needed = {_environment_key(opened, entry) for entry in opened.journal.entries()}
    return [
        Removable(kept.kind, target.name, kept.place, kept.size, kept.reason)
        for kept in target.environment.kept(target.host)
        if not kept.key or kept.key not in needed
    ]


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


def _run_folders(
    opened: Opened, host: Host, target: str, unfinished: set[str], *, only_copies: bool
) -> list[Removable]:
    key = project_key(opened.git, opened.prefix)
    layout = HostLayout(host.root)
    free = {folder.path for folder in released_folders(host, key)}
    known = {run.run_id for run in opened.history.runs(limit=None)} if host.exists(layout.runs) else set()
    found = []
    for name in host.names(layout.runs) if host.exists(layout.runs) else []:
        path = layout.run(name).path
        if name in unfinished:
            continue
        if path in free:
            found.append(Removable(RUN_FOLDER, target, str(path), _size(host, path), "its run is recorded"))
        elif only_copies and (name in known or is_untracked(host, layout.run(name), key)):
            kept = "files that were not collected" if name in known else "a run without a record"
            reason = f"asked for: it holds the only copy of {kept}"
            found.append(Removable(RUN_FOLDER, target, str(path), _size(host, path), reason))
    return found


def _size(host: Host, folder: PurePosixPath) -> int:
    return sum(entry.size for entry in host.walk(folder) if entry.kind is FileKind.FILE)


def _unnamed_artifacts(opened: Opened) -> list[Removable]:
    named: set[str] = set()
    for run in opened.history.runs(limit=None):
        record = run.record
        named.add(record.environment.lock_sha256)
        lists: list[Any] = [record.artifacts, record.omitted]
        if record.shared_folder is not None:
            lists += [record.shared_folder.at_start, record.shared_folder.at_end]
        named.update(listed.sha256 for listed in lists if isinstance(listed, LongList))
        named.update(artifact.sha256 for artifact in artifacts_of(opened, run))
    if opened.journal.entries():
        return []
    store = open_store(None, opened.git.layout.store)
    return [
        Removable("artifact", "", kept.sha256, kept.size, "no run of the history names it")
        for kept in store.walk()
        if kept.sha256 not in named
    ]


def remove(
    opened: Opened, removables: Sequence[Removable], say: Callable[[str], None] = lambda _: None
) -> list[Removable]:
    """Remove what was found; gives what went. What something else uses stays, and that is told."""
    store = open_store(None, opened.git.layout.store)
    targets: dict[str, Target] = {}
    gone = []
    for item in removables:
        try:
            if item.kind == "artifact":
                store.remove(item.place)
            else:
                if item.target not in targets:
                    compute = next(iter(read_computes(opened.project.root, item.target)))
                    targets[item.target] = open_target(compute, opened.names, opened.git.top)
                _remove(targets[item.target], item)
            gone.append(item)
        except UserError as error:
            say(f"{item.place} stays: {error.what} {error.remedy}")
    return gone


def _remove(target: Target, item: Removable) -> None:
    if item.run_id:
        target.launcher.forget(target.host, HostLayout(target.host.root).run(item.run_id))
    elif item.kind == RUN_FOLDER:
        target.host.remove(PurePosixPath(item.place))
    else:
        for kept in target.environment.kept(target.host):
            if kept.place == item.place:
                target.environment.remove(target.host, kept)
