"""The places that a run will need: artifact stores, shared folders, folders for runs, and the extras of targets."""

from __future__ import annotations

from collections.abc import Iterator

from amltool.commands.opening import Opened, read_computes
from amltool.commands.storing import check_store, stores_in_use
from amltool.configuration.choosing import list_compute_targets
from amltool.configuration.compute import ComputeTarget
from amltool.configuration.folder import FOLDER, working_files
from amltool.errors import UserError
from amltool.extras import DOCKER, SSH, is_installed, missing
from amltool.files import in_home, probe_folder
from amltool.limits import Level, Problem

STORE, FOLDERS, EXTRA = "store", "folder", "extra"
"""What the problems of places are called."""


def place_problems(opened: Opened) -> list[Problem]:
    """What keeps the runs of this project from being started or kept on this machine; nothing is left of the probes.

    An extra that is not installed is a warning: perhaps nobody here uses that compute target.
    """
    problems = list(_store_problems(opened))
    for name in list_compute_targets(working_files(opened.project.root)):
        try:
            compute = read_computes(opened.project.root, name)[0]
        except UserError:  # the check of the configuration says so
            continue
        problems += [*_folder_problems(compute), *_extra_problems(compute)]
    return problems


def extras_of(compute: ComputeTarget) -> Iterator[str]:
    """The extras that a compute target needs."""
    if compute.over_ssh:
        yield SSH
    if compute.in_container:
        yield DOCKER


def _store_problems(opened: Opened) -> Iterator[Problem]:
    for named_by, address in stores_in_use(opened):
        try:
            check_store(opened, address)
        except UserError as error:
            yield Problem(STORE, Level.ERROR, f"{named_by}: {error.what}", error.remedy)


def _folder_problems(compute: ComputeTarget) -> Iterator[Problem]:
    if compute.over_ssh:
        return
    from amltool.hosts.local import LocalHost

    wanted = {"root": compute.root or str(LocalHost().root)}
    if compute.shared_volumes or not compute.in_container:
        wanted["nativeSharedDirectory"] = compute.native_shared_directory
    for key, path in wanted.items():
        why, remedy = "", "Make it a folder that is writable for you, or name another one there."
        try:
            folder = in_home(path)
            probe_folder(folder, len(folder.parents))
        except (OSError, ValueError) as error:
            why = f"nothing can be written in {path}: {getattr(error, 'strerror', None) or error}."
        except UserError as error:
            why, remedy = error.what, error.remedy
        if why:
            yield Problem(FOLDERS, Level.ERROR, f"{FOLDER}/{compute.name}.compute: {key}: {why}", remedy)


def _extra_problems(compute: ComputeTarget) -> Iterator[Problem]:
    for extra in extras_of(compute):
        if not is_installed(extra):
            error = missing(extra)
            yield Problem(EXTRA, Level.WARNING, f"{FOLDER}/{compute.name}.compute: {error.what}", error.remedy)
