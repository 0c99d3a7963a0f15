"""Records from elsewhere, whatever is in them: no command calls them its bug, the good ones are listed, runs go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from amltool.git.command import Git
from amltool.git.notes import append_lines
from tests.amltool_command import amltool, make_project, submit
from tests.foreign_records import foreign_lines
from tests.repositories import git
from tests.tasks_in_process import faults, run_task

SCRIPT = "open('outputs/x.txt', 'w').write('x')\nprint('hi')\n"
SEED = int(os.environ.get("AMLTOOL_SEED", "9"))
LISTS = (
    ("runs",), ("runs", "-n", "0"), ("runs", "--json"), ("runs", "-n", "0", "--json"), ("runs", "--status", "failed"),
    ("runs", "--query", "[].[run_id, script_name, tags]"), ("runs", "--best", "loss"), ("history.check",),
    ("history.check", "--json"), ("doctor",), ("targets",), ("clean",), ("clean", "--store", "--json"), ("check",),
    ("rerun", "--all", "no-such"),
)  # fmt: skip
EACH = (
    ("show", "{}"), ("show", "{}", "--json"), ("outputs", "{}"), ("outputs", "{}", "--json"), ("wait", "{}"),
    ("outputs", "{}", "--download", "{into}"), ("compare", "{},@"), ("compare", "{},@", "--json"), ("cancel", "{}"),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SCRIPT})


def add_notes(project: Path, commit: str, lines: list[bytes]) -> None:
    """As a fetch would bring them: nothing of ours looks at them on the way in."""
    append_lines(Git.at(project), {commit: lines})


def good_line(project: Path, commit: str) -> bytes:
    return git(project, "notes", "--ref=amltool/runs", "show", commit).split("\n")[0].encode()


def try_records(project: Path, tmp_path: Path, count: int, rerun_each: int) -> None:
    record = submit(project)
    lines = list(foreign_lines(good_line(project, record["commit"]), count, SEED))
    add_notes(project, record["commit"], [line for _, line in lines])

    for words in LISTS:
        assert faults(run_task(project, *words)) == [], words
    for number, (run_id, line) in enumerate(lines):
        into = tmp_path / f"into-{number}"
        for words in EACH:
            given = [word.format(run_id, into=into) for word in words]
            assert faults(run_task(project, *given), allowed=range(256)) == [], (given, line[:3000])
        assert faults(run_task(project, "logs", run_id), own_output=True) == [], line[:3000]
        if number % rerun_each == 0:
            done = amltool(project, "rerun", run_id, "--timeout", "60", check=False)
            assert done.returncode in (0, 1), (done.stderr, line[:3000])
            assert "bug of its own" not in done.stderr
            assert faults(run_task(project, "restore", run_id, "--to", str(tmp_path / f"to-{number}"))) == []

    listed = json.loads(run_task(project, "runs", "-n", "0", "--json").stdout)
    assert record["run_id"] in {run["run_id"] for run in listed}
    assert submit(project)["status"] == "Completed"


@pytest.mark.timeout(600)
def test_no_record_from_elsewhere_is_our_bug_or_hides_another(project: Path, tmp_path: Path) -> None:
    try_records(project, tmp_path, 60, rerun_each=20)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_two_thousand_records_from_elsewhere(project: Path, tmp_path: Path) -> None:
    try_records(project, tmp_path, 2000, rerun_each=100)


@pytest.mark.parametrize("number", [10**9, 10**30])
def test_no_run_number_from_elsewhere_ends_the_numbering(project: Path, number: int) -> None:
    record = submit(project)
    line = json.loads(good_line(project, record["commit"])) | {"run_number": number}
    add_notes(project, record["commit"], [json.dumps(line | {"run_id": record["run_id"][:-4] + "zzzz"}).encode()])

    again = submit(project)

    assert (again["status"], again["run_number"]) == ("Completed", record["run_number"] + 1)
    assert run_task(project, "runs").exit_code == 0


def test_a_spoilt_counter_file_heals(project: Path) -> None:
    submit(project)
    counter = project / ".git/amltool/run_number"
    counter.write_text(f"{10**9 + 1} {counter.read_text().split()[1]}\n")

    assert submit(project)["run_number"] == 2


def test_a_run_of_an_exit_code_that_no_shell_has_is_a_mistake_of_the_run(project: Path) -> None:
    record = submit(project)
    line = json.loads(good_line(project, record["commit"]))
    odd = {"exit_code": 3221225477, "status": "Failed", "run_id": record["run_id"][:-4] + "zzzz"}
    add_notes(project, record["commit"], [json.dumps(line | odd).encode()])

    assert run_task(project, "wait", "zzzz").exit_code == 1
    assert "3221225477" in run_task(project, "show", "zzzz").stdout
