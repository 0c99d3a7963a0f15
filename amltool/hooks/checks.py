"""The checks that pre-commit runs: ``amltool-check-limits`` and its like (docs/checks.md).

Each parses, asks ``amltool.commands.checks``, says what was found, and leaves with 0, 1, or 3 for a fault of ours.
They stand before every commit, so what is not needed is not imported; without arguments not even argparse.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from amltool.commands.checks.subject import Subject, open_subject, select_snapshot
from amltool.errors import ConfigurationError, UserError
from amltool.limits import Level, Problem

if TYPE_CHECKING:
    from amltool.commands.checks.ignoring import Looked
    from amltool.commands.checks.limits import LimitArguments
    from amltool.git.survey import Survey

DONE, REFUSED, BUG, INTERRUPTED = 0, 1, 3, 130
_OF_IGNORE = "ignore-"
"""How the ids of notices begin that are about the ignore file: `check_ignore` shows them."""


class Options(msgspec.Struct, frozen=True):
    """What the command line of a check says."""

    json: bool = False
    strict: bool = False
    everything: bool = False
    commit: str | None = None
    known: str | None = None
    remote: str | None = None
    limits: LimitArguments | None = None
    notebook_output_size: int | None = None
    allow: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What a check found; ``notes`` are facts that ask for nothing, ``weighed`` the keys that `check --json` adds."""

    problems: Sequence[Problem]
    notes: Sequence[str] = ()
    weighed: dict[str, Any] = {}


def check_limits(subject: Subject, options: Options) -> Report:
    """What the snapshot weighs, in all and file by file."""
    from amltool.commands.weighing import weigh_and_judge, weighed
    from amltool.limits import format_size, report

    limits, max_file_size = _limits(subject, options)
    selected = select_snapshot(subject, limits.profile)
    name = selected.ignore_file_name
    weight, of_limits = weigh_and_judge(weighed(selected, subject.root, subject.settings.script), limits)
    problems = [*of_limits, *_without_ignore(selected.notices)]
    if max_file_size is not None:
        from amltool.commands.checks.limits import file_problems

        problems += file_problems(selected.sizes, max_file_size, name)
    notes: tuple[str, ...] = ()
    if not of_limits and not any(problem.level is Level.ERROR for problem in problems):
        files = f"{weight.files:,}" + (f" of at most {limits.max_files:,}" if limits.max_files is not None else "")
        notes = (f"The snapshot: {format_size(weight.size)} of at most {format_size(limits.max_size)}, {files} files.",)
    elif _is_limited(options) and any(problem.level is Level.ERROR for problem in problems):
        notes = ("Limits that are given to this check (its args) are raised there.",)
    return Report(problems, notes, report(weight, limits, name, problems) if options.json else {})


def check_ignore(subject: Subject, options: Options) -> Report:
    """Which ignore file rules, and what it says in vain."""
    from amltool.commands.checks.ignoring import ignore_notes, ignore_problems

    selected, looked = _looked(subject, _limits(subject, options)[0].profile)
    of_file = [each for each in selected.notices if each.id.startswith(_OF_IGNORE)]
    return Report([*of_file, *ignore_problems(looked)], ignore_notes(looked))


def check_config(subject: Subject, _: Options) -> Report:
    """Every file in ``aml_config`` is valid, and what it names is there."""
    from amltool.commands.checks.configuration import configuration_problems
    from amltool.configuration.folder import FOLDER, Files, working_files

    inside = [path[len(FOLDER) + 1 :] for path in subject.listing.paths if path.startswith(f"{FOLDER}/")]
    names = sorted(name for name in inside if "/" not in name)
    paths = frozenset(subject.listing.paths)
    return Report(configuration_problems(Files(subject.read, lambda: names), paths, working_files(subject.root)))


def check_secrets(subject: Subject, options: Options) -> Report:
    """No password, key or token in what is new."""
    from amltool.commands.checks.secrets import LARGEST_TEXT, secret_problems

    allow = (*subject.settings.secrets_allow, *options.allow)
    return Report(secret_problems(subject.changed(LARGEST_TEXT, everything=options.everything), allow))


