"""Compute targets on another machine as a user has them: the real command line over real SSH, to a real machine."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from amltool.hosts.ssh import SshHost
from tests.amltool_command import amltool
from tests.components.docker_projects import PLAIN, artifact, artifacts, completed, submit, unfinished
from tests.components.remote_projects import lines, make, make_of, record, start
from tests.components.ssh_machine import SshMachine
from tests.environments.wheel_index import wheel, wheel_name
from tests.repositories import state_of

TRAIN = """
import json, os, sys
from amltool import tracking
tracking.log_metric("accuracy", 0.5)
open("outputs/result.txt", "w").write("result")
open("outputs/environment.json", "w").write(json.dumps(dict(os.environ)))
open("logs/training.log", "w").write("log")
open(os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + "kept.txt", "w").write("kept")
print("trained in", os.getcwd(), "with", sys.argv[1:])
"""
FILES: dict[str, bytes | str] = {"train.py": TRAIN}


@pytest.fixture
def project(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with the target ``vm`` of each kind."""
    return make_of(kind, request, tmp_path, FILES)


def test_a_run_is_recorded_with_what_it_left_over_there(
    project: Path, kind: str, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    before = state_of(project)

    done = submit(project, target="vm", arguments=("--name", "with blank", "ümläut\n"))

    found = completed(done)
    assert done.printed.endswith(" with ['--name', 'with blank', 'ümläut\\n']\n")
    assert (found["target"], found["target_type"], found["host"]) == ("vm", kind, ssh_machine.address)
    assert found["metrics"]["accuracy"]["last"] == 0.5
    assert {"outputs/result.txt", "logs/training.log", "console.log", "environment.lock.json"} <= {*artifacts(found)}
    assert artifact(project, "outputs/result.txt", tmp_path / "downloaded") == b"result"
    assert unfinished(project) == []
    assert state_of(project) == before


def test_the_shared_folder_is_one_over_there_and_its_home_folder_is_meant(
    project: Path, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    shared = completed(submit(project, target="vm"))["shared_folder"]
    assert shared["host_path"].startswith(f"{ssh_machine.home}/.azureml/share/")
    assert [file["path"] for file in shared["at_end"]] == ["kept.txt"]
    assert ssh_machine.execute(["cat", f"{shared['host_path']}kept.txt"]) == (0, "kept")


def test_no_path_and_no_variable_of_this_machine_reaches_the_run(project: Path, tmp_path: Path) -> None:
    completed(submit(project, target="vm", CANARY="of this machine"))
    variables = json.loads(artifact(project, "outputs/environment.json", tmp_path / "downloaded"))
    assert "CANARY" not in variables
    assert not [name for name, value in variables.items() if str(tmp_path) in value or str(Path.home()) in value]


def test_a_login_over_there_says_what_a_run_sees(ssh_machine: SshMachine, tmp_path: Path) -> None:
    project = make(tmp_path, ssh_machine, FILES)
    profile = f"{ssh_machine.home}/.bash_profile"
    ssh_machine.execute(["sh", "-c", f"echo 'echo noise; export OF_THE_LOGIN=\"two words\"' > {profile}"])
    try:
        completed(submit(project, target="vm"))
    finally:
        ssh_machine.execute(["rm", profile])
    variables = json.loads(artifact(project, "outputs/environment.json", tmp_path / "downloaded"))
    assert (variables["OF_THE_LOGIN"], variables["HOME"]) == ("two words", ssh_machine.home)
    assert "SSH_CONNECTION" not in variables


def test_an_image_is_built_over_there_and_not_here(
    ssh_docker: SshMachine, python_image: str, docker_daemon: Any, tmp_path: Path
) -> None:
    project = make(tmp_path, ssh_docker, FILES, type="remotedocker", baseDockerImage=python_image)
    image = completed(submit(project, target="vm"))["environment"]["image"]
    assert ssh_docker.execute(["docker", "image", "inspect", image])[0] == 0
    assert docker_daemon.image(image) is None
    assert ssh_docker.execute(["docker", "ps", "-aq", "--filter", "label=amltool.run"]) == (0, "")


def test_an_environment_is_built_over_there_once(ssh_machine: SshMachine, tmp_path: Path) -> None:
    conda = PLAIN + f"- pip\n- pip:\n  - ../wheels/{wheel_name('blot', '1.0')}\n"
    files: dict[str, bytes | str] = {
        "aml_config/conda_dependencies.yml": conda,
        f"wheels/{wheel_name('blot', '1.0')}": wheel("blot", "1.0"),
        "train.py": "import blot, sys\nprint('blot', blot.VERSION, sys.prefix)\n",
    }
    project = make(tmp_path, ssh_machine, files, userManagedEnvironment=False)

    first = submit(project, target="vm")
    again = submit(project, target="vm")

    assert first.printed.startswith(f"blot 1.0 {ssh_machine.home}/.amltool/environments/"), first.said
    assert "Building the execution environment" in first.said
    assert "Building" not in again.said
    assert completed(again)["environment"] == completed(first)["environment"]


def test_a_run_goes_on_by_itself_and_a_new_process_sees_its_end(project: Path) -> None:
    run_id = start(project, "count.py", "6", "0.2")
    waited = amltool(project, "wait", run_id)
    assert waited.returncode == 0
    assert amltool(project, "logs", run_id).stdout == lines(6)
    assert record(project, run_id)["status"] == "Completed"


def test_a_rerun_gives_the_same(project: Path) -> None:
    run_id = completed(submit(project, "count.py", target="vm", arguments=("1", "0")))["run_id"]
    again = amltool(project, "rerun", run_id, "--json", check=False)
    assert json.loads(again.stdout)["verdict"] == "reproduced", again.stderr


def test_clean_removes_what_lies_over_there(project: Path, ssh_host: SshHost) -> None:
    run_id = completed(submit(project, target="vm"))["run_id"]
    folder = PurePosixPath(f"{ssh_host.root}/runs/{run_id}")
    assert ssh_host.exists(folder)
    amltool(project, "clean", "--target", "vm", "--yes")
    assert not ssh_host.exists(folder)


def test_a_docker_that_does_not_let_the_user_in_is_said_with_the_remedy(
    ssh_docker: SshMachine, python_image: str, tmp_path: Path
) -> None:
    project = make(tmp_path, ssh_docker, FILES, type="remotedocker", baseDockerImage=python_image)
    ssh_docker.execute(["chmod", "600", "/var/run/docker.sock"])
    try:
        refused = submit(project, target="vm")
    finally:
        ssh_docker.execute(["chmod", "660", "/var/run/docker.sock"])
    assert refused.exit_code == 1
    assert "does not let this user in" in refused.said
    assert "group docker" in refused.said


def test_a_docker_that_does_not_run_is_said_with_the_remedy(
    ssh_docker: SshMachine, python_image: str, tmp_path: Path
) -> None:
    project = make(tmp_path, ssh_docker, FILES, type="remotedocker", baseDockerImage=python_image)
    ssh_docker.stop_docker()
    try:
        refused = submit(project, target="vm")
    finally:
        ssh_docker.start_docker()
    assert refused.exit_code == 1
    assert f"Docker does not answer on {ssh_docker.address}" in refused.said


def test_an_interpreter_that_is_not_there_is_said_with_the_name_of_the_machine(
    ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make(tmp_path, ssh_machine, FILES, pythonLocation="python2.1")
    refused = submit(project, target="vm")
    assert refused.exit_code == 1
    assert f"There is no interpreter 'python2.1' on {ssh_machine.address}." in refused.said
    assert unfinished(project) == []
