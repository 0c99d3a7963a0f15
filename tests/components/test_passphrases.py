"""Keys with a passphrase through the real command line: typed once, kept in no file, and handed to who goes on."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.amltool_command import amltool, make_project
from tests.components.canaries import Canaries
from tests.components.required import missing
from tests.components.ssh_agent import agent_fixture  # noqa: F401 (pytest finds fixtures by name)
from tests.components.ssh_machine import SshMachine
from tests.terminal import CTRL_C, Typed, at_terminal

PASSPHRASE = f"correct+horse/battery {secrets.token_hex(4)}"
"""Another one in each process that tests: one looks into all processes of ours, also into those of a test beside it."""
SLOW = "import time\nfor number in range(20):\n    print('line', number, flush=True)\n    time.sleep(0.2)\n"


@pytest.fixture
def key(ssh_machine: SshMachine, tmp_path: Path) -> Path:
    """A key that the machine knows, protected by a passphrase, without a public part beside it."""
    if shutil.which("ssh-keygen") is None:
        missing("ssh", "ssh-keygen is not installed")
    file = tmp_path / "id_closed"
    shutil.copy(ssh_machine.key_file, file)
    command = ["ssh-keygen", "-q", "-p", "-N", PASSPHRASE, "-f", str(file)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return file


@pytest.fixture
def project(ssh_machine: SshMachine, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the target ``vm``, which is logged in to with that key."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh_machine.known_to(Path.home())
    compute = {
        "type": "remote",
        "address": ssh_machine.address,
        "username": ssh_machine.user,
        "privateKeyFile": str(key),
        "userManagedEnvironment": True,
    }
    configuration = {"ArgumentVector": ["$file"], "Target": "vm", "Framework": "Python"}
    return make_project(
        tmp_path / "iris",
        {
            "train.py": "print('ran')\n",
            "slow.py": SLOW,
            "aml_config/vm.compute": yaml.safe_dump(compute),
            "aml_config/vm.runconfig": yaml.safe_dump(configuration),
        },
    )


def typing(project: Path, *words: str, answers: tuple[str, ...] = (PASSPHRASE,)) -> Typed:
    """Run a task at a terminal where these passphrases are typed."""
    prompts = ["Passphrase of", *["That does not open it."] * (len(answers) - 1)]
    return at_terminal(project, *words, answers=tuple(zip(prompts, answers, strict=False)))


def refer_to(project: Path, reference: str) -> None:
    path = project / "aml_config/vm.compute"
    path.write_text(f"{path.read_text()}privateKeyPassphrase: {reference}\n")


def runs(project: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(amltool(project, "runs", "--json").stdout)
    return found


def ended(project: Path) -> object:
    """How the run was recorded, by whoever drives it: this command cannot reach the machine."""
    until = time.monotonic() + 120
    while not (found := [run for run in runs(project) if run["status"] in ("Completed", "Failed", "Canceled")]):
        assert time.monotonic() < until, "nobody drove the run to its end"
        time.sleep(0.2)
    return found[0]["status"]


def test_at_a_terminal_a_passphrase_is_asked_for_once(project: Path) -> None:
    done = typing(project, "submit", "train.py", "--target", "vm")
    assert done.exit_code == 0, done.screen
    assert done.screen.count("Passphrase of") == 1
    assert "ssh-add" in done.screen
    assert "ran" in done.screen
    assert PASSPHRASE not in done.screen + done.command_lines


def test_a_wrong_passphrase_is_asked_for_again(project: Path) -> None:
    done = typing(project, "submit", "train.py", "--target", "vm", answers=("wrong", "wronger", PASSPHRASE))
    assert done.exit_code == 0, done.screen
    assert done.screen.count("That does not open it.") == 2


def test_three_wrong_passphrases_are_enough_and_nothing_is_started(project: Path, key: Path) -> None:
    done = typing(project, "submit", "train.py", "--target", "vm", answers=("wrong", "wronger", "wrongest"))
    assert done.exit_code == 1
    assert f"The passphrase does not open {key}." in done.screen
    assert runs(project) == []


def test_without_a_terminal_the_agent_is_named_and_nothing_is_started(project: Path, key: Path) -> None:
    done = amltool(project, "submit", "train.py", "--target", "vm", check=False)
    assert done.returncode == 1
    what, remedy, *_ = done.stderr.splitlines()
    assert what == f"The key {key} is protected by a passphrase, and nobody is here to type it."
    assert remedy == f"Add it to the agent and run the command again: ssh-add {key}"
    assert runs(project) == []


def test_what_ssh_add_opened_needs_no_passphrase(project: Path, ssh_machine: SshMachine, agent: None) -> None:
    subprocess.run(["ssh-add", "-q", str(ssh_machine.key_file)], check=True, stdin=subprocess.DEVNULL)
    assert "ran" in amltool(project, "submit", "train.py", "--target", "vm").stdout


def test_a_detached_run_is_driven_to_its_end_with_what_was_typed(
    project: Path, ssh_machine: SshMachine, tmp_path: Path, isolated_home: Path
) -> None:
    with Canaries(PASSPHRASE) as canaries:
        done = typing(project, "submit", "slow.py", "--target", "vm", "--detach")
        assert done.exit_code == 0, done.screen
        assert "amltool.tasks.background" in amltool_processes(project)
        assert ended(project) == "Completed"
    assert PASSPHRASE not in done.screen
    assert canaries.seen > 5
    assert canaries.in_processes == []
    assert canaries.in_folders(tmp_path, isolated_home) == []
    assert canaries.in_machine(ssh_machine) == []


def amltool_processes(project: Path) -> str:
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    return b"\n".join(line for line in lines if str(project).encode() in line).decode()


def test_a_run_that_is_left_with_ctrl_c_goes_on_with_what_was_typed(project: Path) -> None:
    done = at_terminal(
        project, "submit", "slow.py", "--target", "vm", answers=(("Passphrase of", PASSPHRASE), ("line 3", CTRL_C))
    )
    assert done.exit_code == 130, done.screen
    assert "goes on without us" in done.screen
    assert ended(project) == "Completed"


def test_looking_at_runs_asks_nobody(project: Path) -> None:
    done = typing(project, "submit", "slow.py", "--target", "vm", "--detach")
    assert done.exit_code == 0, done.screen
    looked = at_terminal(project, "runs")
    assert (looked.exit_code, "Passphrase of" in looked.screen) == (0, False), looked.screen
    assert ended(project) == "Completed"


@pytest.mark.parametrize("command", [("doctor",), ("targets", "--check")])
def test_looking_at_machines_asks_nobody_and_takes_a_closed_key_for_no_fault(
    project: Path, key: Path, command: tuple[str, ...]
) -> None:
    looked = at_terminal(project, *command)
    assert looked.exit_code == 0, looked.screen
    assert "Passphrase of" not in looked.screen
    found = json.loads(amltool(project, *command, "--json").stdout)
    (vm,) = [each for each in found if each.get("name", each.get("what")) in ("vm", "target vm")]
    assert vm.get("level", vm.get("state")) == "warning"
    assert vm["message"].startswith(f"Not looked at. The key {key} is protected by a passphrase")
    assert f"ssh-add {key}" in vm["remedy"]


def test_a_passphrase_by_reference_needs_nobody(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refer_to(project, "${env:KEY_PASSPHRASE}")
    monkeypatch.setenv("KEY_PASSPHRASE", PASSPHRASE)
    amltool(project, "submit", "train.py", "--target", "vm", "--detach")
    assert ended(project) == "Completed"


@pytest.mark.parametrize(("value", "said"), [("wrong", "does not open"), (None, "KEY_PASSPHRASE is not set")])
def test_a_reference_that_does_not_help_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, said: str
) -> None:
    refer_to(project, "${env:KEY_PASSPHRASE}")
    if value is not None:
        monkeypatch.setenv("KEY_PASSPHRASE", value)
    done = amltool(project, "submit", "train.py", "--target", "vm", check=False)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert runs(project) == []


def test_a_passphrase_in_plain_text_is_refused_and_not_repeated(project: Path) -> None:
    refer_to(project, f"'{PASSPHRASE}'")
    done = amltool(project, "submit", "train.py", "--target", "vm", check=False)
    assert done.returncode == 1
    assert "privateKeyPassphrase is plain text: write ${env:NAME}" in done.stderr
    assert PASSPHRASE not in done.stderr


def test_attach_takes_a_key_with_a_passphrase(project: Path, ssh_machine: SshMachine, key: Path) -> None:
    machine = ("--type", "remote", "--address", ssh_machine.address, "--username", ssh_machine.user)
    done = typing(project, "attach", "typed", *machine, "--key-file", str(key))
    assert done.exit_code == 0, done.screen
    assert "assphrase" not in (project / "aml_config/typed.compute").read_text()

    reference = ("--passphrase-reference", "${env:KEY_PASSPHRASE}")
    amltool(project, "attach", "kept", *machine, "--key-file", str(key), *reference, KEY_PASSPHRASE=PASSPHRASE)
    written = yaml.safe_load((project / "aml_config/kept.compute").read_text())
    assert written["privateKeyPassphrase"] == "${env:KEY_PASSPHRASE}"


def test_a_closed_key_among_others_is_asked_for_last(
    project: Path, ssh_machine: SshMachine, key: Path, isolated_home: Path
) -> None:
    path = project / "aml_config/vm.compute"
    path.write_text(path.read_text().replace(f"privateKeyFile: {key}\n", ""))
    shutil.copy(key, isolated_home / ".ssh/id_ecdsa")
    done = typing(project, "submit", "train.py", "--target", "vm")
    assert (done.exit_code, done.screen.count("Passphrase of")) == (0, 1), done.screen

    shutil.copy(ssh_machine.key_file, isolated_home / ".ssh/id_rsa")  # one that is open comes first
    again = at_terminal(project, "submit", "train.py", "--target", "vm")
    assert (again.exit_code, "Passphrase of" in again.screen) == (0, False), again.screen
