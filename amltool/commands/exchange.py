"""Artifacts from any store to any other: sent to a store that others reach, or brought to this clone's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec
from msgspec.structs import replace

from amltool.artifact import STORED_HERE, Artifact
from amltool.commands.artifacts import artifacts_of, store_that_has
from amltool.commands.opening import Opened
from amltool.commands.storing import access_to, is_in_account
from amltool.configuration.secrets import REFERENCE_FORMS, SecretReference, parse_reference
from amltool.errors import DamagedError, UserError
from amltool.run import LongList, Run, WholeRecord
from amltool.stores import open_store
from amltool.stores.base import SignIn

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore

ASKED_AT_ONCE = 8
Progress = Callable[[int], None]


class Exchanged(msgspec.Struct):
    """The contents and bytes that came to a store, or were there already, and the names of what is nowhere."""

    store: str
    brought: int = 0
    bytes: int = 0
    there: int = 0
    missing: list[str] = []


class Place(msgspec.Struct, frozen=True):
    """A store by its address (``None``: this clone's own), and what signs in there where the settings do not say."""

    address: str | None
    credential: SecretReference | None = None

    def open(self, opened: Opened, run: Run) -> ArtifactStore:
        """Open it for a run.

        Raises:
            UserError: it cannot be opened.
        """
        access = access_to(opened, self.address, run.record)
        if self.credential is not None and is_in_account(self.address):
            access = replace(access, sign_in=SignIn(self.credential))
        return open_store(self.address, opened.git.layout.store, access)


def place_of(store: str | None, credential: str | None) -> Place:
    """A store as the user names it.

    Raises:
        UserError: the credential is none that is kept elsewhere.
    """
    if credential is None:
        return Place(store)
    reference = parse_reference(credential)
    if reference is None:
        raise UserError("--credential takes a reference, and never the secret itself.", f"Write {REFERENCE_FORMS}.")
    return Place(store, reference)


def push(opened: Opened, runs: Sequence[Run], to: Place, progress: Progress) -> Exchanged:
    """Send the artifacts of runs to a store, or to that of the settings.

    Raises:
        UserError: there is no such store, or nothing can be kept there.
        TargetError: it does not answer; what arrived is not sent again.
    """
    to = to if to.address is not None else Place(opened.project.settings.artifact_store)
    if to.address is None:
        raise UserError(
            "Nobody said which store the artifacts are to go to.",
            "Name one: --store azure://ACCOUNT/CONTAINER, or artifact_store in aml_config/project.yml.",
        )
    return _exchange(opened, runs, to, None, progress)


def pull(opened: Opened, runs: Sequence[Run], source: Place, progress: Progress) -> Exchanged:
    """Bring the artifacts of runs to this clone's own store, from one that is named or wherever they are.

    Raises:
        UserError: nothing can be kept here, or there is no such store.
        TargetError: it does not answer; what arrived is not fetched again.
    """
    return _exchange(opened, runs, Place(None), source if source.address is not None else None, progress)


def _exchange(opened: Opened, runs: Sequence[Run], to: Place, source: Place | None, progress: Progress) -> Exchanged:
    done = Exchanged(store=to.address or STORED_HERE)
    for at, run in enumerate(runs):
        target = to.open(opened, run)
        if at == 0:
            target.ready()
        wanted = list({each.sha256: each for each in _contents(opened, run)}.values())
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            lacking = [each for each, there in zip(wanted, pool.map(target.contains, _digests(wanted)), strict=True)
                       if not there]  # fmt: skip
        done.there += len(wanted) - len(lacking)
        for each in lacking:
            found = _source(opened, run, each, source)
            if found is None or not _copy(found, target, each, progress):
                done.missing.append(f"{each.path} of run {run.run_id}")
                continue
            done.brought += 1
            done.bytes += each.size
        target.flush()
    return done


def _digests(artifacts: Sequence[Artifact]) -> list[str]:
    return [each.sha256 for each in artifacts]


def _source(opened: Opened, run: Run, artifact: Artifact, source: Place | None) -> ArtifactStore | None:
    if source is None:
        return store_that_has(opened, artifact.sha256, artifact.store, run.record)
    found = source.open(opened, run)
    return found if found.contains(artifact.sha256) else None


def _copy(source: ArtifactStore, target: ArtifactStore, artifact: Artifact, progress: Progress) -> bool:
    """Copy a content; False where the source does not have it whole: nothing is kept of it then."""
    try:
        with source.open(artifact.sha256) as stream:
            kept = target.put(cast(BinaryIO, _Counted(stream, progress)), name=artifact.path)
    except (DamagedError, KeyError):
        return False
    return kept.sha256 == artifact.sha256


class _Counted:
    """A stream that tells how much of it was read."""

    def __init__(self, stream: BinaryIO, progress: Progress) -> None:
        self._stream, self._progress = stream, progress

    def read(self, size: int = -1, /) -> bytes:
        block = self._stream.read(size)
        self._progress(len(block))
        return block

    def fileno(self) -> int:
        raise OSError  # what is read is verified, and so it is not read behind our back


def _contents(opened: Opened, run: Run) -> Iterator[Artifact]:
    """All that is kept of a run: its artifacts, the lists that are too long for its record, its whole record."""
    record = run.record
    store = record.artifacts[0].store if isinstance(record.artifacts, list) and record.artifacts else STORED_HERE
    shared = record.shared_folder
    lists = [record.artifacts, record.omitted, *((shared.at_start, shared.at_end) if shared else ())]
    kept = [each for each in lists if isinstance(each, LongList)]
    if isinstance(record.whole, WholeRecord):
        yield Artifact(record.whole.path, record.whole.bytes, record.whole.sha256, store)
    for each in kept:
        yield Artifact(each.path, each.bytes, each.sha256, store)
    try:
        yield from artifacts_of(opened, run)
    except UserError:  # its list is not here: the list itself is told as missing
        return
