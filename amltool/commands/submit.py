"""Submit: a commit becomes a run."""

from __future__ import annotations

import contextlib
import posixpath
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from amltool.commands.driving import drive_in_background, finish, hand_over, prepare_drive
from amltool.commands.inputs import profile_of
from amltool.commands.opening import Opened
from amltool.commands.run_request import request_of
from amltool.commands.weighing import refuse_over_limits, weighed
from amltool.configuration.compute import read_compute
from amltool.configuration.folder import FOLDER, read_if_there
from amltool.configuration.secrets import resolve_variables
from amltool.errors import TargetError, UserError
from amltool.files import safe_text
from amltool.git.command import Git
from amltool.git.listing import Beside
from amltool.git.snapshots import take
from amltool.git.survey import Survey, survey
from amltool.git.trees import commit_named
from amltool.git.working_state import Moment, in_one_moment
from amltool.history.journal import JournalEntry, RunRequest, Step
from amltool.launchers.base import LaunchState
from amltool.layout import LOCK_FILE
from amltool.limits import shown
from amltool.run import EXACTLY, Exit, RunRecord, RunStatus, SettingsUsed, Tolerances, timestamp
from amltool.run_input import RunInput
from amltool.snapshot import Snapshot
from amltool.targets.base import drive
from amltool.targets.drive import Drive, Target
from amltool.targets.placing import remove_run_folders
from amltool.targets.watcher import TailWatcher, Watcher

