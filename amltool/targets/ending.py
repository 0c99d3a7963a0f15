"""The steps after a run ended: collect, record, release."""

from __future__ import annotations

import contextlib
import io
import posixpath
from functools import partial
from typing import TYPE_CHECKING

from amltool.artifact import Artifact
from amltool.errors import UserError
from amltool.git.command import GitError
from amltool.history.journal import Step
from amltool.layout import LARGEST_RECORD, LOCK_FILE
from amltool.run import RunRecord, RunStatus, SharedFolder, event_to_line, timestamp
from amltool.targets import placing
from amltool.targets.drive import Drive, prepared_of, read_committed
from amltool.targets.free_folders import FreeFolder
from amltool.targets.meanwhile import Meanwhile, share_at_end
from amltool.targets.recording import record_of
from amltool.targets.variables import SHARE_VARIABLE

if TYPE_CHECKING:
    from amltool.stores.base import ArtifactStore

MOST_SAID = 20


def forget(run: Drive) -> None:
    """Remove what the launcher of a run left whose end is in the journal, and give up its turn; may take a while.

    An end without its bootstrap's proof may be made up by the run: whatever is alive of it is ended first.
    """
    host, launcher = run.target.host, run.target.launcher
    run.is_gone = launcher.forget(host, run.folder) or run.state.end.proof == run.marks.proof
    if run.state.launched is not None and not run.is_gone:
        with contextlib.suppress(OSError, UserError):
            launcher.end(host, run.folder, run.state.handle)
    if run.target.max_concurrent_runs is not None:
        from amltool.targets.turns import leave

        leave(run)


def collect_run(run: Drive) -> None:
    """Collect outputs, logs, console and metrics into the artifact store, and write down what was found."""
    from amltool.targets.collecting import Seen, as_record_list, collect
    from amltool.targets.new_files import changed_files, new_files, say_new_files

    run.enter(RunStatus.FINALIZING)
    request, target, store = run.request, run.target, run.open_store()
    before = _files_before(run)
    at_end, changed = share_at_end(run), changed_files(run)
    found = collect(
        target.host,
        run.folder,
        store,
        max_artifact_size=request.max_artifact_size,
        unchanged={path: blob for path, blob in before.items() if path.startswith("logs/")},
        progress=lambda size: run.watcher.progress("collecting", size, None),
        in_run=Seen(target.folder_in_run(run.folder).path, target.share_in_run),
    )
    shared = None
    if at_end is not None:
        shared = SharedFolder(
            host_path=f"{target.share}/",
            run_path=f"{target.share_in_run}/",
            at_start=as_record_list(run.state.share_at_start, store, "shared_folder_at_start.json"),
            at_end=as_record_list(at_end.result(), store, "shared_folder_at_end.json"),
        )
    artifacts = [*found.artifacts, *_environment_lock(run, store)]
    left = new_files(changed.result(), before, found.linked)
    store.flush()
    run.done(
        Step.COLLECTED,
        RunStatus.FINALIZING,
        artifacts=as_record_list(artifacts, store, "artifacts.json"),
        omitted=as_record_list(found.omitted, store, "omitted.json"),
        metrics=found.tracked.metrics,
        parameters=found.tracked.parameters,
        tags=found.tracked.tags,
        shared_folder=shared,
        left_behind=left,
    )
    if left is not None:
        say_new_files(run, left)
    if len(found.omitted) > MOST_SAID:
        run.watcher.say(f"{len(found.omitted):,} files were not collected; the first {MOST_SAID}:")
    for omission in found.omitted[:MOST_SAID]:
        where = f"; it lies in {omission.place}" if omission.place else ""
        run.watcher.say(f"{omission.path} was not collected: {omission.reason}{where}.")


def _files_before(run: Drive) -> dict[str, str]:
    """The blob of each file that was there before the run; none are known where the snapshot is gone."""
    try:
        return {file.path: file.object_id for file in run.snapshot().files}
    except (UserError, GitError):
        return {}


def _environment_lock(run: Drive, store: ArtifactStore) -> list[Artifact]:
    """The lock as an artifact; a run that was canceled before it was prepared has none."""
    if not run.state.environment.lock_sha256:
        return []
    kept = store.put(io.BytesIO(prepared_of(run).lock), name=LOCK_FILE)
    return [Artifact(LOCK_FILE, kept.size, kept.sha256, store.address)]


def record_to_keep(run: Drive) -> RunRecord:
    """The record of a run as the history has it: no longer than a note should hold."""
    record = record_of(run.request, run.state)
    if len(event_to_line(record)) <= LARGEST_RECORD:
        return record
    from amltool.targets.bounding import bounded

    return bounded(record, run.open_store)


def record_run(run: Drive) -> RunRecord:
    """Add the record to the run history."""
    record = record_to_keep(run)
    if run.target.begin_place is not None:
        run.freeing = Meanwhile(partial(_free_folder, run))
    if run.request.tracked:
        _add_to_history(run, record)
    if run.publication is not None:
        run.publication.finish(record)
    run.done(Step.RECORDED, record.status)
    if record.status is RunStatus.FAILED and run.target.hint and _looks_for_share(run):
        run.watcher.say(run.target.hint)
    return record


def _add_to_history(run: Drive, record: RunRecord) -> None:
    """Record it, and keep its snapshot, which the submit did; if that is gone all the same the record says what ran."""
    from amltool.git.keeping import SnapshotGoneError

    history = run.open_history()
    try:
        history.record([record], keep=[record.commit])
    except SnapshotGoneError:
        history.record([record])
        run.watcher.say(f"The snapshot {record.commit[:12]} is gone from the repository: the run cannot be run again.")


def _looks_for_share(run: Drive) -> bool:
    content = read_committed(run.git, run.request, posixpath.join(run.request.source_directory, run.request.script))
    return SHARE_VARIABLE.encode() in (content or b"")


def release(run: Drive) -> None:
    """After the record: free the run's folder for the next run, and take the run out of the journal."""
    if run.freeing is not None:
        run.freeing.result()
    else:
        _free_folder(run)
    run.entry.discard()


def _free_folder(run: Drive) -> None:
    """Nothing in it is needed any more once it is collected: over a network that is said while the run is recorded."""
    if run.entry.is_given_up:  # `clean` finds it when the host answers again
        return
    if run.forgetting is not None:
        run.forgetting.join()
    else:
        forget(run)
    omitted = run.state.omitted
    key = placing.project_key(run.git, run.request.prefix)
    with contextlib.suppress(OSError, UserError):  # it is away just now: `clean` finds what stays
        if run.state.launched is None:  # nobody knows how much of it lies there
            placing.remove_run_folders(run.target.host, run.folder)
        elif not run.request.tracked:
            placing.mark_untracked(run.target.host, run.folder, key, timestamp())
        elif not omitted:
            _offer(run, key)


def _offer(run: Drive, key: str) -> None:
    """Let the next run have the folder, where it is known what was placed there, and that nothing of the run is alive
    which could write there; else it goes."""
    host, folder = run.target.host, run.folder
    if run.state.placed is None or not run.is_gone:
        placing.remove_run_folders(host, folder)
        return
    free = FreeFolder(key, run.state.placed)
    placing.release(run.git, host, folder, free, timestamp(), run.request.keep_run_folders)
