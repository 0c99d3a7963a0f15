"""A machine that is not the one it should be: `attach` and `submit` send it nothing, and say so."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.amltool_command import amltool, make_project
from tests.components.ssh_machine import SshMachine, new_machine

Lines = Callable[[SshMachine], str]
COMMANDS = ["attach", "submit", "check", "doctor"]


def other_key(machine: SshMachine) -> str:
    kind, key = machine.host_key.split()
    return f"{kind} {base64.b64encode(base64.b64decode(key)[:-1] + b'x').decode()}"


def hashed(name: str) -> str:
    """As ``HashKnownHosts yes`` writes a name."""
    salt = os.urandom(20)
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


REFUSED: dict[str, tuple[Lines, str]] = {
    "unknown": (lambda machine: "", "is not known"),
    "known on another port only": (lambda machine: f"[{machine.address}]:2222 {machine.host_key}\n", "is not known"),
    "not the one that is meant": (lambda machine: f"*,!{machine.address} {machine.host_key}\n", "is not known"),
    "changed": (lambda machine: f"{machine.address} {other_key(machine)}\n", "has changed"),
    "changed, by a hashed name": (lambda machine: f"{hashed(machine.address)} {other_key(machine)}\n", "has changed"),
    "revoked": (lambda machine: f"@revoked * {machine.host_key}\n", "is revoked"),
    "known and revoked": (
        lambda machine: f"{machine.known_hosts_line}@revoked {hashed(machine.address)} {machine.host_key}\n",
        "is revoked",
    ),
    "of a host authority": (
        lambda machine: f"@cert-authority {machine.address} {machine.host_key}\n",
        "which amltool does not understand",
    ),
}


@pytest.fixture(scope="module")
def _own_machine(ssh_image: str) -> Iterator[SshMachine]:
    """What the log of a machine shows is of the tests of this module only: no run of another test goes on there."""
    yield from new_machine()


@pytest.fixture(scope="module")
def _own_jump(ssh_image: str) -> Iterator[SshMachine]:
    yield from new_machine()


@pytest.fixture
def ssh_machine(_own_machine: SshMachine) -> SshMachine:
    return _own_machine


@pytest.fixture
def ssh_jump(_own_jump: SshMachine) -> SshMachine:
    return _own_jump


@pytest.fixture
def project(ssh_machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    compute = {
        "type": "remote",
        "address": ssh_machine.address,
        "username": ssh_machine.user,
        "privateKeyFile": str(ssh_machine.key_file),
    }
    configuration = {"ArgumentVector": ["$file"], "Target": "vm", "Framework": "Python"}
    return make_project(
        tmp_path / "iris",
        {
            "train.py": "print('ran')\n",
            "aml_config/vm.compute": yaml.safe_dump(compute),
            "aml_config/vm.runconfig": yaml.safe_dump(configuration),
        },
    )


def words(command: str, machine: SshMachine) -> list[str]:
    key = ["--key-file", str(machine.key_file)]
    return {
        "attach": ["attach", "new", "--type", "remote", "--address", machine.address, "--username", machine.user, *key],
        "submit": ["submit", "train.py", "--target", "vm"],
        "check": ["targets", "--check"],
        "doctor": ["doctor"],
    }[command]


def know(home: Path, lines: str) -> Path:
    file = home / ".ssh/known_hosts"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(lines)
    return file


def sshd_log(machine: SshMachine) -> str:
    """All that its sshd has to say by now; what a connection that is still open would add is waited for."""
    machine.wait_for_silence()
    return machine.execute(["cat", "/var/log/sshd.log"])[1]


@pytest.mark.parametrize("command", ["attach", "submit"])
@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_sent_to_a_machine_whose_host_key_is(
    case: str, command: str, project: Path, ssh_machine: SshMachine, isolated_home: Path
) -> None:
    lines, said = REFUSED[case]
    known = know(isolated_home, lines(ssh_machine))
    before, log = known.read_bytes(), sshd_log(ssh_machine)

    done = amltool(project, *words(command, ssh_machine), check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"The host key of {ssh_machine.address} ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 2, "what happened, and what to do"
    assert known.read_bytes() == before
    assert not (project / "aml_config/new.compute").exists()
    assert json.loads(amltool(project, "runs", "--json").stdout) == []
    assert list((project / ".git/amltool/runs").glob("*")) == []
    # sshd names the user as soon as a byte of a login came
    new = sshd_log(ssh_machine).removeprefix(log)
    assert ssh_machine.user not in new
    assert "authenticating" not in new


@pytest.mark.parametrize("command", COMMANDS)
def test_the_log_of_the_machine_would_show_a_login(
    command: str, project: Path, ssh_machine: SshMachine, isolated_home: Path
) -> None:
    know(isolated_home, ssh_machine.known_hosts_line)
    log = sshd_log(ssh_machine)
    amltool(project, *words(command, ssh_machine))
    assert f"Accepted publickey for {ssh_machine.user}" in sshd_log(ssh_machine).removeprefix(log)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_machine_by_a_hashed_name_is_known(
    command: str, project: Path, ssh_machine: SshMachine, isolated_home: Path
) -> None:
    known = know(isolated_home, f"{hashed(ssh_machine.address)} {ssh_machine.host_key}\n")
    before = known.read_bytes()
    amltool(project, *words(command, ssh_machine))
    assert known.read_bytes() == before


def test_a_machine_on_another_port_is_known_by_its_port(
    project: Path, ssh_machine: SshMachine, isolated_home: Path
) -> None:
    ssh_machine.execute(["/usr/sbin/sshd", "-p", "2222", "-E", "/var/log/sshd.log", "-o", "PidFile=/run/second.pid"])
    try:
        address = ["--address", f"{ssh_machine.address}:2222", "--key-file", str(ssh_machine.key_file)]
        attach = ["attach", "new", "--type", "remote", "--username", ssh_machine.user, *address]
        known = know(isolated_home, ssh_machine.known_hosts_line)
        refused = amltool(project, *attach, check=False)
        assert f"The host key of [{ssh_machine.address}]:2222 is not known" in refused.stderr
        know(isolated_home, f"{hashed(f'[{ssh_machine.address}]:2222')} {ssh_machine.host_key}\n")
        amltool(project, *attach)
        assert "ran" in amltool(project, "submit", "train.py", "--target", "new").stdout
        assert known.read_text().count("\n") == 1
    finally:
        ssh_machine.execute(["pkill", "-F", "/run/second.pid"])


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_who_only_looks_names_the_host_key_as_well(
    command: str, project: Path, ssh_machine: SshMachine, isolated_home: Path
) -> None:
    know(isolated_home, f"{ssh_machine.address} {other_key(ssh_machine)}\n")
    done = amltool(project, *words(command, ssh_machine), check=False, COLUMNS="1000")
    assert done.returncode == 1
    assert f"The host key of {ssh_machine.address} has changed" in done.stdout


@pytest.mark.parametrize("changed", ["the machine", "the machine before it"])
def test_a_machine_behind_another_is_checked_as_well(
    changed: str, project: Path, ssh_machine: SshMachine, ssh_jump: SshMachine, isolated_home: Path
) -> None:
    (isolated_home / ".ssh").mkdir(mode=0o700)
    (isolated_home / ".ssh/config").write_text(
        f"Host {ssh_machine.address}\n  ProxyJump {ssh_jump.user}@{ssh_jump.address}\n"
        f"Host *\n  IdentityFile {ssh_jump.key_file}\n"
    )
    wrong, right = (ssh_machine, ssh_jump) if changed == "the machine" else (ssh_jump, ssh_machine)
    known = know(isolated_home, right.known_hosts_line + f"{wrong.address} {other_key(wrong)}\n")
    before, logs = known.read_bytes(), (sshd_log(ssh_machine), sshd_log(ssh_jump))

    done = amltool(project, *words("submit", ssh_machine), check=False)

    assert done.returncode == 1
    assert f"The host key of {wrong.address} has changed" in done.stderr
    assert known.read_bytes() == before
    at_machine = sshd_log(ssh_machine).removeprefix(logs[0])
    at_jump = sshd_log(ssh_jump).removeprefix(logs[1])
    assert ssh_machine.user not in at_machine
    assert (f"Accepted publickey for {ssh_jump.user}" in at_jump) is (changed == "the machine")
    assert changed == "the machine" or at_machine == "", "nobody connected to it"
