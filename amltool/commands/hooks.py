"""What Git's hooks ask, as values: may this be committed or pushed, what does it weigh, which runs did it concern.

The answers are those of the checks, of ``check`` and of ``submit``, from the same functions. This stands before every
commit, so what a hook does not need is not imported.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amltool.errors import UserError
from amltool.files import safe_text
from amltool.git.command import Git
from amltool.git.listing import Beside, list_commit, list_index

if TYPE_CHECKING:
    from amltool.commands.checks.subject import Subject
    from amltool.git.hook_scripts import HookChange
    from amltool.limits import Limits, Problem, Weight
    from amltool.project import Project

SHORT = 7
"""Hex digits of a commit in a line for people."""
BLOCKING = ("pre-commit", "pre-merge-commit", "pre-push")
LIMITS_PROBLEMS = ("size", "files", "file-size")
"""Warnings that a commit shows, beside notices about Git; of others it says only how many there are."""
JUDGED_REFS = ("refs/heads/", "refs/for/")
"""What is looked at in a push: branches, also those of Gerrit; not tags, and not our own notes and snapshots."""
SEQUENCES = ("rebase-merge", "rebase-apply", "sequencer")
"""Git's folders while it makes many commits: a line for each would bury what it says itself."""


class Answer(msgspec.Struct, frozen=True):
    """What a hook says (``""``: nothing), and whether Git may not go on."""

    text: str = ""
    refused: bool = False


def answer(hook: str, arguments: Sequence[str], given: bytes) -> Answer:
    """The answer to a hook that Git runs in the current folder with these arguments and this standard input.

    Raises:
        UserError: it could not look at all: that is no refusal.
    """
    if hook not in _ANSWERS:
        raise UserError(f"there is no hook {hook!r}.", f"Name one of: {', '.join(_ANSWERS)}.")
    looking = Beside(_repository)
    # Loaded while Git looks for the repository
    import amltool.commands.checks.subject
    import amltool.commands.weighing
    import amltool.project  # noqa: F401

    git = looking.result()
    try:
        return _ANSWERS[hook](git, arguments, given)
    except UserError as error:
        return Answer(f"amltool, {hook}: {error}", refused=hook in BLOCKING)


def is_strict(folder: Path) -> bool:
    """Whether a hook that cannot look is to refuse: by the settings, or as it was installed.

    Asked when something is wrong already, so what cannot be read counts as no.
    """
    from amltool.git.hook_scripts import STRICT_KEY
    from amltool.project import load_project

    with contextlib.suppress(UserError, OSError):
        if load_project(folder).settings.strict_hooks:
            return True
    with contextlib.suppress(UserError, OSError):
        return Git.at(folder).ask("config", "--local", "--type=bool", "--get", STRICT_KEY)[1] == b"true\n"
    return False


def install_hooks(folder: Path, *, strict: bool = False) -> tuple[HookChange, ...]:
    """Install Git's hooks in the repository a folder lies in; ``strict`` as the setting ``strict_hooks``.

    Raises:
        UserError: there is no repository, its settings have mistakes, or its hooks cannot be written.
    """
    from amltool.git.hook_scripts import install_scripts

    git = Git.at(folder)
    strict = strict or any(project.settings.strict_hooks for project, _ in _projects(git))
    return install_scripts(git, sys.executable, strict=strict)


def uninstall_hooks(folder: Path) -> tuple[HookChange, ...]:
    """Take our hooks away and put back what stood there. Raises UserError as `install_hooks`."""
    from amltool.git.hook_scripts import uninstall_scripts

    return uninstall_scripts(Git.at(folder))


def _repository() -> Git:
    git = Git.at(Path.cwd())
    named = os.environ.get("GIT_DIR")
    if named and Path(named).resolve() != git.git_dir:
        raise UserError(f"GIT_DIR names {named}, which is not the repository of this folder.")
    return git


