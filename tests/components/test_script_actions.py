"""`prepare --script-action`: a script runs on the head node after somebody agreed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import compute_file
from tests.components.ssh_machine import SshMachine
from tests.repositories import make_repository
from tests.terminal import at_terminal

ACTION = """#!/bin/bash
echo "in $(basename "$PWD") as $(id -un)"
read -r line || echo "nothing to read"
echo done >>~/acted
"""


@pytest.fixture
def project(ssh_machine: SshMachine, tmp_path: Path, isolated_home: Path) -> Path:
    """A project whose cluster is a machine over SSH with nothing of Hadoop: a script action needs none."""
    ssh_machine.known_to(isolated_home)
    ssh_machine.execute(["rm", "-f", f"{ssh_machine.home}/acted"])
    compute = {
        "type": "cluster", "address": ssh_machine.address, "username": ssh_machine.user,
        "privateKeyFile": str(ssh_machine.key_file), "userManagedEnvironment": True,
    }  # fmt: skip
    files: dict[str, bytes | str] = {
        "train.py": "",
        "tools/install.sh": ACTION,
        "tools/broken.sh": "echo half; exit 3\n",
        "aml_config/hdi.compute": compute_file(compute),
        "aml_config/hdi.runconfig": "ArgumentVector:\n- $file\nTarget: hdi\nFramework: PySpark\n",
    }
    return make_repository(tmp_path / "project", files)


def acted(machine: SshMachine) -> str:
    return machine.execute(["cat", f"{machine.home}/acted"])[1]


def test_it_is_shown_and_run_and_leaves_nothing_of_ours(project: Path, ssh_machine: SshMachine) -> None:
    done = amltool(project, "prepare", "--target", "hdi", "--script-action", "tools/install.sh", "--yes")

    assert ACTION.rstrip() in done.stderr
    assert f"  | in script-actions as {ssh_machine.user}\n  | nothing to read\n" in done.stderr
    assert f"install.sh ran on the head node {ssh_machine.address} only." in done.stderr
    assert (
        "az hdinsight script-action execute --resource-group GROUP --cluster-name CLUSTER --name install" in done.stderr
    )
    assert "Nothing to prepare" in done.stdout
    assert acted(ssh_machine) == "done\n"
    assert ssh_machine.execute(["ls", f"{ssh_machine.home}/.amltool/cache/script-actions"]) == (0, "")


def test_one_that_fails_says_its_exit_code(project: Path, ssh_machine: SshMachine) -> None:
    done = amltool(project, "prepare", "--target", "hdi", "--script-action", "tools/broken.sh", "--yes", check=False)

    assert done.returncode == 1
    assert (
        f"tools/broken.sh on {ssh_machine.address} (exit code 3) failed. The last of what it said:\n  half"
        in done.stderr
    )


def test_it_is_run_once_somebody_agreed(project: Path, ssh_machine: SshMachine) -> None:
    words = ("prepare", "--target", "hdi", "--script-action", "tools/install.sh")
    question = f"Run tools/install.sh on the head node {ssh_machine.address} of hdi? [yes/no] "

    nobody = amltool(project, *words, check=False)
    no = at_terminal(project, *words, answers=((question, "no"),))
    before = acted(ssh_machine)
    yes = at_terminal(project, *words, answers=((question, "yes"),))

    assert (nobody.returncode, "Add --yes when it may." in nobody.stderr) == (1, True)
    assert (no.exit_code, "tools/install.sh was not run" in no.screen) == (1, True)
    assert "No such file" in before
    assert yes.exit_code == 0, yes.screen
    assert acted(ssh_machine) == "done\n"
