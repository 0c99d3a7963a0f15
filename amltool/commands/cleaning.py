"""Find what can go, say how much it is, and remove it when asked to: nothing an unfinished run needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from amltool.commands.looking import artifacts_of
from amltool.commands.opening import Opened, read_computes
from amltool.hosts.base import FileKind, Host
from amltool.layout import HostLayout
from amltool.run import LongList
from amltool.stores import open_store
from amltool.targets import TARGETS, open_target
from amltool.targets.placing import is_untracked, project_key, released_folders


@dataclass(frozen=True, slots=True)
class Removable:
    """Something that can go: what it is, where, how many bytes, and why it is not needed."""

    kind: str
    target: str
    place: str
    size: int
    reason: str


def find_removable(
    opened: Opened, *, target: str | None = None, store: bool = False, only_copies: bool = False
) -> list[Removable]:
    """Run folders of this project that no unfinished run needs, and (``store``) artifacts that no run names.

    ``only_copies``: also folders that hold what is nowhere else: files that were not collected, untracked runs.

    A target of a type that this amltool cannot run has no run folders; it is passed over unless it is named.

    Raises:
        UserError: no such target, or its host does not answer.
    """
    found: list[Removable] = []
    unfinished = {entry.run_id for entry in opened.journal.entries()}
    seen: set[str] = set()
    for compute in read_computes(opened.project.root, target):
        if target is None and compute.type not in TARGETS:
            continue
        host = open_target(compute, opened.names, opened.git.top).host
        place = f"{host.name}:{host.root}"
        if place in seen:
            continue
        seen.add(place)
        found += _run_folders(opened, host, compute.name, unfinished, only_copies=only_copies)
    if store:
        found += _unnamed_artifacts(opened)
    return found


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
            found.append(Removable("run folder", target, str(path), _size(host, path), "its run is recorded"))
        elif only_copies and (name in known or is_untracked(host, layout.run(name), key)):
            kept = "files that were not collected" if name in known else "a run without a record"
            reason = f"asked for: it holds the only copy of {kept}"
            found.append(Removable("run folder", target, str(path), _size(host, path), reason))
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


def remove(opened: Opened, removables: Sequence[Removable]) -> None:
    """Remove what was found."""
    store = open_store(None, opened.git.layout.store)
    hosts: dict[str, Host] = {}
    for item in removables:
        if item.kind == "artifact":
            store.remove(item.place)
            continue
        if item.target not in hosts:
            compute = next(iter(read_computes(opened.project.root, item.target)))
            hosts[item.target] = open_target(compute, opened.names, opened.git.top).host
        hosts[item.target].remove(PurePosixPath(item.place))
