"""A small repository, and records that look like those of real runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from amltool.artifact import Artifact, Metric
from amltool.git.command import Git
from amltool.run import RunRecord, RunStatus, new_run_id, timestamp

START = datetime(2026, 11, 21, 8, 15, 2, tzinfo=timezone.utc)

MakeRecord = Callable[..., RunRecord]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    top = tmp_path / "project"
    top.mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=top, check=True)
    return Git.at(top)


@pytest.fixture
def make_record(git: Git) -> MakeRecord:
    """Records in the order they are made, seven seconds apart; keywords replace fields."""
    made: list[int] = []

    def make(**fields: Any) -> RunRecord:
        now = START + timedelta(seconds=7 * len(made))
        made.append(1)
        commit = str(fields.get("commit", git.head))
        content = {
            "run_id": new_run_id(commit, now), "run_number": len(made), "status": RunStatus.COMPLETED, "exit_code": 0,
            "script": "train.py", "arguments": ["--lr", "0.1"], "target": "local", "commit": commit, "tree": "b" * 40,
            "base_commit": commit, "created": timestamp(now), "started": timestamp(now), "ended": timestamp(now),
            "duration_s": 0.5, "metrics": {"Accuracy": Metric(last=0.96, count=1, min=0.96, max=0.96)},
            "artifacts": [Artifact("outputs/model.pkl", 1432, "a" * 64)],
        }  # fmt: skip
        return RunRecord(**{**content, **fields})

    return make
