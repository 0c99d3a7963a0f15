"""`doctor` looks at machines over SSH: all at once, and never for longer than a user waits."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.amltool_command import LOCAL, amltool, make_project
from tests.components.ssh_machine import SshMachine
from tests.repositories import commit_all
from tests.waiting import promised

Findings = dict[str, dict[str, str]]


@pytest.fixture
def project(ssh_machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh_machine.known_to(Path.home())
    folder = make_project(tmp_path / "iris", {"train.py": "print('ran')\n"})
    add(folder, "vm", ssh_machine, ssh_machine.address)
    return folder


def add(project: Path, name: str, machine: SshMachine, address: str, kind: str = "remote") -> None:
    compute = {"type": kind, "address": address, "username": machine.user, "privateKeyFile": str(machine.key_file)}
    (project / f"aml_config/{name}.compute").write_text(yaml.safe_dump(compute))


def doctor(project: Path) -> tuple[int, Findings]:
    done = amltool(project, "doctor", "--json", check=False)
    return done.returncode, {finding["what"]: finding for finding in json.loads(done.stdout)}


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_machine_is_described_by_what_a_run_needs(project: Path, ssh_machine: SshMachine) -> None:
    code, found = doctor(project)
    assert code == 0
    vm = found["target vm"]
    assert vm["level"] == "ok"
    assert vm["message"].startswith(f"remote, {ssh_machine.address}: reached, host key known, logged in; Python 3.")
    for part in ("; git version 2.", " GB free", "; clock as here"):
        assert part in vm["message"]


def test_the_docker_of_a_machine_is_asked(project: Path, ssh_machine: SshMachine) -> None:
    add(project, "docker", ssh_machine, ssh_machine.address, "remotedocker")
    ssh_machine.start_docker()
    assert "; Docker 20." in doctor(project)[1]["target docker"]["message"]

    ssh_machine.stop_docker()
    code, found = doctor(project)
    assert (code, found["target docker"]["level"], found["target vm"]["level"]) == (1, "error", "ok")
    assert f"Docker does not answer on {ssh_machine.address}" in found["target docker"]["message"]
    assert "systemctl start docker" in found["target docker"]["remedy"]


def test_machines_that_are_off_are_said_at_once_and_hold_nobody_up(
    project: Path, ssh_machine: SshMachine, silent: str
) -> None:
    for number in range(3):
        add(project, f"silent{number}", ssh_machine, silent)
    add(project, "off", ssh_machine, "127.0.0.1:1")
    began = time.monotonic()
    code, found = doctor(project)
    assert time.monotonic() - began < promised(15)
    assert (code, found["target vm"]["level"]) == (0, "ok")
    for name in ("silent0", "silent1", "silent2", "off"):
        assert found[f"target {name}"]["level"] == "warning"
        assert "is unreachable" in found[f"target {name}"]["message"]
    assert "it refuses the connection" in found["target off"]["message"]


def test_a_machine_without_git_is_told_what_that_costs(project: Path, ssh_machine: SshMachine) -> None:
    place = ssh_machine.execute(["sh", "-c", "command -v git"])[1].strip()
    ssh_machine.execute(["mv", place, f"{place}.away"])
    try:
        code, found = doctor(project)
    finally:
        ssh_machine.execute(["mv", f"{place}.away", place])
    assert (code, found["target vm"]["level"]) == (0, "ok")
    assert "; no git; " in found["target vm"]["message"]
    assert found["target vm: git"]["level"] == "warning"
    assert "apt-get install git" in found["target vm: git"]["remedy"]


def test_a_user_who_is_not_let_in_is_an_error(project: Path, ssh_machine: SshMachine) -> None:
    path = project / "aml_config/vm.compute"
    path.write_text(path.read_text().replace(f"username: {ssh_machine.user}", "username: nobody-there"))
    code, found = doctor(project)
    assert (code, found["target vm"]["level"]) == (1, "error")
    assert "does not let nobody-there in" in found["target vm"]["message"]


def test_start_files_that_print_are_passed_over_and_said(project: Path, ssh_machine: SshMachine) -> None:
    spoil = "touch ~/.bashrc; cp ~/.bashrc ~/.bashrc.kept; { echo 'echo hello'; cat ~/.bashrc.kept; } > ~/.bashrc"
    assert ssh_machine.execute(["sh", "-c", spoil], user=ssh_machine.user)[0] == 0
    try:
        assert "start files print (hello)" in doctor(project)[1]["target vm"]["message"]
        assert "start files print (hello)" in amltool(project, "targets", "--check").stdout
        (project / "aml_config/vm.runconfig").write_text(LOCAL["aml_config/local.runconfig"].replace('"local"', '"vm"'))
        commit_all(project)
        assert "ran" in amltool(project, "submit", "train.py", "--target", "vm").stdout
    finally:
        ssh_machine.execute(["sh", "-c", "mv ~/.bashrc.kept ~/.bashrc"], user=ssh_machine.user)
