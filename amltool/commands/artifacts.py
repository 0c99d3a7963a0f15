"""The artifacts of a finished run: which there are, and what is in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from amltool.artifact import STORED_HERE, Artifact
from amltool.commands.opening import Opened
from amltool.commands.storing import access_to, is_in_account, store_of_record
from amltool.errors import UserError
from amltool.history.validation import read_event
from amltool.layout import CONSOLE_FILE
from amltool.run import FIXED_KEYS, LongList, Run, RunRecord

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore


def artifact_content(opened: Opened, run: Run, path: str) -> Iterator[bytes]:
    """The verified content of one artifact, in blocks.

    Raises:
        UserError: the run has no such artifact, or another clone keeps it.
    """
    artifact = next((artifact for artifact in artifacts_of(opened, run) if artifact.path == path), None)
    if artifact is None and path == CONSOLE_FILE and run.record.reason:
        raise UserError(
            f"Run {run.run_id} left no console: it is {run.record.status.value}, {run.record.reason}.",
            f"See: amltool show {run.run_id}",
        )
    if artifact is None:
        raise UserError(
            f"Cannot find the artifact '{path}' with run_id '{run.run_id}'", f"See: amltool outputs {run.run_id}"
        )
    yield from content_of(run, artifact, store_of_artifact(opened, artifact, run.record))


def content_of(run: Run, artifact: Artifact, store: ArtifactStore, begun: Iterable[bytes] = ()) -> Iterator[bytes]:
    """The verified content of an artifact in its store, in blocks: what follows ``begun``.

    Raises:
        UserError: it is not there.
    """
    try:
        with store.open(artifact.sha256, begun) as stream:
            while block := stream.read(1 << 20):
                yield block
    except KeyError:
        if is_in_account(artifact.store):
            raise UserError(
                f"The artifact '{artifact.path}' of run {run.run_id} is not in {artifact.store} any more.",
                f"Run it again: amltool rerun {run.run_id}",
            ) from None
        raise UserError(
            f"The artifact '{artifact.path}' of run {run.run_id} is not in this clone: "
            f"{run.record.user or 'another user'} made it on {run.record.host or 'another machine'}.",
            "Get it from there; a shared artifact store (artifact_store in aml_config/project.yml) keeps it for all.",
        ) from None


def store_of_artifact(opened: Opened, artifact: Artifact, record: RunRecord) -> ArtifactStore:
    """The store to read an artifact from: this clone's own if it has it, else the one that the record names; for what
    another clone kept for itself that of the settings, where `artifacts.push` may have brought it.

    Raises:
        UserError: it cannot be opened.
    """
    return stores_of_artifacts(opened, [artifact], record)[artifact.sha256]


def stores_of_artifacts(opened: Opened, artifacts: Iterable[Artifact], record: RunRecord) -> dict[str, ArtifactStore]:
    """`store_of_artifact` of each content: one connection for all that are in the same.

    Raises:
        UserError: one cannot be opened.
    """
    own = store_of_record(opened, None, record)
    opened_once: dict[str | None, ArtifactStore] = {}
    found: dict[str, ArtifactStore] = {}
    for each in artifacts:
        if own.contains(each.sha256):
            found[each.sha256] = own
            continue
        address = opened.project.settings.artifact_store if each.store == STORED_HERE else each.store
        if address not in opened_once:
            opened_once[address] = store_of_record(opened, address, record)
        found[each.sha256] = opened_once[address]
    return found


def store_that_has(opened: Opened, sha256: str, store: str, record: RunRecord | None) -> ArtifactStore | None:
    """The first store that holds some content: the one that is named, that of the settings, this clone's own.

    Raises:
        UserError: the one that is named cannot be opened or does not answer, and no other has the content.
    """
    from amltool.stores import open_store

    failed: UserError | None = None
    for address in dict.fromkeys(_addresses(opened, store)):
        try:
            found = open_store(address, opened.git.layout.store, access_to(opened, address, record))
            if found.contains(sha256):
                return found
        except UserError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return None


def store_known_by_run(opened: Opened, sha256: str, store: str, run_id: str) -> ArtifactStore | None:
    """`store_that_has`, for content whose run is named, which may not be known here."""
    run = opened.history.run(run_id)
    return store_that_has(opened, sha256, store, run.record if run else None)


def _addresses(opened: Opened, store: str) -> Iterator[str | None]:
    for address in (store, opened.project.settings.artifact_store, None):
        yield None if address == STORED_HERE else address


def sound_content(opened: Opened, record: RunRecord, artifact: Artifact) -> Iterator[bytes] | None:
    """The content of an artifact of a run in blocks; ``None`` where it is not here, or damaged."""
    try:
        store = store_of_artifact(opened, artifact, record)
        if not store.check(artifact.sha256):
            return None
    except (KeyError, UserError):
        return None

    def blocks() -> Iterator[bytes]:
        with store.open(artifact.sha256) as stream:
            while block := stream.read(1 << 20):
                yield block

    return blocks()


def artifacts_of(opened: Opened, run: Run) -> list[Artifact]:
    """Every artifact of a run, also where the record only names a list.

    Raises:
        UserError: the list is kept in another clone.
    """
    listed = run.record.artifacts
    if not isinstance(listed, LongList):
        return list(listed)
    content = kept_content(opened, run, listed.sha256)
    if content is None:
        raise UserError(
            f"The list of artifacts of run {run.run_id} is not in this clone.",
            "Ask for it in the clone that made the run, or share an artifact store.",
        )
    return msgspec.json.decode(content, type=list[Artifact])


def whole_run(opened: Opened, run: Run) -> Run:
    """A run with its whole record, where the note holds a clipped one and the rest is here; else as it is."""
    clipped = run.record.whole
    if isinstance(clipped, msgspec.UnsetType):
        return run
    content = kept_content(opened, run, clipped.sha256)
    try:
        whole = None if content is None else read_event(content)
    except ValueError:
        return run
    if not isinstance(whole, RunRecord) or whole.run_id != run.run_id:
        return run
    keys = set(clipped.keys) & set(RunRecord.__struct_fields__) - FIXED_KEYS
    record = replace(run.record, whole=msgspec.UNSET, **{key: getattr(whole, key) for key in keys})
    if "shared_folder" in clipped.keys and record.shared_folder and whole.shared_folder:  # its lists are here
        paths = {"host_path": whole.shared_folder.host_path, "run_path": whole.shared_folder.run_path}
        record = replace(record, shared_folder=replace(record.shared_folder, **paths))
    removed = {*run.record.tags} - {*run.tags}
    later = {key: value for key, value in run.tags.items() if run.record.tags.get(key) != value}
    logged = {key: value for key, value in record.tags.items() if key not in removed}
    return replace(run, record=record, tags={**logged, **later})


def kept_content(opened: Opened, run: Run, sha256: str) -> bytes | None:
    """What a run keeps under a digest that its record names (a lock, a long list); ``None`` where it is not here."""
    listed = run.record.artifacts
    known = [] if isinstance(listed, LongList) else [artifact.store for artifact in listed]
    for address in dict.fromkeys([*known, opened.project.settings.artifact_store, None]):
        store = store_of_record(opened, address, run.record)
        with contextlib.suppress(KeyError), store.open(sha256) as stream:
            return stream.read()
    return None
