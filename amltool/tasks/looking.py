"""Tasks that look at runs: runs, show, compare, restore, history.check."""

from __future__ import annotations

import os

from invoke.context import Context

from amltool.tasks.arguments import task
from amltool.tasks.failures import ExitCode, Outcome
from amltool.tasks.running import JSON_HELP, RUN_HELP
from amltool.tasks.watching import TerminalWatcher, print_json


@task(
    short={"limit": "n"},
    help={
        "limit": "how many of the newest (0: all; 20, and all with --query)",
        "status": "only runs of this status",
        "query": "a JMESPath query on the rows (metrics are top-level keys)",
        "best": "the runs with the highest value of this metric first (-NAME: the lowest)",
        "all_clones": "with runs of other clones that the artifact store shows",
        "json": JSON_HELP,
    },
    dashed=("best",),
)
def runs(
    context: Context,
    *,
    limit: int | None = None,
    status: str | None = None,
    query: str | None = None,
    best: str | None = None,
    all_clones: bool = False,
    json: bool = False,
) -> None:
    """List the newest runs, finished or not."""
    from amltool.commands.artifacts import whole_run
    from amltool.commands.looking import list_runs
    from amltool.commands.opening import open_project
    from amltool.commands.queries import query_runs
    from amltool.render import query_text, runs_table

    asked = limit if limit is not None else 20 if query is None else 0
    shown = asked if asked > 0 else None
    only = query is not None  # of what is not recorded yet there is no more than a row
    opened = open_project()
    listing = list_runs(opened, limit=shown, status=status, best=best, recorded_only=only, all_clones=all_clones)
    for sentence in listing.told:
        TerminalWatcher().say(sentence)
    if query is not None:
        result = query_runs([whole_run(opened, run) for run in listing.runs], query)
        print_json(result) if json else print(query_text(result))
    elif json:
        print_json([*listing.unfinished, *(run.to_json() for run in listing.runs)])
    else:
        print(runs_table(listing.runs, listing.unfinished))


@task(help={"run": RUN_HELP, "json": JSON_HELP})
def show(context: Context, run: str = "@", *, json: bool = False) -> None:
    """Show one run: what ran, where, how it ended, metrics, artifacts, verdicts; or how far it is."""
    from amltool.commands.artifacts import whole_run
    from amltool.commands.looking import shown
    from amltool.commands.opening import open_project
    from amltool.render import run_text, unfinished_text
    from amltool.run import Run

    opened = open_project()
    found = shown(opened, run)
    if isinstance(found, Run):
        print_json(whole_run(opened, found).to_json()) if json else print(run_text(found))
    else:
        print_json(found) if json else print(unfinished_text(found))


@task(help={"runs": "two runs or more, separated by commas or blanks", "json": JSON_HELP})
def compare(context: Context, *runs: str, json: bool = False) -> None:
    """Put runs side by side: code, configuration, environment, metrics, outputs."""
    from amltool.commands.comparing import compare as put_side_by_side
    from amltool.commands.looking import finished
    from amltool.commands.opening import open_project
    from amltool.render import comparison_text

    opened = open_project()
    names = [name for word in runs for name in word.split(",") if name]
    made = put_side_by_side(opened, [finished(opened, name) for name in names])
    print_json(made) if json else print(comparison_text(made))


@task(help={"run": RUN_HELP, "to": "a new or empty folder (default: restored-RUN beside the project's files)"})
def restore(context: Context, run: str = "@", *, to: str | None = None) -> None:
    """Write the files of a run's snapshot to a folder."""
    from pathlib import Path

    from amltool.commands.looking import finished
    from amltool.commands.opening import open_project
    from amltool.commands.restore import restore as write

    opened = open_project()
    found = finished(opened, run)
    folder = Path(os.path.abspath(to or f"restored-{found.run_id}"))  # noqa: PTH100 - without .., links kept
    count = write(opened, found, folder)
    TerminalWatcher().say(f"Restored {count} files of commit {found.record.commit[:12]} to {folder}")
    if folder.is_relative_to(opened.project.root):
        TerminalWatcher().say("The folder lies in the project: while it is there, the next submit takes it along.")


@task(
    name="check",
    help={
        "store": "read all that the artifact stores keep, also elsewhere, and name what is foreign there",
        "repair": "let the ref of the snapshots keep only what is there",
        "json": JSON_HELP,
    },
)
def check_history(context: Context, *, store: bool = False, repair: bool = False, json: bool = False) -> Outcome:
    """Verify the run history: every note, every snapshot, every artifact that is kept here."""
    from amltool.commands.checking import check_history as verify
    from amltool.commands.checking import repair_history
    from amltool.commands.opening import open_project
    from amltool.render import findings_text

    opened = open_project()
    if repair:
        repair_history(opened)
    report = verify(opened, store=store)
    print_json(report) if json else print(findings_text(report))
    return Outcome(ExitCode.DONE if report.ok else ExitCode.MISTAKE)
