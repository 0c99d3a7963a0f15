"""Script actions are read and refused before any cluster is asked."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from amltool.commands.script_actions import LARGEST, ScriptAction
from amltool.hosts.base import Host
from tests.amltool_command import amltool, make_project

CLUSTER = "type: cluster\naddress: foo-ssh.azurehdinsight.net\nusername: sshuser\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "train.py": "",
        "aml_config/hdi.compute": CLUSTER,
        "aml_config/hdi.runconfig": "ArgumentVector:\n- $file\nTarget: hdi\nFramework: PySpark\n",
    }
    return make_project(tmp_path / "project", files)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"\x7fELF\0\0", "is no shell script in plain text."),
        (b" \n", "is no shell script in plain text."),
        (b"#" * (LARGEST + 1), "is no shell script in plain text."),
        (b"echo 1\r\n", "has the line ends of Windows"),
    ],
)
def test_what_is_no_shell_script_is_refused(project: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (project / "action.sh").write_bytes(content)
    done = amltool(project, "prepare", "--target", "hdi", "--script-action", "action.sh", "--yes", check=False)

    assert done.returncode == 1
    assert f"action.sh {words}" in done.stderr


def test_other_targets_have_none(project: Path) -> None:
    (project / "action.sh").write_text("echo 1\n")
    done = amltool(project, "prepare", "--target", "local", "--script-action", "action.sh", "--yes", check=False)

    assert done.returncode == 1
    assert "local is of the type local, and script actions are for clusters." in done.stderr


def test_a_check_runs_none(project: Path) -> None:
    done = amltool(project, "prepare", "--target", "hdi", "--script-action", "x", "--check", check=False)

    assert (done.returncode, "--check only looks" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("address", "cluster"),
    [("foo-ssh.azurehdinsight.net", "foo"), ("a-ssh-b-ssh.azurehdinsight.cn", "a-ssh-b"), ("10.0.0.4", "CLUSTER")],
)
def test_the_line_for_azure_names_the_cluster(address: str, cluster: str) -> None:
    class Named:
        name = address

    said = ScriptAction("a/my action.sh", "", "hdi", cast("Host", Named()), address).on_all_nodes

    assert f" --cluster-name {cluster} --name 'my action' --script-uri 'https://ADDRESS/my action.sh' " in said
