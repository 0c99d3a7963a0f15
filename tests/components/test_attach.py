"""`attach`, `detach` and `targets --check` against a real machine over SSH, through the real command line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from amltool.hosts.ssh_host_keys import fingerprint
from tests.amltool_command import amltool, make_project
from tests.components.file_keyring import keyring_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.ssh_agent import no_agent_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.ssh_machine import SshMachine
from tests.terminal import at_terminal
from tests.waiting import promised


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "iris", {"train.py": "print('ran')\n"})


@pytest.fixture
def machine(ssh_machine: SshMachine) -> Iterator[SshMachine]:
    """A machine whose authorized keys are afterwards what they were."""
    keys = f"{ssh_machine.home}/.ssh/authorized_keys"
    ssh_machine.execute(["cp", "-p", keys, "/var/tmp/kept_keys"])
    yield ssh_machine
    ssh_machine.execute(["cp", "-p", "/var/tmp/kept_keys", keys])


@pytest.fixture
def known(machine: SshMachine, isolated_home: Path) -> SshMachine:
    machine.known_to(isolated_home)
    return machine


def attach(folder: Path, machine: SshMachine, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    words = ["attach", "vm", "--address", machine.address, *options]
    if "--type" not in options:
        words += ["--type", "remote"]
    if "--username" not in options:
        words += ["--username", machine.user]
    return amltool(folder, *words, check=check)


def compute(folder: Path) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((folder / "aml_config/vm.compute").read_text())
    return found


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "aml_config").glob("vm.*"))


def authorized(machine: SshMachine) -> list[str]:
    return machine.execute(["cat", f"{machine.home}/.ssh/authorized_keys"])[1].splitlines()


# host keys


def test_an_unknown_host_key_is_refused_where_nobody_can_be_asked(
    project: Path, machine: SshMachine, isolated_home: Path
) -> None:
    done = attach(project, machine, "--key-file", str(machine.key_file), check=False)
    assert done.returncode == 1
    assert f"The host key of {machine.address} is not known: ssh-ed25519 {machine.fingerprint}." in done.stderr
    assert f"--accept-host-key {machine.fingerprint}" in done.stderr
    assert written(project) == []
    assert not (isolated_home / ".ssh/known_hosts").exists()


def test_a_script_accepts_a_host_key_by_its_fingerprint(
    project: Path, machine: SshMachine, isolated_home: Path
) -> None:
    key = machine.fingerprint
    done = attach(project, machine, "--key-file", str(machine.key_file), "--accept-host-key", key)
    assert f"Accepted the host key of {machine.address}: {key}" in done.stderr
    assert (isolated_home / ".ssh/known_hosts").read_text() == machine.known_hosts_line
    assert written(project) == ["vm.compute", "vm.runconfig"]


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown", "known"])
def test_another_fingerprint_than_the_machines_is_refused(
    project: Path, machine: SshMachine, isolated_home: Path, is_known: bool
) -> None:
    if is_known:
        machine.known_to(isolated_home)
    other = fingerprint(b"another key")
    done = attach(project, machine, "--key-file", str(machine.key_file), "--accept-host-key", other, check=False)
    assert done.returncode == 1
    assert f"which --accept-host-key ({other}) does not name. Nothing was sent." in done.stderr
    assert machine.fingerprint in done.stderr
    assert written(project) == []


def test_a_changed_host_key_is_refused_whatever_is_accepted(
    project: Path, machine: SshMachine, isolated_home: Path
) -> None:
    (isolated_home / ".ssh").mkdir()
    other = base64.b64encode(base64.b64decode(machine.host_key.split()[1])[:-1] + b"x").decode()
    (isolated_home / ".ssh/known_hosts").write_text(f"{machine.address} ssh-ed25519 {other}\n")
    accept = ("--accept-host-key", machine.fingerprint, "--accept-host-key", fingerprint(base64.b64decode(other)))
    done = attach(project, machine, "--key-file", str(machine.key_file), *accept, check=False)
    assert done.returncode == 1
    assert f"The host key of {machine.address} has changed" in done.stderr
    assert written(project) == []


def test_at_a_terminal_the_fingerprint_is_shown_and_asked_for_once(project: Path, machine: SshMachine) -> None:
    options = ("--type", "remote", "--username", machine.user, "--key-file", str(machine.key_file))
    words = ("attach", "vm", "--address", machine.address, *options)

    no = at_terminal(project, *words, answers=(("[yes/no]", "no"),))
    assert (no.exit_code, written(project)) == (1, [])
    assert "was not accepted" in no.screen

    yes = at_terminal(project, *words, answers=(("[yes/no]", "yes"),))
    assert (yes.exit_code, written(project)) == (0, ["vm.compute", "vm.runconfig"])
    assert machine.fingerprint in yes.screen

    assert amltool(project, "detach", "vm").returncode == 0
    again = at_terminal(project, *words)
    assert again.exit_code == 0
    assert "[yes/no]" not in again.screen


def test_every_machine_on_the_way_has_a_host_key_to_accept(
    project: Path, machine: SshMachine, ssh_jump: SshMachine, isolated_home: Path
) -> None:
    (isolated_home / ".ssh").mkdir(mode=0o700)
    (isolated_home / ".ssh/config").write_text(
        f"Host bench\n  HostName {machine.address}\n  ProxyJump jump\n  IdentityFile {machine.key_file}\n"
        f"Host jump\n  HostName {ssh_jump.address}\n  IdentityFile {ssh_jump.key_file}\n"
        f"Host *\n  User {machine.user}\n  UserKnownHostsFile {isolated_home}/my_hosts\n"
    )
    words = ("attach", "vm", "--type", "remote", "--address", "bench")
    one = amltool(project, *words, "--accept-host-key", ssh_jump.fingerprint, check=False)
    assert (one.returncode, written(project)) == (1, [])
    assert machine.fingerprint in one.stderr

    amltool(project, *words, "--accept-host-key", ssh_jump.fingerprint, "--accept-host-key", machine.fingerprint)
    assert (isolated_home / "my_hosts").read_text() == ssh_jump.known_hosts_line + machine.known_hosts_line
    assert compute(project)["username"] == machine.user


# what is written


def test_a_machine_with_python_is_attached_in_the_last_form(project: Path, known: SshMachine) -> None:
    done = attach(project, known, "--key-file", str(known.key_file))
    assert compute(project) == {
        "address": known.address,
        "nativeSharedDirectory": "~/.azureml/share/",
        "privateKeyFile": str(known.key_file),
        "pythonLocation": "python",
        "type": "remote",
        "userManagedEnvironment": True,
        "username": known.user,
    }
    configuration = yaml.safe_load((project / "aml_config/vm.runconfig").read_text())
    assert (configuration["Target"], configuration["Framework"]) == ("vm", "Python")
    assert configuration["PrepareEnvironment"] is True
    assert f"{known.user}@{known.address} can be used: Python 3." in done.stdout
    assert "Wrote aml_config/vm.compute\nWrote aml_config/vm.runconfig\nNext: amltool submit --target vm" in done.stdout


def test_the_next_command_that_is_named_works(project: Path, known: SshMachine) -> None:
    done = attach(project, known, "--key-file", str(known.key_file))
    following = done.stdout.splitlines()[-1].removeprefix("Next: amltool ").split()
    assert following == ["submit", "--target", "vm", "train.py"]
    assert "ran" in amltool(project, *following).stdout


def test_a_machine_with_docker_is_attached_with_its_base_image(project: Path, known: SshMachine) -> None:
    known.start_docker()
    done = attach(
        project, known, "--type", "remotedocker", "--key-file", str(known.key_file), "--base-docker-image", "debian:12"
    )
    assert "can be used: Docker " in done.stdout
    assert compute(project) == {
        "address": known.address,
        "baseDockerImage": "debian:12",
        "nativeSharedDirectory": "~/.azureml/share/",
        "privateKeyFile": str(known.key_file),
        "sharedVolumes": True,
        "type": "remotedocker",
        "userManagedEnvironment": False,
        "username": known.user,
    }


def test_a_host_of_the_ssh_configuration_needs_its_name_only(
    project: Path, known: SshMachine, isolated_home: Path
) -> None:
    (isolated_home / ".ssh/config").write_text(
        f"Host bench\n  HostName {known.address}\n  User {known.user}\n  IdentityFile {known.key_file}\n"
    )
    amltool(project, "attach", "vm", "--type", "remote", "--address", "bench")
    assert (compute(project)["address"], compute(project)["username"]) == ("bench", known.user)
    assert not {"password", "privateKeyFile"} & compute(project).keys()


def test_a_script_gets_one_json_document(project: Path, known: SshMachine) -> None:
    done = attach(project, known, "--key-file", str(known.key_file), "--json")
    found = json.loads(done.stdout)
    assert (found["name"], found["type"], found["username"]) == ("vm", "remote", known.user)
    assert found["written"] == ["aml_config/vm.compute", "aml_config/vm.runconfig"]


def test_a_run_configuration_that_a_detached_target_left_is_kept(project: Path, known: SshMachine) -> None:
    options = ("--key-file", str(known.key_file))
    attach(project, known, *options)
    configuration = project / "aml_config/vm.runconfig"
    configuration.write_text(
        configuration.read_text().replace("EnvironmentVariables: null", "EnvironmentVariables: {A: b}")
    )
    assert amltool(project, "detach", "vm").stdout == "Detaching vm compute target for project iris successful\n"
    assert written(project) == ["vm.runconfig"]

    done = attach(project, known, *options)
    assert "Kept aml_config/vm.runconfig" in done.stdout
    assert "{A: b}" in configuration.read_text()


# our own key


def test_our_key_is_made_and_put_there_with_one_password(
    project: Path, known: SshMachine, isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VM_PASSWORD", known.password)
    before = authorized(known)
    done = attach(project, known, "--use-ssh-key", "--password-reference", "${env:VM_PASSWORD}")
    key = isolated_home / ".ssh/id_ed25519"
    line = key.with_suffix(".pub").read_text().strip()
    assert f"Made a key pair, as you had none: {key}" in done.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    assert authorized(known) == [*before, line]
    assert known.execute(["stat", "-c", "%a %U", f"{known.home}/.ssh/authorized_keys"])[1].strip() == "600 ada"
    assert compute(project)["useSshKey"] is True
    assert "password" not in compute(project)

    monkeypatch.delenv("VM_PASSWORD")
    amltool(project, "detach", "vm")
    again = attach(project, known, "--use-ssh-key")
    assert "Made a key pair" not in again.stderr
    assert authorized(known) == [*before, line]


def test_our_key_goes_behind_a_last_line_that_has_no_end(project: Path, known: SshMachine, isolated_home: Path) -> None:
    keys = f"{known.home}/.ssh/authorized_keys"
    before = authorized(known)
    known.execute(["truncate", "-s", "-1", keys])
    attach(project, known, "--use-ssh-key", "--key-file", str(known.key_file))
    assert authorized(known)[:-1] == before
    assert authorized(known)[-1] == (isolated_home / ".ssh/id_ed25519.pub").read_text().strip()


def test_without_a_way_to_log_in_once_our_key_cannot_be_put_there(project: Path, known: SshMachine) -> None:
    done = attach(project, known, "--use-ssh-key", check=False)
    assert done.returncode == 1
    assert "To put your key there, amltool has to log in once." in done.stderr
    assert "--password-reference" in done.stderr
    assert written(project) == []


def test_a_key_that_does_not_log_in_after_all_is_said(
    project: Path, known: SshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VM_PASSWORD", known.password)
    known.execute(["chmod", "777", known.home])
    try:
        done = attach(project, known, "--use-ssh-key", "--password-reference", "${env:VM_PASSWORD}", check=False)
    finally:
        known.execute(["chmod", "755", known.home])
    assert done.returncode == 1
    assert "and it still does not log in" in done.stderr
    assert "only you" in done.stderr
    assert written(project) == []


# passwords


def test_a_typed_password_is_kept_in_the_keyring_until_the_target_is_detached(
    project: Path, known: SshMachine, keyring: Path
) -> None:
    words = ("attach", "vm", "--type", "remote", "--address", known.address, "--username", known.user, "--password")
    done = at_terminal(project, *words, answers=((f"Password of {known.user} on {known.address}: ", known.password),))
    assert done.exit_code == 0, done.screen
    service = f"amltool/iris/vm@{known.address}:22"
    assert compute(project)["password"] == f"${{keyring:{service}/{known.user}}}"
    assert json.loads(keyring.read_text()) == {f"{service} {known.user}": known.password}

    path = os.environ["PYTHONPATH"]
    assert "Python 3." in amltool(project, "targets", "--check", PYTHONPATH=path).stdout
    assert amltool(project, "detach", "vm", PYTHONPATH=path).stderr == ""
    assert json.loads(keyring.read_text()) == {}


@pytest.mark.parametrize("backend", ["nosuch.Keyring", "os.path", "nodot", "file_keyring.Locked"])
def test_a_keyring_that_cannot_be_used_is_said(
    project: Path, known: SshMachine, keyring: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("attach", "vm", "--type", "remote", "--address", known.address, "--username", known.user, "--password")
    answers = (("Password of", known.password),)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
    done = at_terminal(project, *words, answers=answers if backend == "file_keyring.Locked" else ())
    assert done.exit_code == 1, done.screen
    assert "The keyring " in done.screen
    assert "--password-reference '${env:NAME}'" in done.screen
    assert "Traceback" not in done.screen
    assert known.password not in done.screen
    assert written(project) == []


@pytest.mark.parametrize("backend", ["nosuch.Keyring", "os.path", "file_keyring.Locked"])
def test_a_keyring_that_gives_nothing_is_said_when_its_password_is_needed(
    project: Path, known: SshMachine, keyring: Path, backend: str
) -> None:
    attach(project, known, "--key-file", str(known.key_file))
    text = (project / "aml_config/vm.compute").read_text()
    (project / "aml_config/vm.compute").write_text(
        text.replace(f"privateKeyFile: {known.key_file}", "password: ${keyring:lab/ada}")
    )
    variables = {"PYTHON_KEYRING_BACKEND": backend, "PYTHONPATH": os.environ["PYTHONPATH"]}
    done = amltool(project, "submit", "train.py", "--target", "vm", check=False, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("The keyring cannot be read for ${keyring:lab/ada}: ")
    assert "${env:NAME}" in done.stderr


def test_a_wrong_password_leaves_nothing(project: Path, known: SshMachine, keyring: Path) -> None:
    words = ("attach", "vm", "--type", "remote", "--address", known.address, "--username", known.user, "--password")
    done = at_terminal(project, *words, answers=(("Password of", "not it"),))
    assert done.exit_code == 1
    assert f"does not let {known.user} in with the password" in done.screen
    assert written(project) == []
    assert not keyring.exists()


def test_a_reference_to_a_password_is_written_as_it_is(
    project: Path, known: SshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VM_PASSWORD", known.password)
    attach(project, known, "--password-reference", "${env:VM_PASSWORD}")
    assert compute(project)["password"] == "${env:VM_PASSWORD}"

    monkeypatch.delenv("VM_PASSWORD")
    done = amltool(project, "targets", "--check", "--json", check=False)
    (row,) = [row for row in json.loads(done.stdout) if row["name"] == "vm"]
    assert (done.returncode, row["state"]) == (1, "error")
    assert "VM_PASSWORD is not set" in row["message"]


# what has to work there


def test_docker_that_does_not_run_there_is_said_before_anything_is_written(project: Path, known: SshMachine) -> None:
    known.stop_docker()
    done = attach(project, known, "--type", "remotedocker", "--key-file", str(known.key_file), check=False)
    assert done.returncode == 1
    assert f"Docker does not answer on {known.address}." in done.stderr
    assert "systemctl start docker" in done.stderr
    assert written(project) == []


def test_docker_that_does_not_let_the_user_in_is_said_with_the_group(project: Path, known: SshMachine) -> None:
    known.start_docker()
    known.execute(["gpasswd", "-d", known.user, "docker"])
    try:
        done = attach(project, known, "--type", "remotedocker", "--key-file", str(known.key_file), check=False)
    finally:
        known.execute(["gpasswd", "-a", known.user, "docker"])
    assert done.returncode == 1
    assert "does not let this user in" in done.stderr
    assert "usermod -aG docker" in done.stderr
    assert written(project) == []


def test_a_user_that_is_not_let_in_learns_of_the_own_key(project: Path, known: SshMachine) -> None:
    done = attach(project, known, check=False)
    assert done.returncode == 1
    assert f"does not let {known.user} in" in done.stderr
    assert "--use-ssh-key" in done.stderr


# targets --check


def test_every_target_is_looked_at_and_an_unreachable_one_is_said_in_time(project: Path, known: SshMachine) -> None:
    attach(project, known, "--key-file", str(known.key_file))
    for _ in range(3):
        rows = looked_at(project)
        if rows["vm"]["state"] != "unreachable":  # under much load it may not answer in time
            break
    good = amltool(project, "targets", "--check")
    assert (rows["vm"]["state"], rows["local"]["state"]) == ("ok", "ok")
    assert rows["vm"]["free"] > 0
    assert rows["vm"]["run_configurations"] == ["vm"]
    assert rows["vm"]["message"].startswith("Python 3.")
    assert rows["vm"]["message"] in good.stdout

    known.cut()
    began = time.monotonic()
    cut = amltool(project, "targets", "--check", "--json", check=False)
    assert time.monotonic() - began < promised(15)
    assert cut.returncode == 1
    rows = {row["name"]: row for row in json.loads(cut.stdout)}
    assert {name: row["state"] for name, row in rows.items()} == {"vm": "unreachable", "local": "ok"}, rows


def looked_at(project: Path) -> dict[str, dict[str, Any]]:
    done = amltool(project, "targets", "--check", "--json", check=False)
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_a_target_whose_host_key_is_not_known_here_is_an_error(
    project: Path, known: SshMachine, isolated_home: Path
) -> None:
    attach(project, known, "--key-file", str(known.key_file))
    (isolated_home / ".ssh/known_hosts").unlink()
    done = amltool(project, "targets", "--check", "--json", check=False)
    (row,) = [row for row in json.loads(done.stdout) if row["name"] == "vm"]
    assert (done.returncode, row["state"]) == (1, "error")
    assert "is not known" in row["message"]
