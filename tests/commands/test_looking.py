"""What a name of a run stands for, and what is listed, while some runs are not finished yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool, make_project

SCRIPT = "import sys, time\nprint('begun', flush=True)\ntime.sleep(float(sys.argv[1]))\n"


class Runs:
    """A project with a finished run between two that go on, which are given here from the oldest to the newest."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_project(folder, {"train.py": SCRIPT})
        self.ids = [self._submit("600", "--detach"), self._submit("0"), self._submit("600", "--detach")]

    def _submit(self, seconds: str, *options: str) -> str:
        return str(self.json("submit", "train.py", *options, "--json", "--", seconds)["run_id"])

    def json(self, *words: str) -> Any:
        return json.loads(amltool(self.folder, *words).stdout)

    def shown(self, *options: str) -> list[str]:
        """The ids in the table, from the first line on."""
        table = amltool(self.folder, "runs", *options).stdout
        return sorted((run_id for run_id in self.ids if run_id in table), key=table.index)

    def cancel(self) -> None:
        for run_id in self.ids:
            amltool(self.folder, "cancel", run_id, check=False)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path / "project")
    yield made
    made.cancel()


def test_counting_back_counts_the_runs_that_are_not_finished(runs: Runs) -> None:
    shown = [runs.json("show", name, "--json")["run_id"] for name in ("@", "@1", "@2", "@3")]

    assert shown == [runs.ids[2], runs.ids[2], runs.ids[1], runs.ids[0]]
    assert "'@4' names no run" in amltool(runs.folder, "show", "@4", check=False).stderr


def test_the_run_that_was_counted_back_to_is_canceled_and_no_other(runs: Runs) -> None:
    amltool(runs.folder, "cancel", "@3")

    assert [runs.json("show", run_id, "--json")["status"] for run_id in runs.ids] == [
        "Canceled", "Completed", "Running",
    ]  # fmt: skip


def test_unfinished_runs_are_listed_first_and_count_for_the_limit(runs: Runs) -> None:
    assert runs.shown() == [runs.ids[2], runs.ids[0], runs.ids[1]]
    assert runs.shown("--limit", "2") == [runs.ids[2], runs.ids[0]]


def test_a_script_gets_the_runs_that_a_person_is_shown(runs: Runs) -> None:
    assert [run["run_id"] for run in runs.json("runs", "--json")] == [runs.ids[2], runs.ids[0], runs.ids[1]]
    row, *_ = under_way = runs.json("runs", "--json", "--status", "Running")
    assert [run["run_id"] for run in under_way] == [runs.ids[2], runs.ids[0]]
    assert (row["status"], row["script"]) == ("Running", "train.py")


def test_the_console_of_a_run_is_not_given_out_as_json(tmp_path: Path) -> None:
    refused = amltool(make_project(tmp_path / "project", {}), "logs", "--json", check=False)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("What a run printed is no JSON document.")
