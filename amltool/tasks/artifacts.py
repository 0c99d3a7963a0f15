"""Tasks about the files that runs leave: outputs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from amltool.tasks.arguments import task
from amltool.tasks.running import JSON_HELP, RUN_HELP
from amltool.tasks.watching import TerminalWatcher, print_json, write_bytes

if TYPE_CHECKING:
    from amltool.artifact import Artifact
    from amltool.commands.opening import Opened
    from amltool.run import Run


@task(
    help={
        "run": RUN_HELP,
        "download": "write the files below this folder",
        "path": "only this file, folder or pattern",
        "overwrite": "replace files that are there",
        "from_target": "the files that were left out, from the run's folder on its target",
        "open": "show them with the programs of this desktop",
        "stdout": "print the one file that --path names",
        "json": JSON_HELP,
    },
)
def outputs(
    context: Context,
    run: str = "@",
    *,
    download: str | None = None,
    path: str | None = None,
    overwrite: bool = False,
    from_target: bool = False,
    open: bool = False,
    stdout: bool = False,
    json: bool = False,
) -> None:
    """List the files of a run and those it left out, download them, or show them."""
    from amltool.commands.desktop import new_folder, show
    from amltool.commands.looking import finished
    from amltool.commands.opening import open_project
    from amltool.commands.outputs import matching_artifacts

    opened = open_project()
    found = finished(opened, run)
    if stdout:
        write_bytes(_one_content(opened, found, path, others=download is not None or open or json or from_target))
        return
    folder = Path(download) if download is not None else new_folder(found.run_id) if open else None
    if from_target:
        _from_target(opened, found, folder, path, overwrite=overwrite, json=json)
        places = [folder] if folder is not None else []
    else:
        artifacts = matching_artifacts(opened, found, path)
        if folder is not None:
            _download(opened, found, artifacts, folder, overwrite=overwrite)
        if json:
            print_json(artifacts)
        elif folder is None:
            _print_table(opened, found, artifacts, path)
        places = [folder / each.path for each in artifacts] if folder is not None else []
    if open and folder is not None:
        shown = show(places[0] if len(places) == 1 else folder)
        TerminalWatcher().say(f"Opened {shown}")


def _one_content(opened: Opened, run: Run, path: str | None, *, others: bool) -> Iterator[bytes]:
    """The content of the one file that is meant."""
    from amltool.commands.artifacts import artifact_content
    from amltool.commands.outputs import matching_artifacts
    from amltool.errors import UserError

    if path is None or others:
        raise UserError(
            "--stdout prints the one file that --path names, and nothing else.",
            f"For example: amltool outputs {run.run_id} --path console.log --stdout",
        )
    artifacts = matching_artifacts(opened, run, path)
    if len(artifacts) > 1:
        raise UserError(
            f"{path!r} names {len(artifacts)} files of run {run.run_id}, and --stdout prints one.",
            f"Name one of: {', '.join(each.path for each in artifacts[:5])}",
        )
    return artifact_content(opened, run, artifacts[0].path)


def _download(opened: Opened, run: Run, artifacts: Sequence[Artifact], folder: Path, *, overwrite: bool) -> None:
    from amltool.commands.outputs import download as write

    with told_progress("downloading", sum(each.size for each in artifacts)) as progress:
        places = write(opened, run, artifacts, folder, overwrite=overwrite, progress=progress)
    for artifact, place in zip(artifacts, places, strict=True):
        TerminalWatcher().say(f"Artifact {artifact.path} has been downloaded to {place}")


def _print_table(opened: Opened, run: Run, artifacts: Sequence[Artifact], path: str | None) -> None:
    from amltool.commands.left_out import omissions_of
    from amltool.errors import UserError
    from amltool.render import artifacts_table, omissions_table

    print(artifacts_table(artifacts))
    try:
        omitted = omissions_of(opened, run, path)
    except UserError as error:  # its list is in another clone, and what there is was shown
        TerminalWatcher().say(str(error))
        return
    if omitted:
        print(f"\nLeft out:\n{omissions_table(omitted)}")


def _from_target(
    opened: Opened, run: Run, folder: Path | None, path: str | None, *, overwrite: bool, json: bool
) -> None:
    from amltool.commands.left_out import TargetFolder, omissions_of
    from amltool.errors import UserError
    from amltool.render import left_out_table

    omitted = omissions_of(opened, run, path)
    if not omitted:
        what = "nothing" if path is None else f"nothing that {path!r} names"
        raise UserError(f"Run {run.run_id} left out {what}.", f"Its files are all kept: amltool outputs {run.run_id}")
    there = TargetFolder(opened, run)
    found = there.look(omitted)
    if folder is None:
        print_json(found) if json else print(left_out_table(found))
        return
    if path is None:  # of all that were left out, those that are no files any more stay where they are
        for each in found:
            if each.there is None:
                TerminalWatcher().say(f"{each.path} is not fetched: {each.omission.reason}.")
        found = [each for each in found if each.there is not None] or found
    sizes = sum(each.there.size for each in found if each.there is not None)
    with told_progress("fetching", sizes) as progress:
        fetched = there.fetch(found, folder, overwrite=overwrite, progress=progress)
    for one in fetched:
        TerminalWatcher().say(f"Artifact {one.path} has been downloaded to {one.place} (SHA-256 {one.sha256})")
    if json:
        print_json(fetched)


@contextlib.contextmanager
def told_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how much came so far and how fast, and say that it goes on from there where it was interrupted."""
    watcher = TerminalWatcher()
    began, done = time.monotonic(), [0]

    def progress(size: int) -> None:
        done[0] += size
        watcher.progress(what, size, total)

    try:
        yield progress
    except KeyboardInterrupt:
        watcher.close()
        watcher.say("\nInterrupted: what came is kept, and the same command goes on with it.")
        raise
    finally:
        watcher.close()
    from amltool.render import rate_line

    if took := rate_line(done[0], time.monotonic() - began):
        watcher.say(took)
