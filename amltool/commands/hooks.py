"""What Git's hooks ask, as values: may this be committed or pushed, what does it weigh, which runs did it concern.

The limits answer is that of ``check`` and ``submit``: what they refuse, a hook refuses, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amltool.commands.checks.limits import file_problems
from amltool.commands.weighing import weigh_and_judge
from amltool.configuration.folder import FOLDER
from amltool.errors import UserError
from amltool.files import safe_text
from amltool.git.command import Git
from amltool.git.hook_scripts import STRICT_KEY, HookChange, install_scripts, uninstall_scripts
from amltool.git.refs import tip_of
from amltool.git.snapshots import survey
from amltool.layout import NOTES_REF, remote_notes_ref
from amltool.limits import Level, Limits, Problem, Weight, format_size
from amltool.project import Project, load_project

SHORT = 7
"""Hex digits of a commit in a line for people."""
NAMED_RUNS = 5
AT_ONCE = 400
"""Commits in one question: SQLite may take no more than 999 values."""
LIMITS_PROBLEMS = ("size", "files", "file-size")
"""Warnings that a commit shows; of others it says only how many there are."""
JUDGED_REFS = ("refs/heads/", "refs/for/")
"""What is looked at in a push: branches, also those of Gerrit; not tags, and not our own notes and snapshots."""
SEQUENCES = ("rebase-merge", "rebase-apply", "sequencer")
"""Git's folders while it makes many commits: a line for each would bury what it says itself."""


@dataclass(frozen=True, slots=True)
class Answer:
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
    git = _repository()
    try:
        return _ANSWERS[hook](git, arguments, given)
    except UserError as error:
        return Answer(f"amltool, {hook}: {error}", refused=hook in ("pre-commit", "pre-merge-commit", "pre-push"))


def is_strict(folder: Path) -> bool:
    """Whether a hook that cannot look is to refuse: by the settings, or as it was installed.

    Asked when something is wrong already, so what cannot be read counts as no.
    """
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
    git = Git.at(folder)
    strict = strict or any(project.settings.strict_hooks for project, _ in _projects(git))
    return install_scripts(git, sys.executable, strict=strict)


def uninstall_hooks(folder: Path) -> tuple[HookChange, ...]:
    """Take our hooks away and put back what stood there. Raises UserError as `install_hooks`."""
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
    prefixes = [""]
    if not (git.top / FOLDER).is_dir():
        listed = git.run("ls-files", "-z", "--", f":(glob)**/{FOLDER}/*")
        found = {posixpath.dirname(posixpath.dirname(os.fsdecode(path))) for path in listed.split(b"\0") if path}
        prefixes = sorted(found) or prefixes
    return [(load_project(git.top / prefix), prefix) for prefix in prefixes]


def _look_at_index(git: Git, arguments: Sequence[str], given: bytes) -> Answer:  # noqa: ARG001
    from amltool.commands.checking import check
    from amltool.commands.opening import Opened

    refusals, warnings = [], []
    for project, prefix in _projects(git):
        problems: list[dict[str, str]] = check(Opened(git, project, prefix), staged=True)["problems"]
        errors = [problem for problem in problems if problem["level"] == Level.ERROR.value]
        where = f" of the project {safe_text(prefix)}" if prefix else ""
        if errors:
            refusals.append(f"amltool refuses this commit, as it would refuse to run the snapshot{where}.")
            refusals += [f"{problem['message']}\n\n{problem['remedy']}".strip() for problem in errors]
        warnings += [_warning(problem) for problem in problems if problem not in errors and _is_of_limits(problem)]
        others = sum(not _is_of_limits(problem) for problem in problems if problem not in errors)
        if others:
            warnings.append(f"amltool: {others} warning{'s' * (others != 1)}{where}, see: amltool check --staged")
    if not refusals:
        return Answer("\n".join(warnings))
    return Answer("\n\n".join((*refusals, "To commit all the same: git commit --no-verify")), refused=True)


def _is_of_limits(problem: dict[str, str]) -> bool:
    return problem["id"] in LIMITS_PROBLEMS


def _warning(problem: dict[str, str]) -> str:
    return f"amltool: {problem['message']}\n{problem['remedy']}".rstrip()


def _look_at_push(git: Git, arguments: Sequence[str], given: bytes) -> Answer:
    projects = _projects(git)
    refusals: list[str] = []
    for commit, branches in _tips(git, given).items():
        for project, prefix in projects:
            found = _weighed(git, project, prefix, commit)
            errors = [problem for problem in found[1] if problem.level is Level.ERROR] if found else []
            if errors:
                named = f"The tip {commit[:SHORT]} of {safe_text(', '.join(branches))} is over the limits."
                refusals.append(f"amltool refuses this push. {named}")
                refusals += [str(problem) for problem in errors]
    unpushed = _unpushed_history(git, arguments, projects)
    if not refusals:
        return Answer(unpushed)
    refusals.append("To push all the same: git push --no-verify")
    return Answer("\n\n".join(filter(None, (*refusals, unpushed))), refused=True)


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


