"""Logging in to a machine over SSH."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from amltool.errors import UserError
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_failures import LoginError
from tests.components.required import missing
from tests.components.ssh_machine import SshMachine

PASSPHRASE = "correct horse"


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


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


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    if shutil.which("ssh-agent") is None:
        missing("ssh", "ssh-agent is not installed")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    process.terminate()
    process.wait(10)


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
    with pytest.raises(UserError, match=f"The passphrase does not open {closed_key}"):
        lets_in(replace(bare, key_file=closed_key, passphrase=lambda file: "wrong"))


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
