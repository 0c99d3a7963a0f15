"""Checks: what a submit would take now, and whether the run history is whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amltool.artifact import Artifact
from amltool.commands.checks.together import problems_and_notes, seen
from amltool.commands.opening import Opened
from amltool.commands.weighing import weigh_and_judge, weighed
from amltool.git.survey import survey, survey_index
from amltool.git.trees import commit_named
from amltool.history import checking as history_checking
from amltool.limits import report
from amltool.run import LongList, RunRecord, WholeRecord


def check(opened: Opened, *, commit: str | None = None, staged: bool = False, paths: bool = False) -> dict[str, Any]:
    """What a submit would take, weighed, with every problem; the keys are those of ``check --json`` (DESIGN 5).

    Raises:
        UserError: there is no commit to look at.
    """
    resolved = None
    if commit is not None:
        resolved = commit_named(opened.git, commit)
    if staged:
        found = survey_index(opened.git, opened.prefix, opened.profile)
    else:
        found = survey(opened.git, opened.prefix, ".", opened.profile, resolved, needs_commit=False)
    settings = opened.project.settings
    limits = settings.limits
    weight, problems = weigh_and_judge(weighed(found, opened.project.root, settings.script), limits)
    others, notes = problems_and_notes(seen(opened, found, staged=staged, commit=resolved))
    listed = sorted(found.sizes) if paths else None
    return {
        **report(weight, limits, found.ignore_file_name, [*problems, *found.notices, *others], listed),
        "notes": [*notes, *found.notes],
    }


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """What `history.check` found: findings by level, and how much was looked at."""

    ok: bool
    runs: int
    artifacts: int
    findings: list[dict[str, str]]


def check_history(opened: Opened, *, store: bool = False) -> HistoryReport:
    """Verify every note, every snapshot, and every artifact that this clone keeps; with ``store`` all that the artifact
    stores of its records keep."""
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
    if store:
        from amltool.commands.checking_stores import check_stores

        found = check_stores(opened, runs)
        findings += found.findings
        ok = not any(finding["level"] == "error" for finding in findings)
        return HistoryReport(ok, len(runs), found.artifacts, findings)
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


def repair_history(opened: Opened) -> None:
    """Drop what is gone from the ref that keeps snapshots; a repository that Git calls broken for it is whole again.

    Raises:
        UserError: the repository cannot be written.
    """
    from amltool.git.keeping import kept_snapshots
    from amltool.git.notes import repair_snapshots

    if not kept_snapshots(opened.git)[1]:
        repair_snapshots(opened.git)


def _kept_here(record: RunRecord) -> list[Artifact]:
    listed, whole = record.artifacts, record.whole
    found = [Artifact(whole.path, whole.bytes, whole.sha256)] if isinstance(whole, WholeRecord) else []
    if isinstance(listed, LongList):
        return [*found, Artifact(listed.path, listed.bytes, listed.sha256)]
    return [*found, *(artifact for artifact in listed if artifact.store == "file")]


def _artifact_state(opened: Opened, artifact: Artifact) -> str:
    from amltool.stores import open_store

    store = open_store(None, opened.git.layout.store)
    try:
        return "" if store.check(artifact.sha256) else "damaged"
    except KeyError:
        return "not in this clone"
