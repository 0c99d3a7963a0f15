"""The artifacts of a finished run: which there are, and what is in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from amltool.artifact import Artifact
from amltool.commands.opening import Opened
from amltool.errors import UserError
from amltool.layout import CONSOLE_FILE
from amltool.run import LongList, Run
from amltool.stores import open_store


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
    store = open_store(artifact.store, opened.git.layout.store)
    try:
        with store.open(artifact.sha256) as stream:
            while block := stream.read(1 << 20):
                yield block
    except KeyError:
        raise UserError(
            f"The artifact '{path}' of run {run.run_id} is not in this clone: {run.record.user or 'another user'} "
            f"made it on {run.record.host or 'another machine'}.",
            "Get it from there; a shared artifact store (artifact_store in aml_config/project.yml) keeps it for all.",
        ) from None


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


def kept_content(opened: Opened, run: Run, sha256: str) -> bytes | None:
    """What a run keeps under a digest that its record names (a lock, a long list); ``None`` where it is not here."""
    listed = run.record.artifacts
    known = [] if isinstance(listed, LongList) else [artifact.store for artifact in listed]
    for address in dict.fromkeys([*known, opened.project.settings.artifact_store, None]):
        store = open_store(address, opened.git.layout.store)
        with contextlib.suppress(KeyError), store.open(sha256) as stream:
            return stream.read()
    return None
