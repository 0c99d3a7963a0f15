"""Checks: what a submit would take now, and whether the run history is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amltool.artifact import Artifact
from amltool.commands.opening import Opened
from amltool.commands.weighing import weigh_and_judge
from amltool.errors import ConfigurationError, UserError
from amltool.git.snapshots import Survey, survey, survey_index
from amltool.history import checking as history_checking
from amltool.ignore import IGNORE_FILES
from amltool.limits import Level, Problem, report
from amltool.run import LongList, RunRecord


def check(opened: Opened, *, commit: str | None = None, staged: bool = False, paths: bool = False) -> dict[str, Any]:
    """What a submit would take, weighed, with every problem; the keys are those of ``check --json`` (DESIGN 5).

    Raises:
        UserError: there is no commit to look at.
    """
    resolved = None
    if commit is not None:
        resolved = opened.git.resolve(commit)
        if resolved is None:
            raise UserError(f"There is no commit {commit!r}.", "Name one that `git log` shows.")
    if staged:
        found = survey_index(opened.git, opened.prefix, opened.profile)
    else:
        found = survey(opened.git, opened.prefix, ".", opened.profile, resolved, needs_commit=False)
    limits = opened.project.settings.limits
    weight, problems = weigh_and_judge(found.sizes, limits, opened.project.root, found.ignore_file)
    problems = (*problems, *_notices(opened, found), *_configuration_problems(opened))
    name = found.ignore_file.name if found.ignore_file else None
    return report(weight, limits, name, problems, sorted(found.sizes) if paths else None)


def _notices(opened: Opened, found: Survey) -> list[Problem]:
    problems = [Problem("notice", Level.WARNING, notice, "") for notice in found.notices]
    if found.ignore_file is not None and found.ignore_file.name == IGNORE_FILES[0]:
        left_out = _re_included_but_ignored(opened, found)
        if left_out:
            shown = ", ".join(left_out[:5])
            problems.append(
                Problem(
                    "ignored-by-git",
                    Level.WARNING,
                    f"{len(left_out)} files that .amlignore lets through Git ignores: they are in no snapshot: {shown}",
                    "Add them with `git add --force`, or name them in .amlignore.",
                )
            )
    return problems


def _re_included_but_ignored(opened: Opened, found: Survey) -> list[str]:
    """Files that ``.amlignore`` lets through but Git ignores: a commit, and so a run, never has them."""
    from amltool.ignore import select

    prefix = found.prefix
    stdout = opened.git.run(
        "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--", prefix or "."
    )
    names = [name for name in stdout.decode("utf-8", "surrogateescape").split("\0") if name]
    inside = [name[len(prefix) + 1 :] if prefix else name for name in names]
    files = [name for name in inside if not name.endswith("/")]
    return sorted(select(files, found.ignore_file, found.profile, opened.git.layout.cache).included)


def _configuration_problems(opened: Opened) -> list[Problem]:
    from amltool.configuration.choosing import (
        find_compute,
        find_run_configuration,
        list_compute_targets,
        list_run_configurations,
    )
    from amltool.configuration.folder import working_files

    files = working_files(opened.project.root)
    targets = list_compute_targets(files)
    problems: list[Problem] = []
    for find, names in ((find_compute, targets), (find_run_configuration, list_run_configurations(files))):
        for name in names:
            try:
                found = find(files, name)
            except ConfigurationError as error:
                problems += [Problem("configuration", Level.ERROR, str(mistake), "") for mistake in error.mistakes]
                continue
            target = getattr(found, "target", None)
            if target is not None and target not in targets:
                message = f"aml_config/{name}.runconfig: there is no compute target {target}"
                remedy = f"Make aml_config/{target}.compute, or name one of: {', '.join(targets) or 'none yet'}."
                problems.append(Problem("configuration", Level.ERROR, message, remedy))
    return problems


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """What `history.check` found: findings by level, and how much was looked at."""

    ok: bool
    runs: int
    artifacts: int
    findings: list[dict[str, str]]


def check_history(opened: Opened) -> HistoryReport:
    """Verify every note, every snapshot, and every artifact that this clone keeps."""
    findings = [
        {
            "id": finding.fault.value,
            "level": "error" if finding.fault.is_error else "warning",
            "message": finding.message,
            "remedy": finding.remedy,
        }
        for finding in history_checking.check(opened.git)
    ]
    runs = opened.history.runs(limit=None)
    checked: dict[str, str] = {}
    for run in runs:
        for artifact in _kept_here(run.record):
            if artifact.sha256 in checked:
                continue
            checked[artifact.sha256] = _artifact_state(opened, artifact)
            if checked[artifact.sha256]:
                findings.append(
                    {
                        "id": "artifact",
                        "level": "error" if checked[artifact.sha256] == "damaged" else "warning",
                        "message": f"{artifact.path} of run {run.run_id} is {checked[artifact.sha256]}",
                        "remedy": "Get it from the clone that made it, or run the experiment again.",
                    }
                )
    ok = not any(finding["level"] == "error" for finding in findings)
    return HistoryReport(ok, len(runs), len(checked), findings)


def _kept_here(record: RunRecord) -> list[Artifact]:
    listed = record.artifacts
    if isinstance(listed, LongList):
        return [Artifact(listed.path, listed.bytes, listed.sha256)]
    return [artifact for artifact in listed if artifact.store == "file"]


def _artifact_state(opened: Opened, artifact: Artifact) -> str:
    from amltool.stores import open_store

    store = open_store(None, opened.git.layout.store)
    try:
        return "" if store.check(artifact.sha256) else "damaged"
    except KeyError:
        return "not in this clone"
