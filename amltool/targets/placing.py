"""Bring a snapshot to the folder of a run on its host, reusing what an earlier run left there."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from amltool.errors import UserError
from amltool.files import no_space
from amltool.git.command import Git, scrubbed_environment
from amltool.git.contents import object_environment
from amltool.history.journal import PlacedFolder
from amltool.hosts.base import Host
from amltool.hosts.run_folders import act, remove_run_folders, write_mark
from amltool.layout import RunFolder
from amltool.snapshot import Snapshot
from amltool.targets.free_folders import FreeFolder, FreeFolders
from amltool.tracking.placing import PlacingError, place
from amltool.tracking.run_folders import (
    OddError,
    Root,
    Taken,
    make_folders,
    open_run,
    renew_work,
    require_in_place,
)

OnWritten = Callable[[int, int], None]
"""Called with the bytes and files written since the last call."""


class Placing(msgspec.Struct, frozen=True):
    """What placing a snapshot came to: what to know the folder by, and what was set aside, by its name."""

    placed: PlacedFolder
    set_aside: tuple[str, ...] = ()


class Released(msgspec.Struct, frozen=True):
    """The mark of a finished run's folder: whose it was."""

    project: str
    at: str


def project_key(git: Git, prefix: str) -> str:
    """What tells one project's run folders from another's on a host."""
    return f"{git.common_dir}:{prefix}"


def claim_folder(git: Git, host: Host, key: str) -> Taken | None:
    """The folder of a finished run for a new one to take over, as `tracking.run_folders` takes it; no other gets it."""
    found = FreeFolders(git.layout, host).claim(key)
    return {"run": found[0], "placed": found[1].digest, "inode": found[1].inode} if found is not None else None


def make_place_here(host: Host, prefix: str) -> Callable[[Git, RunFolder, Snapshot, OnWritten | None], Placing]:
    """What places snapshots on this machine for the project in a folder (``prefix``) of its repository."""

    def place_in_folder(
        git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None = None
    ) -> Placing:
        """Make the run's folder, with what an older run left of use, place the snapshot, and make what the run needs.

        Raises:
            UserError: as `place_here`, or a file is where the run needs a folder.
        """
        taken = None
        if not host.exists(folder.work):
            taken = claim_folder(git, host, project_key(git, prefix))
        return place_here(git, folder, snapshot, on_written, taken)

    return place_in_folder


def place_here(
    git: Git,
    folder: RunFolder,
    snapshot: Snapshot,
    on_written: OnWritten | None = None,
    taken: Taken | None = None,
    *,
    is_run: bool = True,
) -> Placing:
    """Place a snapshot on this machine, straight from this clone's objects; the folders a run needs only for a run.

    Raises:
        UserError: the disk is full, an object is missing or damaged, or two names clash on this file system.
    """
    environment = scrubbed_environment(object_environment(snapshot.object_folders))
    command = (["git", f"--git-dir={git.git_dir}"], environment)
    large_files = {path: (large.place, large.sha256, large.size) for path, large in snapshot.large_files.items()}
    files = [(file.path, file.mode, file.object_id, file.size) for file in snapshot.files]
    try:
        with Root(os.fspath(folder.root)) as root:
            opened = open_run(root, folder.run_id, taken)
            try:
                done = place(opened.work, opened.placed, files, command, large_files, on_written)
            except OddError:
                opened = renew_work(root, folder.run_id, opened)
                done = place(opened.work, opened.placed, files, command, large_files, on_written)
            needed = (folder.outputs.name, folder.logs.name) if is_run else ()
            taken_name = make_folders(opened.work, needed)
            if taken_name is not None:
                raise UserError(
                    f"The snapshot holds a file named {taken_name}, where the run needs a folder.", "Rename it."
                )
            require_in_place(root, folder.run_id, opened)
            return Placing(PlacedFolder(done.digest, os.fstat(opened.work).st_ino), tuple(root.asides))
    except PlacingError as error:
        raise UserError(f"The snapshot cannot be placed: {error}.", "Put that right in the repository.") from None
    except OSError as error:
        raise no_space(error, str(folder.work)) from error


def mark_untracked(host: Host, folder: RunFolder, key: str, at: str) -> None:
    """Note whose a folder is that holds the only trace of a run; it goes only when asked for."""
    write_mark(host, folder, folder.untracked.name, msgspec.json.encode(Released(key, at)))


def release(git: Git, host: Host, folder: RunFolder, free: FreeFolder, at: str, keep: int) -> None:
    """Offer a finished run's folder to the next run, and remove all but the newest ``keep`` of the project.

    Raises:
        OSError: the disk is full, there or here, or what the run left cannot all be removed.
        TargetError: the host does not answer.
    """
    folders = FreeFolders(git.layout, host)
    folders.add(folder.run_id, free)
    older = folders.forget_older(free.project, keep)
    mark = msgspec.json.encode(Released(free.project, at)).decode()
    act(host, folder, {"marks": {folder.released.name: mark}, "remove": older})


__all__ = [
    "OnWritten",
    "Placing",
    "Released",
    "claim_folder",
    "make_place_here",
    "mark_untracked",
    "place_here",
    "project_key",
    "release",
    "remove_run_folders",
]
