"""Artifact stores of a project: which one a run's artifacts go to, and that they can be kept there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from amltool.commands.opening import Opened
from amltool.configuration.compute import ComputeTarget
from amltool.errors import UserError
from amltool.history.journal import RunRequest
from amltool.stores.base import Access, SignIn

if TYPE_CHECKING:
    from amltool.configuration.settings import Settings
    from amltool.run import RunRecord
    from amltool.stores.base import ArtifactStore
    from amltool.stores.live import LiveStore


def store_address(opened: Opened, compute: ComputeTarget | None) -> str | None:
    """The store for runs on a compute target: its own, else the project's, else ``None``, which is the clone's."""
    return (compute.artifact_store if compute else None) or opened.project.settings.artifact_store


def access_to(opened: Opened, address: str | None, record: RunRecord | RunRequest | None = None) -> Access:
    """The means to open a store: for the project and the run of a record, or for the project of now."""
    if address is None:
        return Access()
    names = opened.names if record is None else record.project
    run_id, commit = ("", "") if record is None else (record.run_id, record.commit)
    sign_in = _sign_in(opened, address) if is_in_account(address) else SignIn()
    return Access(names.account, names.workspace, names.name, run_id, commit, sign_in)


def is_in_account(address: str | None) -> bool:
    """Return True for a store that somebody has to sign in to."""
    return address is not None and address.lower().startswith("azure://")


def _sign_in(opened: Opened, address: str) -> SignIn:
    """The sign-in that the settings or a `.compute` give for a store: those that name it, else those of its account."""
    said = list(_sign_ins(opened))
    named = [sign_in for store, sign_in in said if store == address]
    of_account = [sign_in for store, sign_in in said if _account(store) == _account(address)]
    found = next((each for each in [*named, *of_account] if each.credential or each.url), SignIn())
    return replace(found, remembered=opened.git.layout.identity)


def _sign_ins(opened: Opened) -> Iterator[tuple[str, SignIn]]:
    from amltool.commands.opening import survey_computes

    known: list[ComputeTarget | Settings] = [*survey_computes(opened.project.root)[0], opened.project.settings]
    for each in known:
        if each.artifact_store is not None and is_in_account(each.artifact_store):
            yield each.artifact_store, SignIn(each.artifact_store_credential, each.artifact_store_url)


def _account(address: str) -> str:
    return address.partition("://")[2].partition("/")[0]


def store_of_record(opened: Opened, address: str | None, record: RunRecord) -> ArtifactStore:
    """The store where artifacts of a recorded run are.

    Raises:
        UserError: it cannot be opened.
    """
    from amltool.stores import open_store

    return open_store(address, opened.git.layout.store, access_to(opened, address, record))


def check_store(opened: Opened, address: str | None) -> None:
    """Make sure that content can be kept in the store of an address, without a trace.

    Of the clone's own only what lies there is looked at: the journal is written beside it, and a submit has no time to
    lose.

    Raises:
        UserError: it cannot be opened, or nothing can be kept there.
    """
    folder = opened.git.layout.store
    if address is not None or any(map(_is_in_the_way, (folder, folder / "incoming", folder / "objects"))):
        ready_store(opened, address)


def _is_in_the_way(folder: Path) -> bool:
    return os.path.lexists(folder) and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK))


def ready_store(opened: Opened, address: str | None, request: RunRequest | None = None) -> ArtifactStore:
    """Open the store of an address, for a run if there is one, and make sure that content can be kept there.

    Raises:
        UserError: it cannot be opened, or nothing can be kept there.
    """
    from amltool.stores import open_store

    store = open_store(address, opened.git.layout.store, access_to(opened, address, request))
    store.ready()
    return store


def store_of_run(opened: Opened, request: RunRequest) -> ArtifactStore:
    """The store of a run that ended: the one it was submitted with, else the one that the settings name now.

    Raises:
        UserError: neither can be used; says how to go on.
    """
    try:
        return ready_store(opened, request.artifact_store, request)
    except UserError as error:
        now = _address_now(opened, request)
        if now == request.artifact_store:
            how = f"{error.remedy} Then: amltool wait {request.run_id}"
            raise UserError(f"Run {request.run_id} ended and cannot be kept. {error.what}", how) from None
    return ready_store(opened, now, request)


def live_store_of(opened: Opened, address: str | None, request: RunRequest | None = None) -> LiveStore | None:
    """The runs of this project that a store shows while they go on; ``None`` where it cannot.

    Raises:
        UserError: it cannot be opened.
    """
    from amltool.stores import open_live

    return open_live(address, access_to(opened, address, request))


def _address_now(opened: Opened, request: RunRequest) -> str | None:
    from amltool.commands.opening import read_computes

    try:
        compute = read_computes(opened.project.root, request.target)[0]
    except UserError:  # it was removed, or cannot be read just now
        compute = None
    return store_address(opened, compute)


def stores_in_use(opened: Opened) -> Iterator[tuple[str, str | None]]:
    """Every store that a run of this project may need: what names it, and its address."""
    from amltool.commands.opening import read_computes
    from amltool.configuration.choosing import list_compute_targets
    from amltool.configuration.folder import working_files

    yield "artifact_store", opened.project.settings.artifact_store
    for name in list_compute_targets(working_files(opened.project.root)):
        try:
            compute = read_computes(opened.project.root, name)[0]
        except UserError:  # a check of its own says so
            continue
        if compute.artifact_store is not None:
            yield f"aml_config/{name}.compute: artifactStore", compute.artifact_store
