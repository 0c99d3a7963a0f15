"""The task that runs recorded runs again: rerun."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from amltool.tasks.arguments import task
from amltool.tasks.failures import ExitCode, Outcome
from amltool.tasks.running import JSON_HELP, RUN_HELP, detached_line, interrupted, seconds
from amltool.tasks.watching import TerminalWatcher, outcome_of_verdict, print_json

if TYPE_CHECKING:
    from amltool.commands.judging import Rerun
    from amltool.commands.opening import Opened
    from amltool.commands.rerun import RerunOptions
    from amltool.run import Run

LONGEST_PATTERNS = 4000


@task(
    short={"target": "t"},
    help={
        "run": RUN_HELP,
        "target": "another compute target than the original's",
        "commit": "repeat every recorded run of this commit",
        "detach": "return as soon as it has started; its verdict is recorded with it",
        "rtol": "how much a metric may differ, relative to the original's",
        "atol": "how much a metric may differ, absolute",
        "ignore_output": "a file pattern of outputs that may differ; may be given several times",
        "ignore_metric": "a metric that may differ; may be given several times",
        "timeout": "end the run after so many seconds",
        "json": JSON_HELP,
    },
)
def rerun(
    context: Context,
    run: str = "@",
    *,
    target: str | None = None,
    commit: str | None = None,
    detach: bool = False,
    rtol: float = 0.0,
    atol: float = 0.0,
    ignore_output: tuple[str, ...] = (),
    ignore_metric: tuple[str, ...] = (),
    timeout: float | None = None,
    json: bool = False,
) -> Outcome:
    """Run a recorded run again and say whether it came out the same."""
    from amltool.commands.looking import finished
    from amltool.commands.opening import open_project
    from amltool.commands.rerun import RerunOptions, runs_of
    from amltool.run import Tolerances

    tolerances = Tolerances(_tolerance("rtol", rtol), _tolerance("atol", atol), ignore_output, ignore_metric)
    _refuse_long((*ignore_output, *ignore_metric))
    options = RerunOptions(target=target, tolerances=tolerances, timeout_s=seconds(timeout))
    opened = open_project()
    originals = [finished(opened, run)] if commit is None else runs_of(opened, commit)
    again = _detached if detach else _followed
    return again(opened, originals, options, json=json, as_list=commit is not None)


def _refuse_long(patterns: Sequence[str]) -> None:
    """They stand in the verdict, which is a line of a note."""
    from amltool.errors import UserError

    if sum(len(pattern.encode()) for pattern in patterns) > LONGEST_PATTERNS:
        raise UserError(
            f"--ignore-output and --ignore-metric take {LONGEST_PATTERNS} bytes together at most.",
            "Name many by one pattern: --ignore-output 'plots/*'",
        )


def _tolerance(name: str, value: float) -> float:
    from amltool.errors import UserError

    if not (math.isfinite(value) and value >= 0):
        raise UserError(
            f"--{name} takes a number, 0 or more, not {value:g}.", "What is not to count at all: --ignore-metric NAME"
        )
    return value


def _followed(opened: Opened, originals: Sequence[Run], options: RerunOptions, *, json: bool, as_list: bool) -> Outcome:
    from amltool.commands.rerun import rerun_all
    from amltool.commands.submit import Interrupted
    from amltool.render import verdict_text

    watcher = TerminalWatcher(json=json)

    def tell(done: Rerun) -> None:
        if as_list:
            watcher.say(verdict_text(done.report))
        elif not json:
            watcher.say("")
            print(verdict_text(done.report))

    try:
        done = rerun_all(opened, originals, options, watcher, tell)
    except Interrupted as stopped:
        if stopped.run_id is not None:
            watcher.say(f"\nIts verdict is recorded with it; to see it: amltool wait {stopped.run_id}")
        return interrupted(opened, stopped.run_id, watcher)
    finally:
        watcher.close()
    if json:
        documents = [each.to_json() for each in done]
        print_json(documents if as_list else documents[0])
    return outcome_of_verdict(*(each.report.verdict for each in done))


def _detached(opened: Opened, originals: Sequence[Run], options: RerunOptions, *, json: bool, as_list: bool) -> Outcome:
    from amltool.commands.rerun import begin
    from amltool.commands.submit import Interrupted

    watcher, documents = TerminalWatcher(json=json), []
    try:
        for original in originals:
            submitted = begin(opened, original, options, watcher, detach=True)
            watcher.say(f"{detached_line(submitted)}\nIts verdict: amltool wait {submitted.run_id}")
            documents.append(
                {"run_id": submitted.run_id, "rerun_of": original.run_id, "status": submitted.status.value}
            )
    except Interrupted as stopped:
        return interrupted(opened, stopped.run_id, watcher)
    finally:
        watcher.close()
    if json:
        print_json(documents if as_list else documents[0])
    return Outcome(ExitCode.DONE)
