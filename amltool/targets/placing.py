"""Bring a snapshot to the folder of a run on its host, reusing what an earlier run left there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from amltool.errors import UserError
from amltool.files import no_space
from amltool.git.command import Git, scrubbed_environment
from amltool.git.snapshots import object_environment
from amltool.hosts.base import Host
from amltool.hosts.streaming import evaluated, streaming
from amltool.layout import HostLayout, RunFolder
from amltool.snapshot import Snapshot
from amltool.tracking.placing import PlacingError, place

OnWritten = Callable[[int, int], None]
"""Called with the bytes and files written since the last call."""


class Released(msgspec.Struct, frozen=True):
    """The mark in a finished run's folder: whose it was. Only the same project reuses it."""

    project: str
    at: str


def project_key(git: Git, prefix: str) -> str:
    """What tells one project's run folders from another's on a host."""
    return f"{git.common_dir}:{prefix}"


def released_folders(host: Host, key: str) -> list[RunFolder]:
    """Folders of finished runs of a project that may be reused, newest first."""
    layout = HostLayout(host.root)
    try:
        names = host.names(layout.runs)
    except FileNotFoundError:
        return []
    found = []
    for name in reversed(names):
        folder = layout.run(name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            if msgspec.json.decode(host.read(folder.released), type=Released).project == key:
                found.append(folder)
    return found


def take_over(host: Host, folder: RunFolder, key: str) -> bool:
    """Give a new run the work folder of an older one; what does not belong is put right by placing.

    The rename is what claims it: of several clients one gets it, the others go on without.
    """
    for released in released_folders(host, key):
        try:
            host.rename(released.work, folder.work)
        except FileNotFoundError:
            continue
        with contextlib.suppress(FileNotFoundError):
            host.rename(released.placed, folder.placed)
        host.remove(released.path)
        return True
    return False


def make_place_here(host: Host, prefix: str) -> Callable[[Git, RunFolder, Snapshot, OnWritten | None], None]:
    """What places snapshots on this machine for the project in a folder (``prefix``) of its repository."""

    def place_in_folder(git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None = None) -> None:
        """Make the run's folder, with what an older run left of use, place the snapshot, and make what the run needs.

        Raises:
            UserError: as `place_here`, or a file is where the run needs a folder.
        """
        try:
            host.make_folder(folder.path)
            if not host.exists(folder.work):
                take_over(host, folder, project_key(git, prefix))
        except OSError as error:
            raise no_space(error, str(folder.path)) from error
        place_here(git, folder, snapshot, on_written)
        for made in (folder.outputs, folder.logs):
            try:
                host.make_folder(made)
            except (FileExistsError, NotADirectoryError):
                raise UserError(
                    f"The snapshot holds a file named {made.name}, where the run needs a folder.", "Rename it."
                ) from None

    return place_in_folder


def place_here(git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None = None) -> None:
    """Place a snapshot on this machine, straight from this clone's objects.

    Raises:
        UserError: the disk is full, an object is missing or damaged, or two names clash on this file system.
    """
    environment = scrubbed_environment(object_environment(snapshot.object_folders))
    command = (["git", f"--git-dir={git.git_dir}"], environment)
    large_files = {path: (large.place, large.sha256, large.size) for path, large in snapshot.large_files.items()}
    files = [(file.path, file.mode, file.object_id, file.size) for file in snapshot.files]
    try:
        place(str(folder.work), str(folder.placed), files, command, large_files, on_written)
    except PlacingError as error:
        raise UserError(f"The snapshot cannot be placed: {error}.", "Put that right in the repository.") from None
    except OSError as error:
        raise no_space(error, str(folder.work)) from error


def mark_untracked(host: Host, folder: RunFolder, key: str, at: str) -> None:
    """Note whose a folder is that holds the only trace of a run; it goes only when asked for."""
    host.write(folder.untracked, msgspec.json.encode(Released(key, at)))


def release(host: Host, folder: RunFolder, key: str, at: str, keep: int) -> None:
    """Mark a finished run's folder as free for reuse, and remove all but the newest ``keep`` of the project."""
    mark = msgspec.json.encode(Released(key, at))
    if streaming(host) is not None:
        for name in _release_there(host, folder, mark, keep):
            host.remove(HostLayout(host.root).run(name).path)
        return
    host.write(folder.released, mark)
    for released in released_folders(host, key)[keep:]:
        host.remove(released.path)


_RELEASE = """
import json, os
def main(mark, folder, keep):
    runs, name = os.path.split(folder)
    beside = os.path.join(folder, "." + os.urandom(8).hex())
    with open(beside, "wb") as stream:
        stream.write(mark.encode("utf-8"))
    os.rename(beside, os.path.join(folder, "released.json"))
    free = []
    for each in sorted(os.listdir(runs), reverse=True):
        try:
            with open(os.path.join(runs, each, "released.json"), "rb") as stream:
                if json.loads(stream.read().decode("utf-8"))["project"] == json.loads(mark)["project"]:
                    free.append(each)
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return free[keep:]
"""


def _release_there(host: Host, folder: RunFolder, mark: bytes, keep: int) -> list[str]:
    """Mark a folder and name those that are too many: one question, where looking into each would be many.

    Raises:
        OSError: the disk is full, or the folder gone.
    """
    said = evaluated(host, _RELEASE, [mark.decode("utf-8"), str(folder.path), keep])
    names = said if isinstance(said, list) else []  # not trusted with our folders
    return [name for name in names if isinstance(name, str) and "/" not in name and not name.startswith(".")]
