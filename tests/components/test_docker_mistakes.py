"""What users do with a Docker target that cannot work, or that works in odd ways: one sentence each, no traceback."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import (
    TOP,
    DockerProjects,
    artifacts,
    completed,
    give,
    show,
    submit,
    unfinished,
)
from tests.components.users import Unprivileged

TRAIN = "print('ran')\nopen('outputs/done.txt', 'w').write('done')\n"
NOWHERE = "unix:///nowhere/docker.sock"


def refused(folder: Path, script: str = "train.py", *options: str, **variables: str) -> str:
    """What is said to a submit that cannot be; nothing of it is left but, where its id was printed, its record."""
    before = {run["run_id"] for run in json.loads(amltool(folder, "runs", "--json").stdout)}
    done = submit(folder, script, *options, **variables)
    assert done.exit_code == 1, done
    assert "Traceback" not in done.said
    assert unfinished(folder) == []
    runs = [run for run in json.loads(amltool(folder, "runs", "--json").stdout) if run["run_id"] not in before]
    assert [run["run_id"] for run in runs] == re.findall(r"^RunId: (\S+)", done.said, re.MULTILINE)
    assert all(run["status"] == "Failed" and run["reason"].startswith("not started: ") for run in runs)
    return done.said.rpartition("\n\n")[2]


def test_a_base_image_that_is_not_there_is_one_clear_sentence(docker_projects: DockerProjects, tmp_path: Path) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN}, baseDockerImage="localhost:9/no/such:image")
    said = refused(folder)
    assert "localhost:9/no/such:image is not here and cannot be fetched" in said
    assert "baseDockerImage" in said
    assert docker_projects.builds() == []


def test_a_name_that_no_image_can_have_is_one_clear_sentence(docker_projects: DockerProjects, tmp_path: Path) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN}, baseDockerImage="Not An Image")
    assert "aml_config/docker.compute:2:18: baseDockerImage: the name of an image has no blanks" in refused(folder)


@pytest.mark.parametrize("task", [("submit", "train.py"), ("prepare",), ("prepare", "--check")])
def test_docker_that_does_not_run_is_said(
    docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path, task: tuple[str, ...]
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    done = amltool(folder, *task, "--target", "docker", check=False, DOCKER_HOST=NOWHERE)
    assert done.returncode == 1
    assert "Docker does not answer" in done.stderr
    assert "start it" in done.stderr
    assert "Traceback" not in done.stderr
    assert unfinished(folder) == []
    assert not list((isolated_home / ".amltool").glob("runs/*"))


def test_the_doctor_says_whether_docker_answers_and_has_the_base_image(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    (folder / "aml_config/new.compute").write_text('type: localdocker\nbaseDockerImage: "no/such:image"\n')

    found = {each["what"]: each for each in json.loads(amltool(folder, "doctor", "--json").stdout)}
    away = amltool(folder, "doctor", "--json", check=False, DOCKER_HOST=NOWHERE)
    without = {each["what"]: each for each in json.loads(away.stdout)}

    assert found["target docker"]["level"] == "ok"
    assert docker_projects.daemon.version() in found["target docker"]["message"]
    assert f"with {docker_projects.base_image}" in found["target docker"]["message"]
    assert "no/such:image is not here yet" in found["target new"]["message"]
    assert without["target docker"]["level"] == "warning"
    assert "Docker does not answer" in without["target docker"]["message"]
    assert "start it" in without["target docker"]["remedy"]
    assert without["target local"]["level"] == "ok"


def test_docker_that_is_asked_for_by_a_host_that_is_no_address_is_said(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    for host in ("nonsense", "ftp://x", "tcp://127.0.0.1:1", "tcp://127.0.0.1:nonsense"):
        assert "Docker" in refused(folder, DOCKER_HOST=host)


def test_gpus_that_are_not_there_are_said(docker_projects: DockerProjects, tmp_path: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN}, gpu=True)
    said = refused(folder)
    assert "GPU" in said
    assert docker_projects.containers() == []


def test_a_user_who_may_not_use_docker_is_told_how(
    docker_projects: DockerProjects, unprivileged: Unprivileged, tmp_path: Path
) -> None:
    if not unprivileged.groups:
        pytest.skip("Docker is not reached through a socket here")
    folder = docker_projects.make(unprivileged.home, {"train.py": TRAIN})
    give(folder, unprivileged)
    outsider = Unprivileged(unprivileged.uid, unprivileged.gid, (), unprivileged.home)
    for task in (("submit", "train.py", "--target", "docker"), ("prepare", "--target", "docker")):
        done = outsider.run([sys.executable, "-m", "amltool", *task], cwd=folder, PYTHONPATH=TOP)
        assert done.returncode == 1
        assert "does not let this user in" in done.stderr
        assert "usermod -aG docker" in done.stderr
    doctor = outsider.run([sys.executable, "-m", "amltool", "doctor"], cwd=folder, PYTHONPATH=TOP, COLUMNS="300")
    assert "does not let this user in" in doctor.stdout


@pytest.mark.parametrize("name", ["a project with blanks", "Prüfung Ärmel 模型", "UPPER.case-__x", "-dash", "模型"])
def test_a_project_may_have_any_name(docker_projects: DockerProjects, tmp_path: Path, name: str) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN, "a file.txt": "x"}, name=name)
    try:
        record = completed(submit(folder))
        name = record["project"]["name"]
        assert record["environment"]["image"]
        assert docker_projects.daemon.containers(f"amltool.project={name}") == []
    finally:
        amltool(folder, "clean", "--environments", "--yes")


def test_a_folder_of_the_project_may_be_what_is_run(docker_projects: DockerProjects, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"train.py": "", "steps/one/go.py": "import os; print(sorted(os.listdir('.')))\n"}
    folder = docker_projects.make(tmp_path, files)
    done = submit(folder, "go.py", "--source-directory", "steps/one")
    assert completed(done)["source_directory"] == "steps/one"
    assert done.printed == "['go.py', 'logs', 'outputs']\n"


@pytest.mark.parametrize("shared", [True, False])
def test_an_executable_script_that_is_no_python_is_run_as_itself(
    docker_projects: DockerProjects, tmp_path: Path, shared: bool
) -> None:
    script = '#!/bin/sh\necho "$1" > outputs/said.txt; python -c "import sys; print(sys.prefix)"; exit 7\n'
    folder = docker_projects.make(tmp_path, {"run.sh": script}, sharedVolumes=shared)
    done = submit(folder, "run.sh", arguments=("two words",))
    assert (done.exit_code, done.record["exit_code"]) == (7, 7)
    assert done.printed == "/opt/amltool/environment\n"
    assert "outputs/said.txt" in artifacts(done.record)


def test_without_network_a_run_is_alone(docker_projects: DockerProjects, tmp_path: Path) -> None:
    script = "import socket\nprint([name for _, name in socket.if_nameindex()])\n"
    done = submit(docker_projects.make(tmp_path, {"train.py": script}, network="none"))
    completed(done)
    assert done.printed == "['lo']\n"


def test_a_file_named_outputs_in_a_folder_is_the_users_and_at_the_top_it_is_said(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    files: dict[str, bytes | str] = {"train.py": "print(open('data/outputs').read())\n", "data/outputs": "theirs"}
    assert submit(docker_projects.make(tmp_path / "inner", files)).printed == "theirs\n"
    folder = docker_projects.make(tmp_path / "top", {"train.py": TRAIN, "logs": "a file"})
    said = refused(folder)
    assert "holds a file named logs" in said
    assert docker_projects.containers() == []


ODD = r"""
import os, socket
os.mkfifo("outputs/fifo")
os.symlink("/etc/passwd", "outputs/link-out")
os.symlink("good.txt", "outputs/link-in")
open("outputs/good.txt", "w").write("good")
open(b"outputs/not-utf8-\xff.txt", "wb").write(b"odd")
open("outputs/two\nlines.txt", "w").write("odd")
open("outputs/" + "n" * 255, "w").write("long")
socket.socket(socket.AF_UNIX).bind("outputs/socket")
os.mkdir("outputs/closed"); open("outputs/closed/x", "w").write("x"); os.chmod("outputs/closed", 0)
"""


@pytest.mark.parametrize("shared", [True, False])
def test_odd_outputs_are_collected_or_named_with_the_reason(
    docker_projects: DockerProjects, tmp_path: Path, shared: bool, isolated_home: Path
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": ODD}, sharedVolumes=shared)
    record = completed(submit(folder))
    collected = {*artifacts(record)}
    assert {"outputs/good.txt", "outputs/two\nlines.txt", "outputs/" + "n" * 255} <= collected
    assert [path for path in collected if path.startswith("outputs/not-utf8-")]
    omitted = {each["path"]: each["reason"] for each in record["omitted"]}
    assert {"outputs/fifo", "outputs/link-out", "outputs/socket"} <= {*omitted}
    assert all(omitted.values())
    assert omitted["outputs/socket"] == "it is a socket"
    passwd = Path("/etc/passwd").read_bytes()
    kept = [path for path in (folder / ".git/amltool").rglob("*") if path.is_file()]
    assert all(path.read_bytes() != passwd for path in kept)
    assert show(folder)["status"] == "Completed"


def test_a_script_that_is_not_in_the_snapshot_starts_nothing(docker_projects: DockerProjects, tmp_path: Path) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    done = amltool(folder, "submit", "trian.py", "--target", "docker", check=False)
    assert done.returncode == 1
    assert "Did you mean train.py?" in done.stderr
    assert docker_projects.containers() == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("volumes", ["/no/such/folder:/x"], "/no/such/folder"),
        ("volumes", ["relative:/x:/y:/z"], "volume"),
        ("network", "no-such-network", "no-such-network"),
        ("memory", "1 KB", "memory"),
        ("memory", "many", "memory"),
        ("cpus", -1, "cpus"),
        ("cpus", 4096, "CPU"),
        ("shmSize", "0", "shm"),
        ("gpu", "device=99", "GPU"),
        ("caCertificates", "/no/such/file.pem", "/no/such/file.pem"),
    ],
)
def test_settings_that_cannot_be_are_said(
    docker_projects: DockerProjects, tmp_path: Path, key: str, value: object, said: str
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN}, **{key: value})
    assert said in refused(folder)
    assert docker_projects.containers() == []
