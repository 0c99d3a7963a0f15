"""Promote an artifact to an asset: a link file in the repository that names it, a version for each promotion."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amltool.commands.artifacts import store_known_by_run, store_that_has
from amltool.commands.downloads import Progress, Wanted, bring
from amltool.commands.opening import Opened
from amltool.commands.outputs import one_artifact
from amltool.destination import Destination
from amltool.errors import DamagedError, UserError
from amltool.files import locked, no_space, read_regular
from amltool.history.validation import LARGEST_VERSION, is_asset_name
from amltool.layout import staging_folder
from amltool.run import RUN_ID, PromotedEvent, Run, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amltool.stores.base import ArtifactStore

ASSETS = "assets"
LINK = ".link"
SOURCE = "azureml"
"""The ancestor's value of ``assetSource`` (WORKBENCH 2.4)."""
LARGEST_LINK = 1 << 16
_SHA256 = 64


class AssetLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a link file: the three keys of the ancestor, and what it takes to find the content again."""

    assetSource: str  # noqa: N815 - the ancestor's name
    name: str
    version: str
    run_id: str = ""
    path: str = ""
    size: int = -1
    sha256: str = ""
    store: str = ""


def promote(opened: Opened, run: Run, path: str, name: str | None = None) -> tuple[AssetLink, Path]:
    """Make an artifact of a run an asset; gives its link, and the file that holds that.

    Raises:
        UserError: the run has no such artifact, its content is nowhere, or the name is none.
    """
    artifact = one_artifact(opened, run, path, "an asset")
    name = artifact.path.rpartition("/")[2] if name is None else name
    if not is_asset_name(name):
        raise UserError(
            f"An asset cannot be called {name!r}.",
            "Give a file name of letters, digits, blanks and . _ + -, at most 100, with --name.",
        )
    if store_that_has(opened, artifact.sha256, artifact.store, run.record) is None:
        raise not_here(artifact.path, run.run_id)
    with locked(opened.git.layout.promotion_lock, "the assets of this project"):
        version = _next_version(opened, name)
        event = PromotedEvent(
            run_id=run.run_id,
            at=timestamp(),
            user=opened.user,
            name=name,
            version=version,
            path=artifact.path,
            size=artifact.size,
            sha256=artifact.sha256,
            store=artifact.store,
        )
        opened.history.record([event])
        link = AssetLink(
            assetSource=SOURCE,
            name=name,
            version=str(version),
            run_id=run.run_id,
            path=artifact.path,
            size=artifact.size,
            sha256=artifact.sha256,
            store=artifact.store,
        )
        parts = [ASSETS, f"{name}{LINK}"]
        place = opened.project.root.joinpath(*parts)
        try:
            Destination(opened.project.root).put(parts, [msgspec.json.encode(link) + b"\n"])
        except OSError as error:
            raise no_space(error, place) from error
    return link, place


def not_here(path: str, run_id: str) -> UserError:
    """The sentence for content that no store has."""
    return UserError(
        f"The content of {path} of run {run_id} is in no artifact store that can be reached from here.",
        f"Get it from the clone that made it (amltool artifacts.push there), or make it again: amltool rerun {run_id}",
    )


def _next_version(opened: Opened, name: str) -> int:
    """The version after the highest that is known here of a name: in the history, or in the link file."""
    known = [event.version for event in opened.history.promotions() if event.name == name]
    try:
        link = read_link(opened.project.root / ASSETS / f"{name}{LINK}")
    except UserError:  # there is none, or one that is replaced
        pass
    else:
        known.append(int(link.version))
    return max(known, default=0) + 1


def read_link(file: Path) -> AssetLink:
    """A link file, checked: it is part of a repository, and that may be anybody's.

    Raises:
        UserError: there is none, or it names no asset.
    """
    try:
        content = read_regular(file, LARGEST_LINK)
    except OSError as error:
        raise UserError(
            f"The link file {file} cannot be read: {error.strerror or error}.",
            "Name one that `amltool promote` wrote, such as assets/model.pkl.link.",
        ) from None
    try:
        link = msgspec.json.decode(content, type=AssetLink)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file} is no link to an asset: {error}.", "Promote the artifact again.") from None
    version = link.version
    is_version = version.isascii() and version.isdigit() and len(version) < 10 and 0 < int(version) <= LARGEST_VERSION
    if not is_asset_name(link.name) or not is_version:
        raise UserError(f"{file} is no link to an asset: its name or version is none.", "Promote the artifact again.")
    return link


def complete_link(opened: Opened, link: AssetLink) -> AssetLink:
    """A link that says what it links to; of one with the ancestor's keys alone the history knows it.

    Raises:
        UserError: nothing here knows it.
    """
    if link.sha256:
        is_sound = len(link.sha256) == _SHA256 and set(link.sha256) <= set("0123456789abcdef") and link.size >= 0
        if not is_sound or not RUN_ID.fullmatch(link.run_id):
            raise UserError(
                f"The link to {link.name} is damaged: it has no SHA-256, size or run.", "Promote the artifact again."
            )
        return link
    for event in reversed(opened.history.promotions()):
        if (event.name, str(event.version)) == (link.name, link.version):
            fields = ("run_id", "path", "size", "sha256", "store")
            return msgspec.structs.replace(link, **{field: getattr(event, field) for field in fields})
    raise UserError(
        f"Nothing here knows version {link.version} of the asset {link.name}: its link is of Azure ML Workbench, whose "
        "service is gone, or of a history that is not in this clone.",
        "Fetch the history of the clone that promoted it, or promote the artifact of a run of your own.",
    )


def download_asset(
    opened: Opened, link: AssetLink, folder: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> Path:
    """Bring an asset to a folder, under its name, checked by its SHA-256.

    Raises:
        UserError: a file of that name is there, or the content is nowhere or damaged.
    """
    link = complete_link(opened, link)
    store = store_known_by_run(opened, link.sha256, link.store, link.run_id)
    if store is None:
        raise not_here(link.path, link.run_id)
    wanted = Wanted(link.sha256, link.size, ((link.name,),), partial(_rest, store, link.sha256), link.sha256)
    try:
        bring(folder, staging_folder(link.run_id), [wanted], overwrite=overwrite, progress=progress)
    except DamagedError as error:
        raise UserError(str(error), f"Make it again: amltool rerun {link.run_id}") from None
    return folder / link.name


def _rest(store: ArtifactStore, sha256: str, begun: Iterator[bytes]) -> Iterator[bytes]:
    with store.open(sha256, begun) as stream:
        while block := stream.read(1 << 20):
            yield block
