"""A password given to `attach` is in no file, no process list, no environment of ours, no log: here and over there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project
from tests.components.canaries import Canaries
from tests.components.file_keyring import keyring_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.ssh_machine import SshMachine
from tests.repositories import git
from tests.terminal import at_terminal
from tests.waiting import wait_until

SLOW = """
import os, time
print(sorted(os.environ), flush=True)
open("outputs/model.txt", "w").write("trained")
open("logs/there", "w").write("x")
while not os.path.exists(os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + "go"):
    time.sleep(0.1)
"""
LOOKING = (["runs"], ["show", "@", "--json"], ["logs", "@"], ["outputs", "@"], ["targets", "--check"], ["doctor"])


@pytest.fixture
def project(ssh_machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh_machine.known_to(Path.home())
    return make_project(tmp_path / "iris", {"train.py": "print('ran')\n", "slow.py": SLOW})


def uses(project: Path, machine: SshMachine, canaries: Canaries) -> str:
    """What a user does with an attached machine, and all that it printed; a run of it is looked at over there."""
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "attached")
    path = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} if "TEST_KEYRING" in os.environ else {}
    said = ""

    def do(*words: str) -> None:
        nonlocal said
        done = amltool(project, *words, **path)
        said += done.stdout + done.stderr

    do("submit", "train.py", "--target", "vm")
    do("submit", "slow.py", "--target", "vm", "--detach")
    share = f"{machine.home}/.azureml/share"
    wait_until(lambda: machine.execute(["sh", "-c", f"ls {machine.home}/.amltool/runs/*/work/logs/there"])[0] == 0)
    assert not canaries.in_processes_of(machine)
    assert canaries.in_machine(machine) == []
    machine.execute(["sh", "-c", f"touch $(dirname {share}/*/*/*/.)/go"], user=machine.user)
    do("wait", "@")
    for words in LOOKING:
        do(*words)
    do("clean", "--target", "vm", "--yes")
    do("detach", "vm")
    return said


def test_a_typed_password_is_in_the_keyring_and_nowhere_else(
    project: Path,
    ssh_machine: SshMachine,
    keyring: Path,
    isolated_home: Path,
    tmp_path: Path,
) -> None:
    words = ("attach", "vm", "--type", "remote", "--address", ssh_machine.address, "--username", ssh_machine.user)
    with Canaries(ssh_machine.password) as canaries:
        done = at_terminal(project, *words, "--password", answers=(("Password of", ssh_machine.password),))
        assert done.exit_code == 0, done.screen
        said = done.screen + uses(project, ssh_machine, canaries)
    found_nowhere(canaries, said, project, ssh_machine, isolated_home, tmp_path)


def test_a_password_by_reference_is_in_its_variable_and_nowhere_else(
    project: Path, ssh_machine: SshMachine, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VM_PASSWORD", ssh_machine.password)
    words = ["attach", "vm", "--type", "remote", "--address", ssh_machine.address, "--username", ssh_machine.user]
    with Canaries(ssh_machine.password, allowed=("VM_PASSWORD",)) as canaries:
        said = amltool(project, *words, "--password-reference", "${env:VM_PASSWORD}").stdout
        said += uses(project, ssh_machine, canaries)
    found_nowhere(canaries, said, project, ssh_machine, isolated_home, tmp_path)


def test_a_password_that_puts_our_key_there_is_kept_nowhere(
    project: Path, ssh_machine: SshMachine, isolated_home: Path, tmp_path: Path
) -> None:
    keys = f"{ssh_machine.home}/.ssh/authorized_keys"
    before = ssh_machine.execute(["cat", keys])[1]
    words = ("attach", "vm", "--type", "remote", "--address", ssh_machine.address, "--username", ssh_machine.user)
    try:
        with Canaries(ssh_machine.password) as canaries:
            done = at_terminal(project, *words, "--use-ssh-key", answers=(("Password of", ssh_machine.password),))
            assert done.exit_code == 0, done.screen
            said = done.screen + uses(project, ssh_machine, canaries)
    finally:
        ssh_machine.execute(["sh", "-c", 'cat > "$0"', keys], reads=before)
    found_nowhere(canaries, said, project, ssh_machine, isolated_home, tmp_path)


def found_nowhere(canaries: Canaries, said: str, project: Path, machine: SshMachine, *folders: Path) -> None:
    assert canaries.seen > 50, "processes of ours were looked at"
    assert canaries.in_processes == []
    assert not canaries.in_text(said.encode())
    assert not canaries.in_objects(project)
    assert canaries.in_folders(project, *folders) == []
    assert canaries.in_machine(machine) == []


@pytest.mark.parametrize("place", ["command line", "environment"])
def test_a_password_that_a_process_shows_is_found(place: str) -> None:
    secret = "a secret/4711"
    words = [secret] if place == "command line" else []
    variables = {"SECRET": secret} if place == "environment" else {}
    with Canaries(secret) as canaries:
        command = [sys.executable, "-c", "import time; time.sleep(600)", "amltool", *words]
        with subprocess.Popen(command, env={**os.environ, **variables}) as shown:
            try:
                wait_until(lambda: canaries.in_processes)
            finally:
                shown.kill()


def test_a_password_that_is_written_is_found(project: Path, tmp_path: Path) -> None:
    canaries = Canaries("a secret/4711")
    (project / "note.txt").write_text("YSBzZWNyZXQvNDcxMQ==")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "note")
    git(project, "gc", "-q")
    assert canaries.in_objects(project)
    assert canaries.in_folders(project) == [str(project / "note.txt")]


def test_a_password_that_is_written_over_there_is_found(ssh_machine: SshMachine) -> None:
    canaries, file = Canaries("a secret/4711"), f"{ssh_machine.home}/note.txt"
    assert canaries.in_machine(ssh_machine) == []
    ssh_machine.execute(["sh", "-c", 'echo a%20secret%2F4711 > "$0"', file])
    try:
        assert canaries.in_machine(ssh_machine) == [file]
    finally:
        ssh_machine.execute(["rm", file])