LONGEST_REASON = 300


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks for; everything left out comes from the project's configuration.

    ``prepare``: build the environment whatever the run configuration says; ``lock``: from this lock. ``tolerances``
    are those of the verdict on ``rerun_of``. ``settings`` and ``compute`` are what took effect on that run: the
    settings are used again, the difference to the compute target as it is now is said. ``inputs``: by name, a link
    file or ``RUN:PATH``; ``found_inputs`` are those of a rerun.
    """

    script: str | None = None
    arguments: Sequence[str] = ()
    target: str | None = None
    run_configuration: str | None = None
    commit: str | None = None
    require_clean: bool | None = None
    source_directory: str = "."
    variables: Mapping[str, str] = {}
    inputs: Mapping[str, str] = {}
    found_inputs: Sequence[RunInput] = ()
    timeout_s: float | None = None
    tracked: bool | None = None
    prepare: bool = False
    lock: bytes | None = None
    base_commit: str | None = None
    rerun_of: str | None = None
    tolerances: Tolerances = EXACTLY
    settings: SettingsUsed | None = None
    compute: Mapping[str, Any] = {}
    sweep_id: str | None = None


class Submitted(msgspec.Struct, frozen=True):
    """A run that was started, or waits for its turn (``status``); ``record`` once it was followed to its end.

    ``kept_in`` is the folder that holds the files of a run of which no record is kept.
    """

    run_id: str
    record: RunRecord | None
    kept_in: str | None = None
    status: RunStatus = RunStatus.RUNNING


class Interrupted(Exception):  # noqa: N818 - no error: the run goes on
    """The user pressed Ctrl-C; ``run_id`` lives on, or ``None`` when nothing was started."""

    def __init__(self, run_id: str | None) -> None:
        super().__init__(run_id)
        self.run_id = run_id


def submit(opened: Opened, wanted: Submission, watcher: Watcher, *, detach: bool = False) -> Submitted:
    """Run a script of a snapshot; follow it to its end unless ``detach``.

    Raises:
        UserError: the run cannot be started; nothing was started.
        Interrupted: the user pressed Ctrl-C.
    """
    if not opened.project.has_aml_config:
        raise _no_project(opened)
    _load_early(opened.project.root, wanted.target or wanted.run_configuration or "")
    opened.ask_for_user()
    snapshot, notices = in_one_moment(opened.git, lambda moment: take_snapshot(opened, wanted, moment))
    request, target = request_of(opened, wanted, snapshot, watcher)
    resolve_variables(request.environment_variables)  # a secret that is not there is found out before a run is
    for notice in notices:
        watcher.say(notice)
    entry = _add_to_journal(opened, request, snapshot)
    if wanted.lock is not None:
        entry.keep(LOCK_FILE, wanted.lock)
    if not detach:
        watcher.say(f"RunId: {entry.run_id}\n")
    tail = TailWatcher(watcher)
    submitted = start(opened, entry, tail, snapshot, target, detach=detach)
    if submitted.record is not None and submitted.record.status is RunStatus.FAILED:
        from amltool.commands.missing_files import missing_file

        said = missing_file(opened, snapshot, tail.tail)
        if said:
            watcher.say(said)
    return submitted


def _add_to_journal(opened: Opened, request: RunRequest, snapshot: Snapshot) -> JournalEntry:
    """Write a run down and keep its snapshot, both at once: from then on nothing takes it away.

    Raises:
        UserError: one of them cannot be done; nothing is left of the run.
    """
    keeping = Beside(lambda: _keep(opened.git, request, snapshot))
    try:
        entry = opened.journal.add(request)
    finally:
        keeping.wait()
    try:
        keeping.result()
    except BaseException:
        entry.discard()
        raise
    return entry


def _keep(git: Git, request: RunRequest, snapshot: Snapshot) -> None:
    from amltool.git.notes import keep_for_run

    for folder, commit in snapshot.submodules:
        keep_for_run(Git.of_submodule(Path(folder)), commit, commit)
    base = request.base_commit if request.dirty else request.commit
    keep_for_run(git, request.commit, base)


def _load_early(root: Path, name: str) -> None:
    """Load what Docker takes and connect to another machine while Git takes the snapshot, where the target looks like
    one that needs it: a guess by its name, before anything is read for good."""
    with contextlib.suppress(UserError):  # said when it is read for good
        content = read_if_there(root / FOLDER / f"{name}.compute") or b""
        if b"docker" in content:
            threading.Thread(target=_load_docker, args=(b"address" not in content,), daemon=True).start()
        if b"address" in content:
            threading.Thread(target=_connect_early, args=(name, content), daemon=True).start()


def _load_docker(here: bool) -> None:
    from amltool.targets.containers import load

    load(here=here)


def _connect_early(name: str, content: bytes) -> None:
    from amltool.targets.over_ssh import connect_early

    with contextlib.suppress(UserError):  # said when it is needed
        connect_early(read_compute(name, content, name))


def _no_project(opened: Opened) -> UserError:
    """What to do where there is no project: change to the one below, or make one."""
    listed = opened.git.text("ls-files", "-z", "--", "*/aml_config/*.runconfig").split("\0")
    folders = sorted({path.rsplit("/aml_config/", 1)[0] for path in listed if path})
    remedy = f"Change to one of: {', '.join(folders[:5])}" if folders else "Make it a project: amltool init"
    return UserError(f"{opened.project.root} has no aml_config folder, so it is no project.", remedy)


def take_snapshot(opened: Opened, wanted: Submission, moment: Moment) -> tuple[Snapshot, list[str]]:
    """Check the limits, then take the snapshot; with what is worth knowing about it.

    Raises:
        UserError: it is over the limits, there is no such commit or folder, or the tree has to be clean and is not.
    """
    git, settings = opened.git, opened.project.settings
    commit = None
    if wanted.commit is not None:
        commit = commit_named(git, wanted.commit)
    found = survey(git, opened.prefix, wanted.source_directory, profile_of(wanted, opened.profile), commit)
    if not found.sizes and found.source_directory != ".":
        raise UserError(
            f"There is no folder {wanted.source_directory!r} in the snapshot, or nothing in it.",
            "--source-directory takes a folder of the project that holds files Git knows.",
        )
    for folder in (opened.prefix, found.source_directory):
        if safe_text(folder) != folder:
            raise UserError(
                f"The name of the folder {safe_text(folder)} is not UTF-8, and no record can hold it.", "Rename it."
            )
    require_clean = settings.require_clean if wanted.require_clean is None else wanted.require_clean
    if require_clean and (found.dirty or found.unclean):
        raise _not_clean(found)
    found.refuse()
    notices: list[str] = []
    what = weighed(found, opened.project.root, wanted.script or settings.script)
    refuse_over_limits(what, settings.limits, notices.append)
    moment.watch(posixpath.join(found.prefix, change.path) for change in found.changes)
    snapshot = take(git, found)
    if snapshot.size != sum(found.sizes.values()):
        sizes = {file.path: file.size for file in snapshot.files}
        sizes.update({path: large.size for path, large in snapshot.large_files.items()})
        refuse_over_limits(msgspec.structs.replace(what, sizes=sizes), settings.limits, lambda _: None)
    notices += (f"{each.message} {each.remedy}" for each in found.notices)
    notices += (f"{shown(path)} was written meanwhile: the snapshot has what was read." for path in moment.written)
    if snapshot.dirty:
        count = len(found.changes)
        notices.append(
            f"Uncommitted work ({count} file{'s' * (count != 1)}) is in snapshot {snapshot.commit[:12]}, "
            f"on top of {snapshot.base_commit[:12]}; your branch, index and files are as they were."
        )
    return snapshot, notices


def _not_clean(found: Survey) -> UserError:
    said = [each.message for each in found.unclean]
    if found.dirty:
        changed = ", ".join(shown(change.path) for change in found.changes[:5])
        said.insert(0, f"There is uncommitted work ({changed}), and a clean tree is required.")
    else:
        said.append("A clean tree is required.")
    return UserError("\n".join(said), "\n".join(["Commit it first.", *(each.remedy for each in found.unclean)]))


def start(
    opened: Opened,
    entry: JournalEntry,
    watcher: Watcher,
    snapshot: Snapshot | None = None,
    target: Target | None = None,
    *,
    detach: bool,
) -> Submitted:
    """Drive a run that stands in the journal: to its launch when detached (or to where it waits for its turn), else to
    its end."""
    with ExitStack() as stack:
        stack.enter_context(entry.driven())
        try:
            run = prepare_drive(opened, entry, watcher, snapshot, target)
        except BaseException:
            entry.discard()
            raise
        try:
            if not (detach and _is_queued(run)):
                drive(run, until=Step.LAUNCHED)
            if not detach:
                record = finish(opened, run)
                kept_in = None if run.request.tracked else str(run.folder.work)
                return Submitted(entry.run_id, record, kept_in)
        except Exception as error:
            if run.state.step in (Step.REQUESTED, Step.PREPARED, Step.PLACED):
                _abandon(opened, run, error, is_known=not detach)
            raise
        except KeyboardInterrupt:
            if run.state.step in (Step.REQUESTED, Step.PREPARED):
                _abandon(opened, run, None, is_known=not detach)
                raise Interrupted(None) from None
            stack.close()
            _let_go(opened, run)
            raise Interrupted(entry.run_id) from None
    _let_go(opened, run)
    return Submitted(entry.run_id, None, status=run.state.status)


def _let_go(opened: Opened, run: Drive) -> None:
    run.let_go()
    if run.state.step is Step.PLACED:
        hand_over(opened, run.entry)
    else:
        drive_in_background(opened, run.entry)


def _is_queued(run: Drive) -> bool:
    """Drive a run to where it may start; whether it has to wait there for its turn."""
    if run.target.max_concurrent_runs is None:
        return False
    drive(run, until=Step.PLACED)
    from amltool.targets.turns import has_turn

    return run.state.step is Step.PLACED and not has_turn(run, patient=False)


def _may_have_begun(run: Drive) -> bool:
    """Whether a start that its host did not answer in time was heard there after all."""
    if run.state.step is not Step.PLACED:
        return False
    seen = run.target.launcher.observe(run.target.host, run.folder, run.state.handle)
    return seen.state is not LaunchState.ABSENT


def _abandon(opened: Opened, run: Drive, why: Exception | None, *, is_known: bool) -> None:
    """Nothing of the run was started: record why where its id was printed (``is_known``), else leave no trace of it.
    Where its host is away, that is left to whoever reaches it next: then the run ends as canceled."""
    from amltool.hosts.ssh_failures import AwayError

    try:
        if isinstance(why, AwayError) or (isinstance(why, TargetError) and _may_have_begun(run)):
            raise why
        run.target.launcher.forget(run.target.host, run.folder)
        remove_run_folders(run.target.host, run.folder)
    except TargetError as error:
        run.entry.ask_to_cancel(f"not started: {error.what.rstrip('.')}")
    except Exception:
        _end_unstarted(opened, run, why, is_known=is_known)
        raise
    except BaseException:
        run.discard()
        raise
    else:
        _end_unstarted(opened, run, why, is_known=is_known)


def _end_unstarted(opened: Opened, run: Drive, why: Exception | None, *, is_known: bool) -> None:
    """An acknowledged run is in the history once, also where it never began. What cannot be written now stands in the
    journal, and the next command records it."""
    if not is_known or not run.request.tracked:
        run.discard()
        return
    reason = "interrupted before it started" if why is None else f"not started: {_first_line(why)}"
    end = Exit(canceled=why is None, reason=reason, ended=timestamp())
    with suppress(UserError, OSError):
        run.done(Step.COLLECTED, RunStatus.FINALIZING, end=end)
        record = finish(opened, run)
        run.watcher.say(f"Run {record.run_id} did not start; it is recorded as {record.status.value}.")


def _first_line(error: Exception) -> str:
    what = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    line = what.strip().partition("\n")[0].rstrip(".:")
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"
