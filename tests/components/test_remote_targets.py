"""Compute targets on another machine as a user has them: the real command line over real SSH, to a real machine."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from amltool.hosts.ssh import SshHost
from tests.amltool_command import amltool
from tests.components.docker_projects import (
    PLAIN,
    RUN_CONFIGURATION,
    TOP,
    artifact,
    artifacts,
    completed,
    compute_file,
    submit,
    unfinished,
)
from tests.components.ssh_machine import SshMachine
from tests.environments.wheel_index import wheel, wheel_name
from tests.repositories import make_repository, state_of

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
COUNT = """
import sys, time
for number in range(int(sys.argv[1])):
    print("line", number, flush=True)
    time.sleep(float(sys.argv[2]))
open("outputs/done.txt", "w").write("done")
"""
ONCE = """
import os, time
with open(os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + os.environ["AMLTOOL_RUN_ID"], "a") as stream:
    stream.write("once\\n")
for number in range(5):
    print("line", number, flush=True)
    time.sleep(0.1)
"""
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(4711)
    os._exit(0)
print("deaf", flush=True)
time.sleep(4711)
"""
FILES: dict[str, bytes | str] = {"train.py": TRAIN, "count.py": COUNT, "deaf.py": DEAF, "once.py": ONCE}
KINDS = ["remote", "remotedocker"]


def make(folder: Path, machine: SshMachine, more: Mapping[str, bytes | str] | None = None, **compute: object) -> Path:
    """A project with the target ``vm``, on a machine whose host key this user knows."""
    machine.known_to(Path.home())
    settings = {"type": "remote", "username": machine.user, "privateKeyFile": str(machine.key_file), **compute}
    settings = {"address": machine.address, **settings}
    files: dict[str, bytes | str] = {
        "aml_config/vm.compute": compute_file(settings),
        "aml_config/vm.runconfig": RUN_CONFIGURATION.format("vm", "true"),
        "aml_config/conda_dependencies.yml": PLAIN,
        **FILES,
        **(more or {}),
    }
    return make_repository(folder / "project", files)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path) -> Path:
    """A project with the target ``vm`` of each kind."""
    if kind == "remote":
        return make(tmp_path, ssh_machine)
    request.getfixturevalue("ssh_docker")
    return make(tmp_path, ssh_machine, type=kind, baseDockerImage=request.getfixturevalue("python_image"))


def start(project: Path, *words: str) -> str:
    """Submit and let go; the run's id."""
    said = amltool(project, "submit", *words[:1], "--target", "vm", "--detach", "--", *words[1:]).stderr
    return next(line.split()[1] for line in said.splitlines() if line.startswith("RunId: "))


def the_rest(client: subprocess.Popen[str]) -> tuple[str, str]:
    """What it prints and says from here to its end (`communicate` would forget what is read ahead)."""
    assert client.stdout is not None
    assert client.stderr is not None
    printed, said = client.stdout.read(), client.stderr.read()
    client.wait(60)
    return printed, said


def call(machine: SshMachine, name: str) -> None:
    """Give a machine a name in this user's ``~/.ssh/config``, whatever its address is now."""
    machine.known_to(Path.home())
    (Path.home() / ".ssh/config").write_text(f"Host {name}\n  HostName {machine.address}\n")