def _projects(git: Git) -> list[tuple[Project, str]]:
    """Every project of the repository with its folder there; the whole repository where it has none.

    A hook runs at the top whichever folder Git was called from, so it cannot mean "the project I am in".
    """
    from amltool.configuration.folder import FOLDER
    from amltool.project import load_project

    prefixes = [""]
    if not (git.top / FOLDER).is_dir():
        listed = git.run("ls-files", "-z", "--", f":(glob)**/{FOLDER}/*")
        found = {posixpath.dirname(posixpath.dirname(os.fsdecode(path))) for path in listed.split(b"\0") if path}
        prefixes = sorted(found) or prefixes
    return [(load_project(git.top / prefix), prefix) for prefix in prefixes]


def _look_at_index(git: Git, arguments: Sequence[str], given: bytes) -> Answer:  # noqa: ARG001
    from amltool.commands.checks.subject import Subject
    from amltool.limits import Level

    refusals: list[str] = []
    warnings: list[str] = []
    for project, prefix in _projects(git):
        subject = Subject(git, project.root, prefix, project.settings, list_index(git, prefix), None)
        problems = [*_weighed(subject)[1], *_others(subject)]
        errors = [problem for problem in problems if problem.level is Level.ERROR]
        where = f" of the project {safe_text(prefix)}" if prefix else ""
        if errors:
            refusals += [f"amltool refuses this commit{where}.", *map(_shown, errors)]
        told = [problem for problem in problems if problem not in errors and _is_told(problem)]
        warnings += [f"amltool: {problem.message}\n{problem.remedy}".rstrip() for problem in told]
        if others := len(problems) - len(errors) - len(told):
            warnings.append(f"amltool: {others} warning{'s' * (others != 1)}{where}, see: amltool check --staged")
    if not refusals:
        return Answer("\n".join(warnings))
    return Answer("\n\n".join((*refusals, "To commit all the same: git commit --no-verify")), refused=True)


def _is_told(problem: Problem) -> bool:
    from amltool.git.notices import KINDS

    return problem.id in LIMITS_PROBLEMS or problem.id in KINDS


def _weighed(subject: Subject) -> tuple[Weight, list[Problem]]:
    """What a snapshot weighs, and what the limits say of it and of its single files."""
    from amltool.commands.checks.limits import file_problems
    from amltool.commands.checks.subject import select_snapshot
    from amltool.commands.weighing import weigh_and_judge, weighed

    settings = subject.settings
    selected = select_snapshot(subject, settings.limits.profile)
    weight, problems = weigh_and_judge(weighed(selected, subject.root, settings.script), settings.limits)
    of_files = file_problems(selected.sizes, settings.max_file_size, selected.ignore_file_name)
    return weight, [*problems, *of_files, *selected.notices]


def _others(subject: Subject) -> list[Problem]:
    """What may not be committed whatever it weighs: secrets in what is staged, configuration that cannot be used."""
    from amltool.commands.checks.secrets import LARGEST_TEXT, secret_problems
    from amltool.configuration.folder import FOLDER, Files, working_files

    problems = secret_problems(subject.changed(LARGEST_TEXT), subject.settings.secrets_allow)
    inside = [path[len(FOLDER) + 1 :] for path in subject.listing.paths if path.startswith(f"{FOLDER}/")]
    if not inside:
        return problems
    from amltool.commands.checks.configuration import configuration_problems

    files = Files(subject.read, lambda: sorted(name for name in inside if "/" not in name))
    return [
        *problems,
        *configuration_problems(files, frozenset(subject.listing.paths), working_files(subject.root)),
    ]


def _shown(problem: Problem) -> str:
    return f"{problem.message}\n\n{problem.remedy}".strip()


