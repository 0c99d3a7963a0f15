"""A cancel that is asked for while the run's machine is away: it is kept, done when there is an answer, and recorded as
what it was; meanwhile the run can be looked at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.run import ENDED_FIRST
from tests.amltool_command import amltool
from tests.components.docker_projects import unfinished
from tests.components.remote_projects import (
    KINDS,
    SAMPLED,
    Client,
    ends_over_there,
    make_of,
    nothing_is_left,
    processes_there,
    record,
    start,
)
from tests.components.ssh_machine import SshMachine

LONG = "import time\nprint('begun', flush=True)\ntime.sleep(4711)\n"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with the target ``vm`` of each kind."""
    return make_of(kind, request, tmp_path, {"long.py": LONG})


NOTICED_S = 120.0
"""Whoever drives a run notices that its machine is away within 15 s, on a machine that has not much else to do."""


def begun(project: Path, script: str) -> str:
    """The id of a run that goes on in the background, and has begun."""
    run_id = start(project, script)
    following = Client(project, "logs", "-f", run_id)
    following.prints("line 9" if script == "told.py" else "begun")
    following.kill()
    return run_id


def shown(project: Path, run_id: str) -> dict[str, Any]:
    """What is shown of it; takes its time where the machine has to be asked."""
    found: dict[str, Any] = json.loads(amltool(project, "show", run_id, "--json").stdout)
    return found


def test_a_run_that_ended_by_itself_meanwhile_is_completed_with_all_it_left(
    project: Path, ssh_machine: SshMachine
) -> None:
    run_id = begun(project, "told.py")
    ssh_machine.cut()
    refused = amltool(project, "cancel", run_id, check=False)
    assert (refused.returncode, "The cancel is kept" in refused.stderr) == (1, True)
    ends_over_there(ssh_machine, run_id)
    ssh_machine.mend()

    done = amltool(project, "wait", run_id)

    assert ENDED_FIRST in done.stderr
    found = record(project, run_id)
    assert (found["status"], found["exit_code"], found["reason"]) == ("Completed", 0, ENDED_FIRST)
    assert "outputs/done.txt" in [artifact["path"] for artifact in found["artifacts"]]
    assert unfinished(project) == []


@SAMPLED
def test_a_run_that_went_on_meanwhile_is_canceled_when_there_is_an_answer(
    project: Path, ssh_machine: SshMachine
) -> None:
    run_id = begun(project, "long.py")
    ssh_machine.cut()
    amltool(project, "cancel", run_id, check=False)
    until = time.monotonic() + NOTICED_S
    while not (row := shown(project, run_id))["waits_for"].startswith("an answer: "):
        assert time.monotonic() < until, row
    assert (row["status"], row["host"], row["cancel_asked"]) == ("Running", ssh_machine.address, True)
    ssh_machine.mend()

    done = amltool(project, "wait", run_id, check=False)

    assert done.returncode == 130
    assert record(project, run_id)["status"] == "Canceled"
    assert [line for line in processes_there(ssh_machine) if "long.py" in line] == []
    nothing_is_left(project, ssh_machine, cut=True)


def test_a_run_that_nobody_drives_is_shown_also_while_its_machine_is_away(
    request: pytest.FixtureRequest, tmp_path: Path, ssh_machine: SshMachine
) -> None:
    project = make_of("remote", request, tmp_path, {"long.py": LONG})
    run_id = begun(project, "long.py")
    command = f"amltool.tasks.background {project} {run_id}"
    drivers = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=True).stdout.split()
    for driver in drivers:
        os.kill(int(driver), signal.SIGKILL)
    ssh_machine.cut()

    row = shown(project, run_id)
    lines = amltool(project, "show", run_id)

    assert (row["status"], row["commit"] in lines.stdout) == ("Running", True)
    assert row["waits_for"].startswith("an answer: ")
    assert "waits for" in lines.stdout
    assert "Traceback" not in lines.stderr
    ssh_machine.mend()
    amltool(project, "cancel", run_id)
