"""Tasks about one run on its way: submit, wait, logs, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from amltool.tasks.arguments import remainder_arguments, task
from amltool.tasks.failures import ExitCode, Outcome
from amltool.tasks.watching import (
    TerminalWatcher,
    ending_line,
    outcome_of,
    outcome_of_verdict,
    print_json,
    second_interrupt,
    write_bytes,
)

if TYPE_CHECKING:
    from amltool.commands.judging import Rerun
    from amltool.commands.looking import Unrecorded
    from amltool.commands.opening import Opened
    from amltool.commands.submit import Submission, Submitted
    from amltool.run import RunRecord

JSON_HELP = "one JSON document on standard output, nothing else there"
RUN_HELP = "a run: unique prefix or suffix of its id, @ for the newest, @2 for the one before"


@task(
    short={"target": "t", "run_configuration": "c"},
    script_arguments=True,
    help={
        "script": "the script to run, in the project; its arguments follow --",
        "target": "compute target, or the run configuration of that name",
        "run_configuration": "run configuration (aml_config/NAME.runconfig)",
        "commit": "run this commit instead of the working folder",
        "clean": "refuse uncommitted work",
        "detach": "return as soon as the run has started",
        "source_directory": "folder of the project that is the run's root",
        "set": "NAME=VALUE, an environment variable of the run; may be given several times",
        "input": "NAME=assets/FILE.link or NAME=RUN:outputs/FILE, a file the run reads; may be given several times",
        "timeout": "end the run after so many seconds",
        "untracked": "keep no record of the run",
        "json": JSON_HELP,
    },
)
def submit(
    context: Context,
    script: str | None = None,
    *,
    target: str | None = None,
    run_configuration: str | None = None,
    commit: str | None = None,
    clean: bool = False,
    detach: bool = False,
    source_directory: str = ".",
    set: tuple[str, ...] = (),
    input: tuple[str, ...] = (),
    timeout: float | None = None,
    untracked: bool = False,
    json: bool = False,
) -> Outcome:
    """Run a script of a snapshot on a compute target and record it."""
    from amltool.commands.opening import open_project
    from amltool.commands.submit import Submission

    wanted = Submission(
        script=script,
        arguments=remainder_arguments(context),
        target=target,
        run_configuration=run_configuration,
        commit=commit,
        require_clean=True if clean else None,
        source_directory=source_directory,
        variables=_variables(set),
        inputs=_inputs(input),
        timeout_s=seconds(timeout),
        tracked=False if untracked else None,
    )
    return _submit(open_project(), wanted, detach=detach, json=json)


def _variables(pairs: tuple[str, ...]) -> dict[str, str]:
    from amltool.errors import UserError

    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"--set takes NAME=VALUE, not {pair!r}.", "For example: --set OMP_NUM_THREADS=2")
        variables[name] = value
    return variables


def _inputs(pairs: tuple[str, ...]) -> dict[str, str]:
    if not pairs:
        return {}
    from amltool.commands.lineage import named_inputs

    return named_inputs(pairs)


def seconds(timeout: float | None) -> float | None:
    """A time-out as it was given. Raises UserError where it is none."""
    from amltool.errors import UserError

    if timeout is not None and not timeout > 0:
        raise UserError(f"--timeout takes seconds, more than 0, not {timeout:g}.", "Leave it out for no time-out.")
    return timeout


def _submit(opened: Opened, wanted: Submission, *, detach: bool, json: bool) -> Outcome:
    from amltool.commands.submit import Interrupted, submit
    from amltool.run import fold

    watcher = TerminalWatcher(json=json)
    try:
        submitted = submit(opened, wanted, watcher, detach=detach)
    except Interrupted as stopped:
        return interrupted(opened, stopped.run_id, watcher)
    finally:
        watcher.close()
    if submitted.record is None:
        watcher.say(detached_line(submitted))
        if json:
            print_json({"run_id": submitted.run_id, "status": submitted.status.value})
        return Outcome(ExitCode.DONE)
    watcher.say(f"\n{ending_line(submitted.record, kept_in=submitted.kept_in)}")
    if json:
        print_json(fold(submitted.record, ()).to_json())
    return outcome_of(submitted.record)


def detached_line(submitted: Submitted) -> str:
    """That a run goes on without us, and how to come back to it."""
    on = "starts" if submitted.status.value == "Queued" else "goes on"
    return (
        f"RunId: {submitted.run_id}\nThe run {on} by itself. "
        f"Follow it: amltool logs -f {submitted.run_id}; cancel it: amltool cancel {submitted.run_id}"
    )


def interrupted(opened: Opened, run_id: str | None, watcher: TerminalWatcher) -> Outcome:
    """What a Ctrl-C leaves: the run, which a second one cancels."""
    from amltool.commands.looking import cancel_run, is_queued

    if run_id is None:
        watcher.say("\nInterrupted: nothing was started.")
        return Outcome(ExitCode.INTERRUPTED)
    on = "stays queued and starts by itself" if is_queued(opened, run_id) else "goes on without us"
    said = (
        f"\nRun {run_id} {on}. Follow it: amltool logs -f {run_id}\n"
        f"Cancel it: Ctrl-C again within two seconds, or later: amltool cancel {run_id}"
    )
    with second_interrupt(lambda: watcher.say(said)) as pressed:
        if pressed:
            watcher.say("Canceling ...")
            watcher.say(_canceled_line(cancel_run(opened, run_id)))
    return Outcome(ExitCode.INTERRUPTED)


@task(help={"run": RUN_HELP, "json": JSON_HELP})
def wait(context: Context, run: str = "@", *, json: bool = False) -> Outcome:
    """Follow a run to its end, and a rerun to its verdict; goes on with one whose submit was interrupted or killed."""
    from amltool.commands.looking import counted, unfinished_named, wait_for
    from amltool.commands.opening import open_project
    from amltool.targets.watcher import TailWatcher

    opened = open_project()
    watcher = TerminalWatcher(json=json)
    tail = TailWatcher(watcher)
    run = counted(opened, run)  # no other run, should a newer one be submitted meanwhile
    entry = unfinished_named(opened, run)
    try:
        found = wait_for(opened, run, tail)
    except KeyboardInterrupt:
        return interrupted(opened, entry.run_id if entry else None, watcher)
    finally:
        watcher.close()
    if found.record.status.value == "Failed":
        _tell_missing_file(opened, found.run_id, tail.tail, watcher)
    watcher.say(ending_line(found.record))
    again = _verdict_on(opened, found.record)
    if json:
        print_json(found.to_json())
    elif again is not None:
        from amltool.render import verdict_text

        print(verdict_text(again.report))
    return outcome_of(found.record) if again is None else outcome_of_verdict(again.report.verdict)


def _tell_missing_file(opened: Opened, run_id: str, tail: bytes, watcher: TerminalWatcher) -> None:
    """Say which file a failed run wanted that is only in the working folder, as `submit` does."""
    from amltool.commands.missing_files import missing_file_of

    said = missing_file_of(opened, run_id, tail)
    if said:
        watcher.say(said)


def _verdict_on(opened: Opened, record: RunRecord) -> Rerun | None:
    if record.rerun_of is None:
        return None
    from amltool.commands.judging import judged

    return judged(opened, record)


@task(
    short={"follow": "f"},
    help={
        "run": RUN_HELP,
        "follow": "go on until the run ends",
        "path": "a file under logs/ or outputs/ instead of the console",
        "list": "name the files under logs/ and outputs/ with their sizes, also while the run goes on",
        "to": "bring logs/ to this folder; with -f it grows as they do (for TensorBoard, say)",
        "json": "with --list: " + JSON_HELP,
    },
)
def logs(
    context: Context,
    run: str = "@",
    *,
    follow: bool = False,
    path: str = "console.log",
    list: bool = False,
    to: str | None = None,
    json: bool = False,
) -> None:
    """Print what a run printed, or one of its log files."""
    from amltool.commands.looking import console_of, counted
    from amltool.commands.opening import open_project
    from amltool.errors import UserError
    from amltool.layout import CONSOLE_FILE
    from amltool.targets.watcher import Silent, TailWatcher

    if list or to is not None:
        _files_of_run(run, to, follow=follow, json=json)
        return
    if json:
        raise UserError("What a run printed is no JSON document.", "Leave --json out, or give --list, too.")
    opened, watcher = open_project(), TerminalWatcher()
    run = counted(opened, run) if follow else run  # its verdict, and no other run's
    tail = TailWatcher(Silent())
    write_bytes(tail.passed(console_of(opened, run, follow=follow, path=path, watcher=watcher)))
    if follow:
        if path == CONSOLE_FILE:
            _tell_missing_file(opened, run, tail.tail, watcher)
        _tell_verdict(opened, run, watcher)


def _tell_verdict(opened: Opened, run: str, watcher: TerminalWatcher) -> None:
    """Who followed a rerun to its end is told what came of it."""
    from amltool.commands.looking import is_rerun, wait_for
    from amltool.targets.watcher import Silent

    if not is_rerun(opened, run):
        return
    again = _verdict_on(opened, wait_for(opened, run, Silent()).record)
    if again is not None:
        from amltool.render import verdict_text

        watcher.say(verdict_text(again.report))


def _files_of_run(run: str, to: str | None, *, follow: bool, json: bool) -> None:
    from pathlib import Path

    from amltool.commands.live_logs import files_so_far, keep_logs
    from amltool.commands.opening import open_project
    from amltool.render import live_files_table

    if to is not None:
        keep_logs(open_project(), run, Path(to), follow=follow, watcher=TerminalWatcher())
        return
    found = files_so_far(open_project(), run)
    print_json(found) if json else print(live_files_table(found))


@task(help={"run": RUN_HELP, "give_up": "end it here also when its machine does not answer, and may never again"})
def cancel(context: Context, run: str = "@", *, give_up: bool = False) -> Outcome:
    """Cancel a run: its whole process tree is gone when this returns."""
    from amltool.commands.looking import cancel_run
    from amltool.commands.opening import open_project
    from amltool.run import RunRecord

    record = cancel_run(open_project(), run, give_up=give_up)
    if isinstance(record, RunRecord) and _is_canceled(record) and give_up and record.reason:
        TerminalWatcher().say(
            f"Run {record.run_id} is recorded as {record.status.value} ({record.reason}). "
            f"When its machine is back: amltool clean --target {record.target}"
        )
    else:
        TerminalWatcher().say(_canceled_line(record))
    return Outcome(ExitCode.DONE if _is_canceled(record) else ExitCode.MISTAKE)


def _is_canceled(record: RunRecord | Unrecorded | None) -> bool:
    """Whether a cancel did it; of a run of which nothing is known any more, nothing is left."""
    from amltool.commands.looking import Unrecorded

    if isinstance(record, Unrecorded):
        return record.is_canceled
    return record is None or record.status.value == "Canceled"


def _canceled_line(record: RunRecord | Unrecorded | None) -> str:
    """What became of a run that was to be canceled."""
    from amltool.commands.looking import Unrecorded

    done = "Experiment run canceled successfully." if _is_canceled(record) else "The cancel came too late."
    if isinstance(record, Unrecorded):
        return f"{done}\n{record.told}"
    return done if record is None or _is_canceled(record) else f"{done}\n{ending_line(record)}"
