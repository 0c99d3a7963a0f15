"""Get artifacts out of the store, whole and verified, never over what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.artifact import Artifact
from amltool.commands.artifacts import artifacts_of, content_of, stores_of_artifacts
from amltool.commands.downloads import Progress, Wanted, bring, safe_parts
from amltool.commands.opening import Opened
from amltool.errors import DamagedError, UserError
from amltool.layout import staging_folder
from amltool.run import Run

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore


def matching_artifacts(opened: Opened, run: Run, path: str | None) -> list[Artifact]:
    """The artifacts of a run, or those a path, a folder or a pattern names.

    Raises:
        UserError: nothing has that name.
    """
    artifacts = artifacts_of(opened, run)
    if path is None:
        return artifacts
    found = [each for each in artifacts if names(path, each.path)]
    if not found:
        raise UserError(
            f"Cannot find the artifact '{path}' with run_id '{run.run_id}'", f"See: amltool outputs {run.run_id}"
        )
    return found


def one_artifact(opened: Opened, run: Run, path: str, purpose: str) -> Artifact:
    """The artifact that a path names, for a purpose (``an asset``, ``an input``) that takes one.

    Raises:
        UserError: nothing of that name was kept, or several artifacts have it.
    """
    found = matching_artifacts(opened, run, path)
    if len(found) > 1:
        raise UserError(
            f"{path!r} names {len(found)} files of run {run.run_id}, and {purpose} is one.",
            f"Name one of: {', '.join(each.path for each in found[:5])}",
        )
    return found[0]


def names(wanted: str, path: str) -> bool:
    """Return True if a path is what somebody wants by its name, by a folder it lies in, or by a pattern."""
    wanted = wanted.rstrip("/")
    return path == wanted or path.startswith(f"{wanted}/") or fnmatchcase(path, wanted)


def download(
    opened: Opened,
    run: Run,
    artifacts: Sequence[Artifact],
    folder: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write artifacts below a folder under their own names, as `bring` does.

    Raises:
        UserError: a file is in the way, a name is unsafe, an artifact is not here or is damaged.
    """
    parts_of = {artifact.path: safe_parts(artifact.path) for artifact in artifacts}
    stores = stores_of_artifacts(opened, artifacts, run.record)
    same: dict[str, list[Artifact]] = {}
    for each in artifacts:
        same.setdefault(each.sha256, []).append(each)
    wanted = [
        Wanted(
            key=sha256,
            size=alike[0].size,
            paths=tuple(parts_of[each.path] for each in alike),
            rest=partial(_rest, run, alike[0], stores[sha256]),
            sha256=sha256,
        )
        for sha256, alike in same.items()
    ]
    try:
        bring(folder, staging_folder(run.run_id), wanted, overwrite=overwrite, progress=progress)
    except DamagedError as error:
        raise UserError(str(error), "Run the experiment again: amltool rerun " + run.run_id) from None
    return [folder.joinpath(*parts) for parts in parts_of.values()]


def _rest(run: Run, artifact: Artifact, store: ArtifactStore, begun: Iterator[bytes]) -> Iterator[bytes]:
    return content_of(run, artifact, store, begun)
