"""Get artifacts out of the store, whole and verified, never over what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.artifact import Artifact
from amltool.commands.artifacts import artifacts_of, content_of
from amltool.commands.opening import Opened
from amltool.commands.storing import is_in_account, store_of_record
from amltool.destination import Destination
from amltool.errors import DamagedError, UserError
from amltool.files import no_space
from amltool.run import Run

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore

FILES_AT_ONCE = 8
"""Files that are got at once from a storage account."""


def matching_artifacts(opened: Opened, run: Run, path: str | None) -> list[Artifact]:
    """The artifacts of a run, or those a path, a folder or a pattern names.

    Raises:
        UserError: nothing has that name.
    """
    artifacts = artifacts_of(opened, run)
    if path is None:
        return artifacts
    wanted = path.rstrip("/")
    found = [a for a in artifacts if a.path == wanted or a.path.startswith(f"{wanted}/") or fnmatchcase(a.path, wanted)]
    if not found:
        raise UserError(
            f"Cannot find the artifact '{path}' with run_id '{run.run_id}'", f"See: amltool outputs {run.run_id}"
        )
    return found


def download(
    opened: Opened, run: Run, artifacts: Sequence[Artifact], folder: Path, *, overwrite: bool = False
) -> list[Path]:
    """Write artifacts below a folder under their own names; all or, where one is in the way, none (WORKBENCH 6).

    Raises:
        UserError: a file is in the way, a name is unsafe, an artifact is not here or is damaged.
    """
    destination = Destination(folder)
    parts_of = {artifact.path: _parts(artifact.path) for artifact in artifacts}
    try:
        existing = [path for path, parts in parts_of.items() if destination.has(parts)]
    except OSError as error:
        raise no_space(error, folder) from error
    if existing and not overwrite:
        listed = "\n".join(
            f"There is a file name {Path(path).name} existing in {(folder / path).parent}" for path in existing
        )
        raise UserError(f"{listed}\nNothing was downloaded.", "please add '--overwrite' to overwrite")
    stores = {address: store_of_record(opened, address, run.record) for address in {each.store for each in artifacts}}

    def write(artifact: Artifact) -> None:
        _write(run, artifact, stores[artifact.store], destination, parts_of[artifact.path])

    for each in artifacts:
        if not is_in_account(each.store):
            write(each)
    _each(write, [each for each in artifacts if is_in_account(each.store)])
    return [folder.joinpath(*parts) for parts in parts_of.values()]


def _each(write: Callable[[Artifact], None], artifacts: Sequence[Artifact]) -> None:
    """Write several at once, the largest first; the first error ends it when those under way are done."""
    if not artifacts:
        return
    from concurrent.futures import ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        writing = [pool.submit(write, each) for each in sorted(artifacts, key=lambda one: -one.size)]
        try:
            for each in as_completed(writing):
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _parts(path: str) -> list[str]:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise UserError(f"The record names an artifact {path!r}, which is no safe file name.", "Do not download it.")
    return parts


def _write(run: Run, artifact: Artifact, store: ArtifactStore, destination: Destination, parts: list[str]) -> None:
    try:
        destination.put(parts, content_of(run, artifact, store))
    except DamagedError as error:
        raise UserError(str(error), "Run the experiment again: amltool rerun " + run.run_id) from None
    except OSError as error:
        raise no_space(error, destination.folder.joinpath(*parts)) from error