def record(project: Path, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(amltool(project, "show", run_id, "--json").stdout)
    return found


def lines(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(count))


def submitting(project: Path, *words: str) -> subprocess.Popen[str]:
    """A submit that is under way."""
    command = [sys.executable, "-m", "amltool", "submit", words[0], "--target", "vm", "--", *words[1:]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=project, env={**os.environ, "PYTHONPATH": TOP}, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


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
    project = make(tmp_path, ssh_machine)
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
    project = make(tmp_path, ssh_docker, type="remotedocker", baseDockerImage=python_image)
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


def test_a_client_that_is_killed_loses_nothing(project: Path) -> None:
    client = submitting(project, "count.py", "10", "0.2")
    assert client.stdout is not None
    assert client.stdout.readline() == "line 0\n"
    client.kill()
    client.communicate()
    [run_id] = unfinished(project)

    amltool(project, "wait", run_id)

    assert amltool(project, "logs", run_id).stdout == lines(10)
    assert {"outputs/done.txt"} <= {*artifacts(record(project, run_id))}


def test_a_cut_link_is_said_and_nothing_of_the_console_is_lost_or_doubled(
    project: Path, ssh_machine: SshMachine
) -> None:
    client = submitting(project, "count.py", "24", "0.25")
    assert client.stdout is not None
    assert client.stdout.readline() == "line 0\n"
    ssh_machine.cut()
    time.sleep(15)
    ssh_machine.mend()
    printed, said = the_rest(client)
    assert client.returncode == 0, said
    assert "is unreachable" in said
    assert "It answers again." in said
    assert "line 0\n" + printed == lines(24)


def test_following_a_console_goes_on_when_a_cut_link_is_back(project: Path, ssh_machine: SshMachine) -> None:
    run_id = start(project, "count.py", "40", "0.5")
    words = [sys.executable, "-m", "amltool", "logs", "--follow", run_id]
    environment = {**os.environ, "PYTHONPATH": TOP}
    pipe = subprocess.PIPE
    follower = subprocess.Popen(words, cwd=project, env=environment, text=True, stdout=pipe, stderr=pipe)
    assert follower.stdout is not None
    assert follower.stdout.readline() == "line 0\n"
    ssh_machine.cut()
    time.sleep(15)
    ssh_machine.mend()
    printed, said = the_rest(follower)
    assert (follower.returncode, "line 0\n" + printed) == (0, lines(40)), said
    assert "is unreachable" in said


def test_an_sshd_that_is_restarted_is_not_noticed(project: Path, ssh_machine: SshMachine) -> None:
    client = submitting(project, "count.py", "8", "0.25")
    assert client.stdout is not None
    assert client.stdout.readline() == "line 0\n"
    ssh_machine.restart_sshd()
    printed, said = the_rest(client)
    assert (client.returncode, "line 0\n" + printed) == (0, lines(8)), said


def test_a_cancel_leaves_no_process_over_there(project: Path, ssh_machine: SshMachine) -> None:
    run_id = start(project, "deaf.py")
    begun = time.monotonic()
    amltool(project, "cancel", run_id)
    assert time.monotonic() - begun < 20
    assert record(project, run_id)["status"] == "Canceled"
    assert ssh_machine.execute(["pgrep", "-f", "deaf.py"])[0] == 1
    assert ssh_machine.execute(["sh", "-c", "docker ps -aq --filter label=amltool.run 2>/dev/null"])[1] == ""


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


def test_a_machine_that_does_not_answer_is_said_soon_and_says_nothing_of_its_runs(
    ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make(tmp_path, ssh_machine)
    run_id = start(project, "count.py", "10", "0.2")
    ssh_machine.cut()
    begun = time.monotonic()
    refused = submit(project, target="vm")
    listed = amltool(project, "runs").stdout
    taken_s = time.monotonic() - begun
    ssh_machine.mend()
    assert (refused.exit_code, refused.record) == (1, {})
    assert f"{ssh_machine.address} is unreachable" in refused.said
    assert [line.split()[2] for line in listed.splitlines() if line.startswith(run_id)] == ["Running"]
    assert taken_s < 25
    amltool(project, "wait", run_id)
    assert record(project, run_id)["status"] == "Completed"


def test_a_machine_that_restarts_is_the_reason(ssh_machine: SshMachine, tmp_path: Path) -> None:
    project = make(tmp_path, ssh_machine, address="vm.example")
    call(ssh_machine, "vm.example")
    run_id = start(project, "count.py", "100", "1")
    ssh_machine.reboot()
    call(ssh_machine, "vm.example")
    amltool(project, "wait", run_id, check=False)
    found = record(project, run_id)
    assert (found["status"], found["reason"]) == ("Failed", "host restarted")


def test_a_docker_that_is_restarted_is_the_reason(ssh_docker: SshMachine, python_image: str, tmp_path: Path) -> None:
    project = make(tmp_path, ssh_docker, type="remotedocker", baseDockerImage=python_image)
    run_id = start(project, "count.py", "100", "1")
    ssh_docker.stop_docker()
    ssh_docker.start_docker()
    amltool(project, "wait", run_id, check=False)
    found = record(project, run_id)
    assert found["status"] == "Failed"
    assert found["reason"] in ("the Docker daemon was restarted", "the Docker daemon was stopped")


def test_a_docker_that_does_not_let_the_user_in_is_said_with_the_remedy(
    ssh_docker: SshMachine, python_image: str, tmp_path: Path
) -> None:
    project = make(tmp_path, ssh_docker, type="remotedocker", baseDockerImage=python_image)
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
    project = make(tmp_path, ssh_docker, type="remotedocker", baseDockerImage=python_image)
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
    project = make(tmp_path, ssh_machine, pythonLocation="python2.1")
    refused = submit(project, target="vm")
    assert refused.exit_code == 1
    assert f"There is no interpreter 'python2.1' on {ssh_machine.address}." in refused.said
    assert unfinished(project) == []


@pytest.mark.torture
def test_a_client_that_is_killed_at_any_point_leaves_a_run_that_is_gone_on_with(
    project: Path, ssh_machine: SshMachine
) -> None:
    chance = random.Random(20)
    for _ in range(30):
        client = submitting(project, "once.py")
        time.sleep(chance.uniform(0.1, 2.0))
        client.kill()
        client.communicate()
        for run_id in unfinished(project):
            amltool(project, "wait", run_id)
            assert amltool(project, "logs", run_id).stdout == lines(5)
            kept = f"{record(project, run_id)['shared_folder']['host_path']}{run_id}"
            assert ssh_machine.execute(["cat", kept]) == (0, "once\n")
    assert unfinished(project) == []
    assert ssh_machine.execute(["sh", "-c", "docker ps -aq --filter label=amltool.run 2>/dev/null"])[1] == ""
    assert ssh_machine.execute(["pgrep", "-f", "once.py|bootstrap.py"])[0] == 1
