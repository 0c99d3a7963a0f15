"""Tasks about the files that runs leave: outputs, promote, asset.download, artifacts.push and artifacts.pull."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from amltool.tasks.arguments import task
from amltool.tasks.failures import ExitCode, Outcome
from amltool.tasks.running import JSON_HELP, RUN_HELP
from amltool.tasks.watching import TerminalWatcher, print_json, write_bytes

if TYPE_CHECKING:
    from amltool.artifact import Artifact
    from amltool.commands.exchange import Exchanged, Place
    from amltool.commands.opening import Opened
    from amltool.commands.shared_runs import ElsewhereError
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
    from amltool.commands.shared_runs import ElsewhereError

    opened = open_project()
    try:
        found = finished(opened, run)
    except ElsewhereError as error:
        if download is not None or path is not None or open or stdout or from_target:
            raise
        _list_so_far(error, json=json)
        return
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


def _list_so_far(error: ElsewhereError, *, json: bool) -> None:
    """The files that are shown of a run which another clone drives."""
    from amltool.render import live_files_table

    files = error.shared.files()
    print_json(files) if json else print(live_files_table(files))
    TerminalWatcher().say(f"{error.what} These are its files until now; its outputs come at its end.")


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


@task(
    short={"name": "n"},
    help={
        "run": RUN_HELP,
        "path": "the file of the run, such as outputs/model.pkl",
        "name": "what the asset is called (default: the file's own name)",
        "json": JSON_HELP,
    },
)
def promote(context: Context, run: str = "@", *, path: str, name: str | None = None, json: bool = False) -> None:
    """Make a file of a run an asset: a link in assets/ that others download it by and runs take as an input."""
    from amltool.commands.looking import finished
    from amltool.commands.opening import open_project
    from amltool.commands.promote import promote as make_asset

    opened = open_project()
    found = finished(opened, run)
    link, place = make_asset(opened, found, path, name)
    shown = place.relative_to(opened.project.root)
    TerminalWatcher().say(
        f"{link.path} of run {link.run_id} is version {link.version} of the asset {link.name}: {shown}\n"
        "Commit that file, so that others have it, too."
    )
    if json:
        print_json(link)


@task(
    name="download",
    short={"link_file": "l", "directory": "d"},
    help={
        "link_file": "the link that promote wrote, such as assets/model.pkl.link",
        "directory": "the folder to bring the file to (default: the current one)",
        "overwrite": "replace a file that is there",
    },
)
def download_asset(context: Context, *, link_file: str, directory: str = ".", overwrite: bool = False) -> None:
    """Bring an asset to a folder, by its link."""
    from amltool.commands.opening import open_project
    from amltool.commands.promote import complete_link, read_link
    from amltool.commands.promote import download_asset as write

    opened = open_project()
    link = complete_link(opened, read_link(Path(link_file)))
    with told_progress("downloading", link.size) as progress:
        place = write(opened, link, Path(directory), overwrite=overwrite, progress=progress)
    TerminalWatcher().say(f"Artifact {link.name} has been downloaded to {place}")


STORE_HELP = "a folder or azure://ACCOUNT/CONTAINER[/PREFIX] (default: {})"
CREDENTIAL_HELP = "what signs in there, as ${env:NAME} or ${keyring:service/user}, where the settings do not say"


@task(
    name="push",
    help={
        "runs": "runs, separated by commas or blanks (default: all)",
        "store": STORE_HELP.format("that of the settings"),
        "credential": CREDENTIAL_HELP,
        "json": JSON_HELP,
    },
)
def push_artifacts(
    context: Context, *runs: str, store: str | None = None, credential: str | None = None, json: bool = False
) -> Outcome:
    """Send the files of runs to an artifact store; what is there is not sent again."""
    from amltool.commands.exchange import push

    return _exchange(push, runs, store, credential, json=json)


@task(
    name="pull",
    help={
        "runs": "runs, separated by commas or blanks (default: all)",
        "store": STORE_HELP.format("where the records say"),
        "credential": CREDENTIAL_HELP,
        "json": JSON_HELP,
    },
)
def pull_artifacts(
    context: Context, *runs: str, store: str | None = None, credential: str | None = None, json: bool = False
) -> Outcome:
    """Bring the files of runs to this clone's own artifact store; what is here is not fetched again."""
    from amltool.commands.exchange import pull

    return _exchange(pull, runs, store, credential, json=json)


def _exchange(
    bring: Callable[[Opened, Sequence[Run], Place, Callable[[int], None]], Exchanged],
    names: Sequence[str],
    store: str | None,
    credential: str | None,
    *,
    json: bool,
) -> Outcome:
    from amltool.commands.exchange import place_of
    from amltool.commands.looking import finished
    from amltool.commands.opening import open_project
    from amltool.render import size

    place, opened = place_of(store, credential), open_project()
    words = [name for word in names for name in word.split(",") if name]
    found = [finished(opened, name) for name in words] if words else opened.history.runs()
    with told_progress("bringing artifacts", None) as progress:
        done = bring(opened, found, place, progress)
    watcher = TerminalWatcher()
    for each in done.missing:
        watcher.say(f"{each} is in no store that can be reached from here, or is damaged there.")
    if json:
        print_json(done)
    else:
        where = "this clone" if done.store == "file" else done.store
        print(f"{done.brought} files, {size(done.bytes)}, brought to {where}; {done.there} were there already.")
    return Outcome(ExitCode.MISTAKE if done.missing else ExitCode.DONE)


@contextlib.contextmanager
def told_progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
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
