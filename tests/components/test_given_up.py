"""A machine that is gone for good: its runs can be given up here, and nothing is lost that is known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import unfinished
from tests.components.remote_projects import KINDS, make_of, record, start
from tests.components.ssh_machine import SshMachine
from tests.waiting import promised

LONG = {"long.py": "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_a_machine_that_does_not_come_back_is_given_up(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path, LONG)
    run_id = start(project, "long.py")
    ssh_machine.stop_sshd()

    refused = amltool(project, "cancel", run_id, check=False)
    began = time.monotonic()
    given_up = amltool(project, "cancel", run_id, "--give-up")

    assert (refused.returncode, given_up.returncode) == (1, 0)
    assert f"amltool cancel {run_id} --give-up" in refused.stderr
    assert "amltool clean --target vm" in given_up.stderr
    assert time.monotonic() - began < promised(60)
    found = record(project, run_id)
    assert (found["status"], found["exit_code"], found["artifacts"]) == ("Canceled", None, [])
    assert found["reason"] == f"given up: {ssh_machine.address} did not answer, nothing was collected"
    assert unfinished(project) == []
    ssh_machine.start_sshd()
    ssh_machine.execute(["pkill", "-f", "long.py"])


def test_a_run_on_a_machine_that_answers_is_canceled_as_ever(
    request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of("remote", request, tmp_path, LONG)
    run_id = start(project, "long.py")

    said = amltool(project, "cancel", run_id, "--give-up").stderr

    found = record(project, run_id)
    assert found["status"] == "Canceled"
    assert "given up" not in f"{found['reason']}{said}"
    assert "long.py" not in ssh_machine.execute(["ps", "-eo", "args"])[1]
