"""conda packages on a machine over SSH that has no conda: py-rattler makes the environment there, and again from its
lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amltool.hosts.ssh import SshHost
from tests.amltool_command import amltool
from tests.components.docker_projects import Submitted, completed, submit, unfinished
from tests.components.remote_projects import make
from tests.components.ssh_machine import SshMachine
from tests.environments.conda_channel import make_channel

GREET = """
import greeting, sys
print(greeting.greet(), sys.prefix)
open("outputs/said.txt", "w").write(greeting.greet())
"""


@pytest.fixture
def channel(ssh_machine: SshMachine, ssh_host: SshHost, tmp_path: Path) -> str:
    """A conda channel on that machine, for its Python."""
    asked = "import os, platform, sys; print(os.path.realpath(sys.executable), platform.python_version())"
    python, version = ssh_machine.execute(["python3", "-c", asked])[1].split()
    make_channel(tmp_path / "channel", python=python, version=version)
    there = ssh_host.root.parent / "channel"
    for file in (tmp_path / "channel").rglob("*"):
        if file.is_file():
            ssh_host.write(there / file.relative_to(tmp_path / "channel").as_posix(), file.read_bytes())
    return f"file://{there}"


def conda_of(channel: str) -> str:
    return f"channels: ['{channel}']\ndependencies: [python, greeting, phrases=1.0]\n"


@pytest.mark.usefixtures("package_index")
def test_it_is_built_there_and_again_from_its_lock(
    ssh_machine: SshMachine, ssh_host: SshHost, channel: str, tmp_path: Path, ca_certificates: Path | None
) -> None:
    files: dict[str, bytes | str] = {"train.py": GREET, "aml_config/conda_dependencies.yml": conda_of(channel)}
    certificates = {"caCertificates": str(ca_certificates)} if ca_certificates else {}
    project = make(tmp_path, ssh_machine, files, userManagedEnvironment=False, **certificates)

    first = submit(project, target="vm")
    run_id = completed(first)["run_id"]
    again = submit(project, target="vm")

    assert "py-rattler" in first.said
    assert first.printed.startswith(f"hello {ssh_machine.home}/.amltool/environments/")
    assert "Building" not in again.said
    assert completed(again)["environment"] == completed(first)["environment"]
    assert explicit_of(project, run_id, tmp_path)[-1].split("/")[-1].startswith("greeting-2.0")

    ssh_machine.execute(["rm", "-rf", f"{ssh_machine.home}/.amltool/environments"])
    repeated = amltool(project, "rerun", run_id, "--json")
    assert json.loads(repeated.stdout)["verdict"] == "reproduced"
    assert "Building the execution environment" in repeated.stderr
    assert ssh_machine.execute(["sh", "-c", f"ls -d {ssh_machine.home}/.amltool/environments/*/build"])[0] != 0


def test_where_no_index_answers_it_says_what_to_install(ssh_machine: SshMachine, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"aml_config/conda_dependencies.yml": conda_of("file:///nowhere")}
    nobody = {"indexUrl": "http://127.0.0.1:9/simple"}
    project = make(tmp_path, ssh_machine, {"train.py": GREET, **files}, userManagedEnvironment=False, pip=nobody)

    refused: Submitted = submit(project, target="vm", PIP_RETRIES="0")

    assert refused.exit_code == 1
    assert f"{ssh_machine.address} has no conda, mamba or micromamba" in refused.said
    assert "micromamba is one file on the PATH" in refused.said
    assert "Traceback" not in refused.said.replace("  | Traceback", "")
    assert unfinished(project) == []


def explicit_of(project: Path, run_id: str, folder: Path) -> list[str]:
    """The conda packages of a run's lock."""
    amltool(project, "outputs", run_id, "--path=environment.lock.json", f"--download={folder / 'locks'}")
    lock = json.loads((folder / "locks" / "environment.lock.json").read_text())
    found: list[str] = lock["conda"]["explicit"] if isinstance(lock.get("conda"), dict) else lock["explicit"]
    return found