def _weighed(git: Git, project: Project, prefix: str, commit: str) -> tuple[Weight, tuple[Problem, ...]] | None:
    """What a commit's snapshot weighs and what the limits say; ``None`` where it has no such project."""
    if prefix and git.ask("cat-file", "-e", f"{commit}:{prefix}")[0] != 0:
        return None
    limits = project.settings.limits
    found = survey(git, prefix, ".", limits.profile, commit)
    weight, problems = weigh_and_judge(found.sizes, limits, project.root, found.ignore_file)
    name = found.ignore_file.name if found.ignore_file else None
    return weight, (*problems, *file_problems(found.sizes, project.settings.max_file_size, name))


def _unpushed_history(git: Git, arguments: Sequence[str], projects: Sequence[tuple[Project, str]]) -> str:
    """A line where the run history here is not on the Git remote, as far as is known without asking it."""
    remote, url = (*arguments, "", "")[:2]
    here = tip_of(git, NOTES_REF)
    wanted = any(project.settings.warn_unpushed_history for project, _ in projects)
    if here is None or not wanted or not remote or remote == url:
        return ""
    there = tip_of(git, remote_notes_ref(remote))
    if there is not None and git.ask("merge-base", "--is-ancestor", here, there)[0] == 0:
        return ""
    return (
        f"amltool: the run history here is not on {safe_text(remote)} yet: amltool history.push "
        "(to hear no more of it: warn_unpushed_history: false)"
    )


def _weigh_commit(git: Git, arguments: Sequence[str], given: bytes) -> Answer:  # noqa: ARG001
    if git.head is None or any((git.git_dir / folder).exists() for folder in SEQUENCES):
        return Answer()
    weighed = [
        (_fullness(found[0], project.settings.limits), prefix, found[0], project.settings.limits)
        for project, prefix in _projects(git)
        if (found := _weighed(git, project, prefix, git.head)) is not None
    ]
    if not weighed:
        return Answer()
    fullness, prefix, weight, limits = max(weighed, key=lambda each: each[:2])
    where = f" of {safe_text(prefix)}" if prefix else ""
    said = f"amltool: snapshot {git.head[:SHORT]}{where} weighs {_amounts(weight, limits)}"
    if fullness > 1:
        return Answer(f"{said}: over the limits, see: amltool check")
    return Answer(f"{said}: warned of above {_round(limits.warn_size)}" if weight.size > limits.warn_size else said)


def _fullness(weight: Weight, limits: Limits) -> float:
    """The greater part of a limit that is used up: 1 is all of it. A limit of 0 counts as one byte."""
    files = weight.files / max(limits.max_files, 1) if limits.max_files is not None else 0.0
    return max(weight.size / max(limits.max_size, 1), files)


def _round(limit: int) -> str:
    return format_size(limit).replace(".00 ", " ")


def _amounts(weight: Weight, limits: Limits) -> str:
    size = f"{format_size(weight.size)} of {_round(limits.max_size)} ({weight.size / max(limits.max_size, 1):.0%})"
    if limits.max_files is None:
        return f"{size} in {weight.files:,} files"
    return f"{size} in {weight.files:,} of {limits.max_files:,} files ({weight.files / max(limits.max_files, 1):.0%})"


def _name_rewritten_runs(git: Git, arguments: Sequence[str], given: bytes) -> Answer:
    if tip_of(git, NOTES_REF) is None:
        return Answer()
    rewritten = dict(_rewritten(git, arguments, given))
    if not rewritten:
        return Answer()
    from amltool.history.history import History

    commits = list(rewritten)
    found = (History(git).runs_of_commit(*commits[at : at + AT_ONCE]) for at in range(0, len(commits), AT_ONCE))
    runs = list({run.run_id: run for part in found for run in part}.values())
    if not runs:
        return Answer()
    count = f"{len(runs)} recorded run{'s' * (len(runs) != 1)}"
    lines = [f"amltool: {count} of commits just rewritten; the snapshots are kept, so they can be run again:"]
    for run in runs[:NAMED_RUNS]:
        old = run.record.commit if run.record.commit in rewritten else run.record.base_commit
        lines.append(f"  amltool rerun {run.run_id}  ({old[:SHORT]}, now {rewritten[old][:SHORT]})")
    if len(runs) > NAMED_RUNS:
        lines.append(f"  and {len(runs) - NAMED_RUNS} more: amltool runs")
    return Answer("\n".join(lines))


def _rewritten(git: Git, arguments: Sequence[str], given: bytes) -> Iterator[tuple[str, str]]:
    """Old and new ids. pre-commit hands a hook it runs first no input here: then an amended commit is in the reflog."""
    lines = [line.split() for line in given.decode("ascii", "replace").splitlines()]
    yield from ((parts[0], parts[1]) for parts in lines if len(parts) >= 2)
    if not lines and tuple(arguments[:1]) == ("amend",) and git.head is not None:
        before = git.resolve("HEAD@{1}")
        if before is not None:
            yield before, git.head


_ANSWERS: dict[str, Callable[[Git, Sequence[str], bytes], Answer]] = {
    "pre-commit": _look_at_index,
    "pre-merge-commit": _look_at_index,
    "pre-push": _look_at_push,
    "post-commit": _weigh_commit,
    "post-rewrite": _name_rewritten_runs,
}
