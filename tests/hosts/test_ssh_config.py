"""The way to a machine, as ``~/.ssh/config`` says."""

from __future__ import annotations

import getpass
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from amltool.errors import TargetError, UserError
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_config import way_to
from amltool.hosts.ssh_host_keys import HostKeyError
from tests.components.ssh_machine import SshMachine

RELAY = """
import os, select, socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as there:
    while True:
        for ready in select.select([0, there], [], [])[0]:
            block = os.read(0, 65536) if ready == 0 else there.recv(65536)
            if not block:
                sys.exit()
            there.sendall(block) if ready == 0 else os.write(1, block)
"""


@pytest.fixture
def ssh_folder(isolated_home: Path) -> Path:
    folder = isolated_home / ".ssh"
    folder.mkdir(mode=0o700)
    return folder


def test_without_a_configuration_the_way_is_straight() -> None:
    (hop,) = way_to(SshSettings("vm.example.org"))
    assert (hop.address, hop.port, hop.username, hop.proxy_command) == ("vm.example.org", 22, getpass.getuser(), None)


def test_a_host_of_the_configuration_stands_for_what_it_says(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text(
        "Host vm\n  HostName=10.1.2.3\n  Port 2222\n  User ada\n  IdentityFile ~/.ssh/id_vm\n  IdentitiesOnly yes\n"
        "  UserKnownHostsFile ~/.ssh/known_vm\n  GlobalKnownHostsFile none\n"
    )
    (hop,) = way_to(SshSettings("vm"))
    assert (hop.address, hop.port, hop.username) == ("10.1.2.3", 2222, "ada")
    assert (hop.key_files, hop.only_these) == ((ssh_folder / "id_vm",), True)
    assert hop.known_hosts[0] == ssh_folder / "known_vm"


def test_what_the_compute_target_says_wins_over_the_configuration(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text("Host vm\n  Port 2222\n  User ada\n")
    (hop,) = way_to(SshSettings("vm", port=2022, username="grace"))
    assert (hop.port, hop.username) == (2022, "grace")


def test_other_files_are_included_in_the_block_that_names_them(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text("Include more/*.conf\nHost vm\n  Include vm.inc\n  User ada\n")
    (ssh_folder / "more").mkdir()
    (ssh_folder / "more/other.conf").write_text("Host other\n  User grace\n")
    (ssh_folder / "vm.inc").write_text("Port 2222\n")
    (vm,), (other,), (third,) = (way_to(SshSettings(name)) for name in ("vm", "other", "third"))
    assert (vm.username, vm.port) == ("ada", 2222)
    assert (other.username, other.port) == ("grace", 22)
    assert (third.username, third.port) == (getpass.getuser(), 22)


def test_a_jump_is_a_machine_before_the_one_that_is_meant(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text(
        "Host vm\n  ProxyJump ada@first:2201,second\nHost second\n  HostName 10.0.0.2\n"
        "Host straight\n  ProxyJump none\n"
    )
    assert [(str(hop), hop.username) for hop in way_to(SshSettings("vm", username="grace"))] == [
        ("first:2201", "ada"),
        ("10.0.0.2", getpass.getuser()),
        ("vm", "grace"),
    ]
    assert len(way_to(SshSettings("straight"))) == 1


def test_a_jump_may_itself_be_behind_another(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text("Host vm\n  ProxyJump inner\nHost inner\n  ProxyJump outer\n")
    assert [hop.address for hop in way_to(SshSettings("vm"))] == ["outer", "inner", "vm"]


def test_a_way_in_a_circle_is_refused(ssh_folder: Path) -> None:
    (ssh_folder / "config").write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(UserError, match="more than 8 machines"):
        way_to(SshSettings("a"))


@pytest.mark.parametrize("text", ["Host vm\n  Port many\n", "Host vm\n  ProxyJump a:b:c\n", "Match nonsense\n"])
def test_a_wrong_configuration_is_a_sentence(ssh_folder: Path, text: str) -> None:
    (ssh_folder / "config").write_text(text)
    with pytest.raises(UserError, match="config"):
        way_to(SshSettings("vm"))


def write_jump(ssh_folder: Path, machine: SshMachine, jump: SshMachine) -> SshSettings:
    (ssh_folder / "config").write_text(
        f"Host vm\n  HostName {machine.address}\n  ProxyJump jump\n"
        f"Host jump\n  HostName {jump.address}\n  User {jump.user}\n  IdentityFile {jump.key_file}\n"
    )
    return SshSettings("vm", username=machine.user, key_file=machine.key_file)


def test_a_machine_behind_another_is_reached_over_it(
    ssh_folder: Path, isolated_home: Path, ssh_machine: SshMachine, ssh_jump: SshMachine
) -> None:
    ssh_machine.only_from(ssh_jump.address)
    settings = write_jump(ssh_folder, ssh_machine, ssh_jump)
    for machine in (ssh_machine, ssh_jump):
        machine.known_to(isolated_home)
    host = SshHost(settings)
    assert host.run(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).stdout.decode().startswith(ssh_machine.host_key)
    host.close()
    with pytest.raises(TargetError, match="unreachable"):
        SshHost(replace(settings, address=ssh_machine.address)).connect()


@pytest.mark.parametrize("known", ["machine", "jump"])
def test_the_host_key_of_every_machine_on_the_way_is_checked(
    ssh_folder: Path, isolated_home: Path, ssh_machine: SshMachine, ssh_jump: SshMachine, known: str
) -> None:
    settings = write_jump(ssh_folder, ssh_machine, ssh_jump)
    (ssh_machine if known == "machine" else ssh_jump).known_to(isolated_home)
    with pytest.raises(HostKeyError) as refused:
        SshHost(settings).connect()
    assert refused.value.offered.host == (ssh_jump if known == "machine" else ssh_machine).address


def test_a_jump_that_cannot_reach_the_machine_says_so(
    ssh_folder: Path, isolated_home: Path, ssh_machine: SshMachine, ssh_jump: SshMachine
) -> None:
    settings = write_jump(ssh_folder, ssh_machine, ssh_jump)
    ssh_jump.known_to(isolated_home)
    ssh_machine.only_from("192.0.2.1")
    with pytest.raises(TargetError, match=f"{ssh_machine.address} is unreachable: the machine before it cannot"):
        SshHost(settings).connect()


def test_a_program_can_be_the_way_to_a_machine(
    ssh_folder: Path, isolated_home: Path, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    (tmp_path / "relay.py").write_text(RELAY)
    ssh_machine.known_to(isolated_home)
    (ssh_folder / "config").write_text(
        f"Host vm\n  HostName {ssh_machine.address}\n  ProxyCommand {sys.executable} {tmp_path}/relay.py %h %p\n"
    )
    host = SshHost(SshSettings("vm", username=ssh_machine.user, key_file=ssh_machine.key_file))
    assert host.facts().user == ssh_machine.user
    host.close()
