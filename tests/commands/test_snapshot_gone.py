"""Runs whose commits are taken away while they wait, and runs whose snapshot is gone all the same: every one ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amltool.commands import looking
from amltool.commands.opening import Opened, open_project
from amltool.history.journal import JournalEntry
from amltool.layout import SNAPSHOTS_REF
from amltool.run import RunStatus, new_run_id
from amltool.targets.watcher import Silent
from tests.amltool_command import amltool, make_project
from tests.git_moments import REWRITTEN
from tests.repositories import git, write_files

SCRIPT = "import os, sys, time\nwhile os.path.exists(sys.argv[1]): time.sleep(0.02)\nprint(open('data.txt').read())\n"
ONE_AT_ONCE = 'type: "local"\nnativeSharedDirectory: "~/.azureml/share/"\nmaxConcurrentRuns: 1\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files: dict[str, bytes | str] = {"train.py": SCRIPT, "data.txt": "1", "aml_config/local.compute": ONE_AT_ONCE}
    return make_project(tmp_path / "project", files)


def submit(project: Path, hold: Path) -> str:
    options = ("--target", "local", "--detach", "--json", "--", str(hold))
    return str(json.loads(amltool(project, "submit", "train.py", *options).stdout)["run_id"])


def rewrite(project: Path, *, also: str = "") -> None:
    subprocess.run(["sh", "-c", also + REWRITTEN], cwd=project, check=True)


def recorded(project: Path, run_id: str) -> dict[str, Any]:
    [found] = [run for run in json.loads(amltool(project, "runs", "--json").stdout) if run["run_id"] == run_id]
    return dict(found)


def test_a_queued_run_whose_commit_is_rewritten_is_recorded_and_runs_again(project: Path, hold: Path) -> None:
    submit(project, hold)
    write_files(project, {"data.txt": "2"})
    git(project, "commit", "-q", "-a", "-m", "second")
    queued = submit(project, hold)
    rewrite(project)
    hold.unlink()

    amltool(project, "wait", queued)

    assert recorded(project, queued)["status"] == "Completed"
    git(project, "fsck", "--no-dangling")
    assert amltool(project, "rerun", queued).returncode == 0


def run_without_snapshot(project: Path, hold: Path) -> tuple[Opened, JournalEntry]:
    """A run that was acknowledged and not prepared, and then somebody removed our ref as well."""
    run_id = submit(project, hold)
    opened = open_project(project)
    entry = opened.journal.entry(run_id)
    assert entry is not None
    request = entry.request()
    hold.unlink()
    amltool(project, "wait", run_id)
    git(project, "commit", "-q", "--allow-empty", "-m", "lost")
    lost = git(project, "rev-parse", "HEAD")
    rewrite(project, also=f"git update-ref -d {SNAPSHOTS_REF}\n")
    added = opened.journal.add(replace(request, run_id=new_run_id(lost), commit=lost, base_commit=lost))
    with added.driven():
        pass
    return open_project(project), JournalEntry(added.folder)


def test_wait_records_a_run_whose_snapshot_is_gone_as_failed(project: Path, hold: Path) -> None:
    opened, entry = run_without_snapshot(project, hold)

    record = looking.wait_for(opened, entry.run_id, Silent()).record

    assert record.status is RunStatus.FAILED
    assert "is gone from the repository" in (record.reason or "")
    assert recorded(project, entry.run_id)["status"] == "Failed"
    assert not entry.is_there
    git(project, "fsck", "--no-dangling")


def test_cancel_ends_a_run_whose_snapshot_is_gone(project: Path, hold: Path) -> None:
    opened, entry = run_without_snapshot(project, hold)

    looking.cancel_run(opened, entry.run_id)

    assert recorded(project, entry.run_id)["status"] == "Canceled"
    assert not entry.is_there


def test_a_run_that_ended_is_recorded_though_its_snapshot_is_gone(project: Path, hold: Path) -> None:
    git(project, "commit", "-q", "--allow-empty", "-m", "lost")
    run_id = submit(project, hold)
    rewrite(project, also=f"git update-ref -d {SNAPSHOTS_REF}\n")
    hold.unlink()

    amltool(project, "wait", run_id)

    assert recorded(project, run_id)["status"] == "Completed"
    git(project, "fsck", "--no-dangling")
