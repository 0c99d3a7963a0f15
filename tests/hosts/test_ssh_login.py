"""Logging in to a machine over SSH."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.hosts import ssh_passphrases
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_failures import LoginError
from tests.components.required import missing
from tests.components.ssh_agent import agent_fixture, no_agent_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.ssh_machine import SshMachine

PASSPHRASE = "correct horse"
GRACE_S = 4
"""How long an impatient server waits for a login; one that nobody types for needs less, also on a busy machine."""


@pytest.fixture
def bare(ssh_machine: SshMachine, tmp_path: Path) -> SshSettings:
    """How to reach the machine, with nothing to log in with."""
    return replace(ssh_machine.settings(tmp_path), key_file=None)


@pytest.fixture
def closed_key(ssh_machine: SshMachine, tmp_path: Path) -> Path:
    """The key, protected by a passphrase."""
    key = tmp_path / "id_closed"
    shutil.copy(ssh_machine.key_file, key)
    shutil.copy(ssh_machine.key_file.with_suffix(".pub"), f"{key}.pub")
    run("ssh-keygen", "-q", "-p", "-N", PASSPHRASE, "-f", str(key))
    return key


def run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        missing("ssh", f"{command[0]} is not installed")
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def lets_in(settings: SshSettings) -> bool:
    host = SshHost(settings)
    try:
        return host.run(["true"]).exit_code == 0
    finally:
        host.close()


def test_with_a_password(bare: SshSettings, ssh_machine: SshMachine) -> None:
    assert lets_in(replace(bare, password=lambda: ssh_machine.password, use_ssh_key=False))


def test_a_wrong_password_is_refused_and_not_repeated_to_anybody(bare: SshSettings) -> None:
    with pytest.raises(LoginError, match="does not let ada in with the password") as refused:
        lets_in(replace(bare, password=lambda: "hunter2-wrong", use_ssh_key=False))
    assert "hunter2" not in str(refused.value)


def test_with_nothing_to_log_in_with(bare: SshSettings) -> None:
    with pytest.raises(LoginError, match="there was no key and no password to try"):
        lets_in(bare)


def test_with_a_key_that_lies_where_ssh_has_it(bare: SshSettings, ssh_machine: SshMachine, isolated_home: Path) -> None:
    (isolated_home / ".ssh").mkdir()
    shutil.copy(ssh_machine.key_file, isolated_home / ".ssh/id_ed25519")
    assert lets_in(bare)


@pytest.mark.parametrize(
    "kind", [["-t", "rsa", "-b", "2048"], ["-t", "rsa", "-b", "2048", "-m", "PEM"], ["-t", "ecdsa"]]
)
def test_a_key_that_the_machine_does_not_know_is_refused_by_name(
    bare: SshSettings, tmp_path: Path, kind: list[str]
) -> None:
    key = tmp_path / "id_other"
    run("ssh-keygen", "-q", *kind, "-N", "", "-f", str(key))
    with pytest.raises(LoginError, match=f"with {key}"):
        lets_in(replace(bare, key_file=key))


def test_a_password_helps_where_the_key_does_not(bare: SshSettings, ssh_machine: SshMachine, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id_other"))
    assert lets_in(replace(bare, key_file=tmp_path / "id_other", password=lambda: ssh_machine.password))


def test_a_passphrase_is_asked_for_once(bare: SshSettings, closed_key: Path, ssh_machine: SshMachine) -> None:
    asked: list[str] = []

    def passphrase(file: str) -> str:
        asked.append(file)
        return PASSPHRASE

    host = SshHost(replace(bare, key_file=closed_key, passphrase=passphrase))
    host.connect()
    host.close()
    host.connect()
    host.close()
    assert asked == [str(closed_key)]


@pytest.mark.parametrize("form", ["openssh", "PEM"])
def test_a_wrong_passphrase_is_said(bare: SshSettings, closed_key: Path, form: str) -> None:
    if form == "PEM":
        closed_key.unlink()
        run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", PASSPHRASE, "-f", str(closed_key))
    with pytest.raises(UserError, match=f"privateKeyPassphrase refers to does not open {closed_key}"):
        lets_in(replace(bare, key_file=closed_key, passphrase=lambda file: "wrong"))


def test_the_passphrase_of_the_compute_target_need_not_open_the_key_of_a_machine_on_the_way(
    ssh_machine: SshMachine, ssh_jump: SshMachine, closed_key: Path, isolated_home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "id_jump"
    shutil.copy(ssh_jump.key_file, other)
    run("ssh-keygen", "-q", "-p", "-N", "another", "-f", str(other))
    (isolated_home / ".ssh").mkdir()
    (isolated_home / ".ssh/config").write_text(
        f"Host vm\n  HostName {ssh_machine.address}\n  ProxyJump door\n"
        f"Host door\n  HostName {ssh_jump.address}\n  User {ssh_jump.user}\n"
        f"  IdentityFile {other}\n  IdentityFile {ssh_jump.key_file}\n"
    )
    known = tmp_path / "known_hosts"
    known.write_text(ssh_machine.known_hosts_line + ssh_jump.known_hosts_line)
    settings = SshSettings("vm", username=ssh_machine.user, key_file=closed_key, known_hosts=(known,))
    assert lets_in(replace(settings, passphrase=lambda file: PASSPHRASE))


def test_who_types_slowly_is_not_asked_again(
    bare: SshSettings, closed_key: Path, ssh_machine: SshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_passphrases, "_typed", {})
    asked: list[Path] = []

    def person(file: Path, is_wrong: bool) -> str:
        asked.append(file)
        time.sleep(GRACE_S + 1)
        return PASSPHRASE

    monkeypatch.setattr(ssh_passphrases, "_person", person)
    options = ["-o", f"LoginGraceTime={GRACE_S}", "-o", "PidFile=/run/impatient.pid"]
    ssh_machine.execute(["/usr/sbin/sshd", "-p", "2222", *options])
    line = ssh_machine.known_hosts_line.replace(ssh_machine.address, f"[{ssh_machine.address}]:2222")
    bare.known_hosts[0].write_text(line)
    try:
        assert lets_in(replace(bare, port=2222, key_file=closed_key))
    finally:
        ssh_machine.execute(["pkill", "-F", "/run/impatient.pid"])
    assert asked == [closed_key]


def test_a_key_whose_passphrase_nobody_can_type_is_said(bare: SshSettings, closed_key: Path) -> None:
    with pytest.raises(UserError, match="protected by a passphrase"):
        lets_in(replace(bare, key_file=closed_key))


def test_a_closed_key_where_ssh_has_it_is_named_when_nothing_else_helps(
    bare: SshSettings, closed_key: Path, isolated_home: Path
) -> None:
    (isolated_home / ".ssh").mkdir()
    shutil.copy(closed_key, isolated_home / ".ssh/id_ed25519")
    with pytest.raises(LoginError, match="id_ed25519 needs its passphrase"):
        lets_in(bare)


def test_a_file_that_is_no_key_does_not_keep_others_from_being_tried(
    bare: SshSettings, ssh_machine: SshMachine, isolated_home: Path
) -> None:
    (isolated_home / ".ssh").mkdir()
    (isolated_home / ".ssh/id_ed25519").write_text("not a key\n")
    with pytest.raises(LoginError, match="id_ed25519 is no private key that amltool can use"):
        lets_in(bare)
    shutil.copy(ssh_machine.key_file, isolated_home / ".ssh/id_rsa")
    assert lets_in(bare)


def test_a_key_without_its_public_part_is_opened_by_the_agent(
    bare: SshSettings, closed_key: Path, ssh_machine: SshMachine, agent: None
) -> None:
    Path(f"{closed_key}.pub").unlink()
    run("ssh-add", "-q", str(ssh_machine.key_file))
    assert lets_in(replace(bare, key_file=closed_key))


def test_with_the_agent(bare: SshSettings, ssh_machine: SshMachine, agent: None) -> None:
    run("ssh-add", "-q", str(ssh_machine.key_file))
    assert lets_in(bare)


def test_a_closed_key_is_opened_by_the_agent(
    bare: SshSettings, closed_key: Path, ssh_machine: SshMachine, agent: None
) -> None:
    run("ssh-add", "-q", str(ssh_machine.key_file))
    assert lets_in(replace(bare, key_file=closed_key))


def test_a_configuration_may_leave_the_agents_other_keys_out(
    bare: SshSettings, ssh_machine: SshMachine, isolated_home: Path, agent: None
) -> None:
    run("ssh-add", "-q", str(ssh_machine.key_file))
    (isolated_home / ".ssh").mkdir()
    (isolated_home / ".ssh/config").write_text("Host *\n  IdentitiesOnly yes\n")
    with pytest.raises(LoginError):
        lets_in(bare)


def test_a_key_file_that_is_not_there(bare: SshSettings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        lets_in(replace(bare, key_file=tmp_path / "missing"))


def test_a_key_file_that_is_none(bare: SshSettings, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("not a key\n")
    with pytest.raises(UserError, match="is no private key that amltool can use"):
        lets_in(replace(bare, key_file=tmp_path / "id"))


def test_more_keys_than_a_machine_tries_is_said(bare: SshSettings, isolated_home: Path, tmp_path: Path) -> None:
    (isolated_home / ".ssh").mkdir()
    for number in range(8):
        key = tmp_path / f"id_{number}"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    names = "".join(f"  IdentityFile {tmp_path}/id_{number}\n" for number in range(8))
    (isolated_home / ".ssh/config").write_text(f"Host *\n{names}")
    with pytest.raises(LoginError, match="takes no more attempts"):
        lets_in(bare)


def test_the_password_is_in_no_process_list(bare: SshSettings, ssh_machine: SshMachine) -> None:
    host = SshHost(replace(bare, password=lambda: ssh_machine.password, use_ssh_key=False))
    there = host.run(["ps", "-eo", "args"]).stdout.decode()
    here = b"".join(file.read_bytes() for file in Path("/proc").glob(f"{os.getpid()}/cmdline"))
    host.close()
    assert "python3 -I -S -B" in there
    assert ssh_machine.password not in there
    assert ssh_machine.password.encode() not in here