def _look_at_push(git: Git, arguments: Sequence[str], given: bytes) -> Answer:
    from amltool.commands.hook_history import unpushed_history
    from amltool.limits import Level

    projects = _projects(git)
    refusals: list[str] = []
    for commit, branches in _tips(git, given).items():
        for project, prefix in projects:
            subject = _commit_subject(git, project, prefix, commit)
            errors = [problem for problem in _weighed(subject)[1] if problem.level is Level.ERROR]
            if errors:
                named = f"The tip {commit[:SHORT]} of {safe_text(', '.join(branches))} is over the limits."
                refusals += [f"amltool refuses this push. {named}", *map(_shown, errors)]
    remote, url = (*arguments, "", "")[:2]
    wanted = any(project.settings.warn_unpushed_history for project, _ in projects)
    unpushed = unpushed_history(git, remote, url) if wanted else ""
    if not refusals:
        return Answer(unpushed)
    refusals.append("To push all the same: git push --no-verify")
    return Answer("\n\n".join(filter(None, (*refusals, unpushed))), refused=True)


def _commit_subject(git: Git, project: Project, prefix: str, commit: str) -> Subject:
    from amltool.commands.checks.subject import Pushed, Subject

    return Subject(git, project.root, prefix, project.settings, list_commit(git, commit, prefix), Pushed(commit))


def _tips(git: Git, given: bytes) -> dict[str, list[str]]:
    """The commits that branches are pushed to, with those branches; a deletion has the id zero (githooks(5))."""
    tips: dict[str, list[str]] = {}
    for line in given.split(b"\n"):
        parts = os.fsdecode(line).split(" ")
        if len(parts) != 4 or not parts[2].startswith(JUDGED_REFS) or not parts[1].strip("0"):
            continue
        commit = git.resolve(parts[1])
        if commit is not None:
            tips.setdefault(commit, []).append(parts[2].split("/", 2)[2])
    return tips


def _weigh_commit(git: Git, arguments: Sequence[str], given: bytes) -> Answer:  # noqa: ARG001
    if git.head is None or any((git.git_dir / folder).exists() for folder in SEQUENCES):
        return Answer()
    lines = {}
    for project, prefix in _projects(git):
        weight, problems = _weighed(_commit_subject(git, project, prefix, git.head))
        lines[_fullness(weight, project.settings.limits)] = _weight_line(git.head, prefix, weight, project, problems)
    return Answer(lines[max(lines)])


def _weight_line(commit: str, prefix: str, weight: Weight, project: Project, problems: Sequence[Problem]) -> str:
    from amltool.limits import Level, format_size

    limits = project.settings.limits
    where = f" of {safe_text(prefix)}" if prefix else ""
    said = f"amltool: snapshot {commit[:SHORT]}{where} weighs {_amounts(weight, limits)}"
    of_limits = [problem for problem in problems if problem.id in LIMITS_PROBLEMS]
    if any(problem.level is Level.ERROR for problem in of_limits):
        return f"{said}: over the limits, see: amltool check"
    return f"{said}: above {format_size(limits.warn_size)} is a warning" if of_limits else said


def _fullness(weight: Weight, limits: Limits) -> float:
    """The greater part of a limit that is used up: 1 is all of it. A limit of 0 counts as one byte."""
    files = weight.files / max(limits.max_files, 1) if limits.max_files is not None else 0.0
    return max(weight.size / max(limits.max_size, 1), files)


def _amounts(weight: Weight, limits: Limits) -> str:
    from amltool.limits import format_size

    most = format_size(limits.max_size).replace(".00 ", " ")
    size = f"{format_size(weight.size)} of {most} ({weight.size / max(limits.max_size, 1):.0%})"
    if limits.max_files is None:
        return f"{size} in {weight.files:,} files"
    return f"{size} in {weight.files:,} of {limits.max_files:,} files ({weight.files / max(limits.max_files, 1):.0%})"


def _name_rewritten_runs(git: Git, arguments: Sequence[str], given: bytes) -> Answer:
    from amltool.commands.hook_history import rewritten_runs

    return Answer(rewritten_runs(git, next(iter(arguments), ""), given))


_ANSWERS: dict[str, Callable[[Git, Sequence[str], bytes], Answer]] = {
    "pre-commit": _look_at_index,
    "pre-merge-commit": _look_at_index,
    "pre-push": _look_at_push,
    "post-commit": _weigh_commit,
    "post-rewrite": _name_rewritten_runs,
}
