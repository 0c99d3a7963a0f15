"""Files that a run left and that were not collected: look for them on its target, and fetch them from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from amltool.artifact import Omission
from amltool.commands.artifacts import kept_content
from amltool.commands.downloads import BLOCK, Progress, Wanted, bring, safe_parts
from amltool.commands.opening import Opened, read_computes
from amltool.commands.outputs import names
from amltool.errors import TargetError, UserError
from amltool.files import safe_text
from amltool.hosts.base import FileKind, FileOnHost, Host
from amltool.layout import HostLayout, RunFolder, staging_folder
from amltool.run import LongList, Run


class LeftOut(msgspec.Struct, frozen=True):
    """A file that was not collected, and what of it lies on the target now (``None``: nothing that can be fetched)."""

    omission: Omission
    there: FileOnHost | None

    @property
    def path(self) -> str:
        return self.omission.path


class Fetched(msgspec.Struct, frozen=True):
    """A file that was fetched from the target: where it lies now, its size in bytes and its SHA-256."""

    path: str
    place: str
    size: int
    sha256: str


def omissions_of(opened: Opened, run: Run, path: str | None = None) -> list[Omission]:
    """The omissions of a run, also where its record only names a list; all, or those that ``path`` names.

    Raises:
        UserError: the list is kept in another clone.
    """
    listed = run.record.omitted
    if isinstance(listed, LongList):
        content = kept_content(opened, run, listed.sha256)
        if content is None:
            raise UserError(
                f"The list of files that run {run.run_id} left out is not in this clone.",
                "Ask for it in the clone that made the run, or share an artifact store.",
            )
        listed = msgspec.json.decode(content, type=list[Omission])
    return [each for each in listed if path is None or names(path, each.path)]


class TargetFolder:
    """The folder of a finished run on its target, while it is there."""

    def __init__(self, opened: Opened, run: Run) -> None:
        """Look for it.

        Raises:
            UserError: there is no such target any more, or no such folder on it.
            TargetError: the target does not answer.
        """
        from amltool.targets import open_target

        compute = next(iter(read_computes(opened.project.root, run.record.target)))
        target = open_target(compute, opened.names, opened.git.top)
        self._host: Host = target.host
        self._folder: RunFolder = HostLayout(target.host.root).run(run.run_id)
        self._run = run
        if not self._host.exists(self._folder.path):
            where = run.record.host or "another machine"
            raise UserError(
                f"The folder of run {run.run_id} is not on {self._host.name} any more; the run was on {where}.",
                f"Make its files again: amltool rerun {run.run_id}",
            )

    def look(self, omissions: Sequence[Omission]) -> list[LeftOut]:
        """Find what of these still lies there as a regular file."""
        work = self._folder.work.name
        tops = sorted({each.path.partition("/")[0] for each in omissions if "/" in each.path})
        there = {
            f"{top}/{safe_text(entry.path)}": msgspec.structs.replace(entry, path=f"{work}/{top}/{entry.path}")
            for top in tops
            if top in (self._folder.outputs.name, self._folder.logs.name)
            for entry in self._host.walk(self._folder.path, f"{work}/{top}")
            if entry.kind is FileKind.FILE
        }
        for name in {self._folder.console.name, self._folder.metrics.name} & {each.path for each in omissions}:
            for entry in self._host.walk(self._folder.path, name):
                if entry.kind is FileKind.FILE and entry.path == ".":
                    there[name] = msgspec.structs.replace(entry, path=name)
        return [LeftOut(each, there.get(each.path)) for each in omissions]

    def fetch(
        self, found: Sequence[LeftOut], folder: Path, *, overwrite: bool = False, progress: Progress | None = None
    ) -> list[Fetched]:
        """Bring files from the target to a folder of this machine, as `bring` does.

        Nobody knows their SHA-256 before: it is told of what came, and each has as many bytes as it has there.

        Raises:
            UserError: one is not there any more, changes, or is in the way here.
            TargetError: the target does not answer.
        """
        gone = [each for each in found if each.there is None]
        if gone:
            listed = "\n".join(f"{each.path}: {each.omission.reason}" for each in gone)
            raise UserError(
                f"These files cannot be fetched from {self._host.name}, for no regular file lies there:\n{listed}",
                "Name those that can, with --path.",
            )
        digests = {each.path: hashlib.sha256() for each in found}
        entries = {each.path: each.there for each in found if each.there is not None}
        wanted = [
            Wanted(
                key=hashlib.sha256(path.encode()).hexdigest(),
                size=entry.size,
                paths=(safe_parts(path),),
                rest=partial(self._content, entry, digests[path]),
            )
            for path, entry in entries.items()
        ]
        bring(folder, staging_folder(self._run.run_id), wanted, overwrite=overwrite, progress=progress)
        return [
            Fetched(path, str(folder / path), entry.size, digests[path].hexdigest()) for path, entry in entries.items()
        ]

    def _content(self, entry: FileOnHost, digest: hashlib._Hash, begun: Iterator[bytes]) -> Iterator[bytes]:  # noqa: ARG002
        left = entry.size
        try:
            with self._host.open(self._folder.path, entry.path) as stream:
                while left >= 0 and (block := stream.read(BLOCK)):
                    left -= len(block)
                    digest.update(block)
                    yield block
        except TargetError:
            raise
        except OSError as error:
            raise UserError(
                f"{entry.path} cannot be fetched from {self._host.name}: {error.strerror or error}.",
                "Look what lies there now.",
            ) from error
        if left:
            raise UserError(
                f"{entry.path} on {self._host.name} changed while it was fetched.",
                "See that nothing of the run is alive there, then run the same command again.",
            )
