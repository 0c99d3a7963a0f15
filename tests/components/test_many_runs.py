"""Many runs at once, on several machines: each comes back whole, whoever else connects at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.amltool_command import amltool
from tests.components.docker_projects import PLAIN, RUN_CONFIGURATION, TOP, compute_file
from tests.components.ssh_machine import SshMachine
from tests.repositories import make_repository

AT_ONCE = 12
"""More than sshd lets knock at once (MaxStartups begins to refuse at 10)."""
SCRIPT = """
import sys, time
time.sleep(1)
open("outputs/number.txt", "w").write(sys.argv[1])
print("number", sys.argv[1])
"""


def test_runs_that_start_at_once_on_two_machines_all_come_back(
    ssh_machine: SshMachine, ssh_jump: SshMachine, tmp_path: Path
) -> None:
    files: dict[str, bytes | str] = {"number.py": SCRIPT, "aml_config/conda_dependencies.yml": PLAIN}
    for name, machine in {"one": ssh_machine, "two": ssh_jump}.items():
        machine.known_to(Path.home())
        settings = {"address": machine.address, "username": machine.user, "privateKeyFile": str(machine.key_file)}
        files[f"aml_config/{name}.compute"] = compute_file({"type": "remote", **settings})
        files[f"aml_config/{name}.runconfig"] = RUN_CONFIGURATION.format(name, "true")
    project = make_repository(tmp_path / "project", files)
    submit = [sys.executable, "-m", "amltool", "submit", "number.py", "--target"]
    environment = {**os.environ, "PYTHONPATH": TOP}

    clients = [
        subprocess.Popen(
            [*submit, "one" if number % 2 else "two", "--", str(number)],
            cwd=project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(AT_ONCE)
    ]
    said = [(*client.communicate(timeout=240), client.returncode) for client in clients]

    assert [errors for _, errors, code in said if code] == []
    assert [printed for printed, _, _ in said] == [f"number {number}\n" for number in range(AT_ONCE)]
    recorded = json.loads(amltool(project, "runs", "--json").stdout)
    assert sorted(run["arguments"][0] for run in recorded) == sorted(map(str, range(AT_ONCE)))
    assert {run["status"] for run in recorded} == {"Completed"}
    assert len({run["host"] for run in recorded}) == 2
    for machine in (ssh_machine, ssh_jump):
        assert "number.py" not in machine.execute(["ps", "-eo", "args"])[1]