def check_notebooks(subject: Subject, options: Options) -> Report:
    """No notebook with heavy outputs, none in a folder over the limits."""
    from amltool.commands.checks.notebooks import notebook_problems

    if not any(path.endswith(".ipynb") for path in subject.listing.paths):
        return Report(())
    limits, _ = _limits(subject, options)
    selected = select_snapshot(subject, limits.profile)
    largest = options.notebook_output_size
    largest = subject.settings.notebook_output_size if largest is None else largest
    return Report(notebook_problems(selected.sizes, limits, largest, subject.read))


CHECKS: dict[str, Callable[[Subject, Options], Report]] = {
    "limits": check_limits,
    "ignore": check_ignore,
    "config": check_config,
    "secrets": check_secrets,
    "notebooks": check_notebooks,
}


def _limits(subject: Subject, options: Options) -> Any:
    """The limits that hold here, and the most a single file may have."""
    settings = subject.settings
    if options.limits is None:
        return settings.limits, settings.max_file_size
    given = options.limits.max_file_size
    return options.limits.over(settings.limits), settings.max_file_size if given is None else given


def _is_limited(options: Options) -> bool:
    return options.limits is not None and any(each is not None for each in msgspec.structs.astuple(options.limits))


def _looked(subject: Subject, profile: Any) -> tuple[Survey, Looked]:
    from amltool.commands.checks.ignoring import Looked

    selected = select_snapshot(subject, profile)
    on_disk = subject.pushed is None
    out = selected.contents.submodules_out
    looked = Looked(subject.git, subject.prefix, selected.all_sizes, selected.ignore_file, profile, on_disk, out)
    return selected, looked


def _without_ignore(notices: Sequence[Problem]) -> list[Problem]:
    return [each for each in notices if not each.id.startswith(_OF_IGNORE)]


def run(name: str, arguments: Sequence[str]) -> int:
    """Run one check on the current folder's project, say what it found, and give the exit code."""
    options = _parse(name, arguments)
    from amltool.hooks.saying import say, say_error, say_json

    try:
        subject = open_subject(options.commit, options.known, options.remote)
        found = CHECKS[name](subject, options)
    except ConfigurationError as error:
        found = Report([Problem("configuration", Level.ERROR, str(each), error.remedy) for each in error.mistakes])
    except UserError as error:
        say_error(str(error))
        return error.exit_code
    refused = any(problem.level is Level.ERROR or options.strict for problem in found.problems)
    if options.json:
        say_json(found.problems, found.notes, found.weighed, ok=not refused)
    else:
        say(found.problems, found.notes)
    return REFUSED if refused else DONE


def _parse(name: str, arguments: Sequence[str]) -> Options:
    if not arguments:
        return Options()
    from amltool.hooks.options import parse

    return parse(name, arguments)


def leave(name: str) -> NoReturn:
    """Run a check with the arguments of this process, and end the process with its exit code."""
    # A process of a tenth of a second collects nothing worth its time
    gc.disable()
    try:
        exit_code = run(name, sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        # Nothing is left to be put away, and doing it costs a tenth of a check of 50,000 files
        os._exit(exit_code)
    except KeyboardInterrupt:
        exit_code = INTERRUPTED
    except BrokenPipeError:
        exit_code = REFUSED
    except Exception as error:  # our bug, whatever it is: said as such, with a report
        from amltool.hooks.saying import say_error
        from amltool.tasks.bug_report import told

        say_error(told(error))
        exit_code = BUG
    sys.exit(exit_code)


def limits() -> NoReturn:
    """``amltool-check-limits``."""
    leave("limits")


def ignore() -> NoReturn:
    """``amltool-check-ignore``."""
    leave("ignore")


def config() -> NoReturn:
    """``amltool-check-config``."""
    leave("config")


def secrets() -> NoReturn:
    """``amltool-check-secrets``."""
    leave("secrets")


def notebooks() -> NoReturn:
    """``amltool-check-notebooks``."""
    leave("notebooks")
