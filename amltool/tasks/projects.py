"""Tasks about a project: init, check, targets, runconfig, prepare, doctor, clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context

from amltool.tasks.arguments import task
from amltool.tasks.failures import ExitCode, Outcome
from amltool.tasks.running import JSON_HELP
from amltool.tasks.watching import TerminalWatcher, print_json

if TYPE_CHECKING:
    from amltool.commands.opening import Opened


@task(help={"json": JSON_HELP})
def init(context: Context, *, json: bool = False) -> None:
    """Make this repository a project; never overwrites a file."""
    from amltool.commands.init import init as make
    from amltool.commands.opening import open_repository
    from amltool.render import init_text

    made = make(*open_repository())
    print_json(made) if json else print(init_text(made))


@task(
    help={
        "commit": "look at this commit",
        "staged": "look at the index: what the next commit would hold",
        "list": "name every file of the snapshot",
        "json": JSON_HELP,
    },
)
def check(
    context: Context,
    *,
    commit: str | None = None,
    staged: bool = False,
    list: bool = False,
    json: bool = False,
) -> Outcome:
    """Say what a submit would take now, and what stands in its way."""
    from amltool.commands.checking import check as look
    from amltool.commands.opening import open_project
    from amltool.render import check_text

    report = look(open_project(), commit=commit, staged=staged, paths=list)
    print_json(report) if json else print(check_text(report))
    return Outcome(ExitCode.DONE if report["ok"] else ExitCode.MISTAKE)


@task(help={"check": "also look whether each can be used now; exit 1 when one cannot", "json": JSON_HELP})
def targets(context: Context, *, check: bool = False, json: bool = False) -> Outcome:
    """List the compute targets and the run configurations that use them."""
    from amltool.commands.opening import open_project
    from amltool.render import checked_targets_table, targets_table

    if not check:
        from amltool.commands.targets import list_targets

        rows = list_targets(open_project())
        print_json(rows) if json else print(targets_table(rows))
        return Outcome(ExitCode.DONE)
    from amltool.commands.reaching import check_targets

    checked = check_targets(open_project())
    print_json(checked) if json else print(checked_targets_table(checked))
    return Outcome(ExitCode.DONE if all(target.usable for target in checked) else ExitCode.MISTAKE)


@task(
    short={"target": "t"},
    help={
        "name": "the new run configuration's name; left out: list those there are",
        "target": "the compute target it uses",
        "framework": "Python or PySpark",
        "delete": "delete it",
        "json": JSON_HELP,
    },
)
def runconfig(
    context: Context,
    name: str | None = None,
    *,
    target: str | None = None,
    framework: str = "Python",
    delete: bool = False,
    json: bool = False,
) -> None:
    """Make, list or delete run configurations."""
    from amltool.commands.opening import open_project
    from amltool.commands.targets import delete_run_configuration, list_run_configurations, make_run_configuration

    opened = open_project()
    if name is None:
        names = list_run_configurations(opened)
        print_json([f"{each}.runconfig" for each in names]) if json else print("\n".join(names))
    elif delete:
        TerminalWatcher().say(f"Deleted {delete_run_configuration(opened, name)}")
    else:
        TerminalWatcher().say(f"Wrote {make_run_configuration(opened, name, target, framework)}")


@task(help={"json": JSON_HELP})
def doctor(context: Context, *, json: bool = False) -> Outcome:
    """Say what works here, and how to mend what does not."""
    from pathlib import Path

    from amltool.commands.doctor import examine
    from amltool.render import doctor_text

    findings = examine(Path.cwd())
    print_json(findings) if json else print(doctor_text(findings))
    return Outcome(ExitCode.MISTAKE if any(finding.level == "error" for finding in findings) else ExitCode.DONE)


@task(
    short={"target": "t", "run_configuration": "c", "yes": "y"},
    help={
        "target": "compute target, or the run configuration of that name",
        "run_configuration": "run configuration (aml_config/NAME.runconfig)",
        "check": "only say whether it is prepared; exit 1 when not",
        "script_action": "first run this shell script on the head node of a cluster; it is shown, and asked about",
        "yes": "run the script action without a question",
        "json": JSON_HELP,
    },
)
def prepare(
    context: Context,
    *,
    target: str | None = None,
    run_configuration: str | None = None,
    check: bool = False,
    script_action: str | None = None,
    yes: bool = False,
    json: bool = False,
) -> Outcome:
    """Build the execution environment of a compute target now."""
    from amltool.commands.opening import open_project
    from amltool.commands.preparing import prepare as build

    opened = open_project()
    watcher = TerminalWatcher(json=json)
    try:
        if script_action is not None:
            _run_script_action(opened, (target, run_configuration, script_action), watcher, check=check, yes=yes)
        report = build(opened, target, run_configuration, None if check else watcher)
    finally:
        watcher.close()
    print_json(report) if json else print(report.message)
    return Outcome(ExitCode.DONE if report.ready else ExitCode.MISTAKE)


def _run_script_action(
    opened: Opened, wanted: tuple[str | None, str | None, str], watcher: TerminalWatcher, *, check: bool, yes: bool
) -> None:
    from amltool.commands.script_actions import find_script_action, run_script_action
    from amltool.errors import UserError
    from amltool.tasks.connecting import TerminalQuestions

    if check:
        raise UserError("A script action is run, and --check only looks.", "Leave one of them out.")
    action = find_script_action(opened, *wanted)
    watcher.say(f"{action.file}:\n{action.text.rstrip()}\n")
    if not yes:
        questions = TerminalQuestions()
        if not questions.can_ask:
            raise UserError(
                f"Nobody can be asked here whether {action.file} may run on {action.host.name}.",
                "Add --yes when it may.",
            )
        if not questions.agrees(action.question):
            raise UserError(f"{action.file} was not run, and nothing was prepared.", "Leave --script-action out.")
    run_script_action(action, watcher)
    watcher.say(action.on_all_nodes)


@task(
    short={"yes": "y"},
    help={
        "target": "on this compute target only",
        "store": "also artifacts that no run of the history names",
        "environments": "also execution environments that amltool built: images, virtual environments",
        "only_copies": "also folders with what is nowhere else: files not collected, untracked runs",
        "yes": "do it; without this it says what could go, and asks where somebody can answer",
        "json": JSON_HELP,
    },
)
def clean(
    context: Context,
    *,
    target: str | None = None,
    store: bool = False,
    environments: bool = False,
    only_copies: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Say what can go and how much it is: run folders, left-overs; remove it when told so, or with --yes."""
    from amltool.commands.cleaning import Wanted, find_removable, remove
    from amltool.commands.opening import open_project
    from amltool.render import removable_text
    from amltool.tasks.connecting import TerminalQuestions

    opened = open_project()
    wanted = Wanted(store=store, only_copies=only_copies, environments=environments)
    say = TerminalWatcher(json=json).say
    found = find_removable(opened, wanted, target=target, say=say)
    if found and not yes and not json and (questions := TerminalQuestions()).can_ask:
        print(removable_text(found))
        yes = questions.agrees("Remove it?")
        if not yes:
            return
    if yes:
        found = remove(opened, found, say)
    print_json(found) if json else print(removable_text(found, removed=yes))
