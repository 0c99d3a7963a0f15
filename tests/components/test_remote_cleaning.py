"""`clean` of machines over SSH: what lies there can go, what a run of any clone needs stays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from amltool.containers.daemon import DockerDaemon
from amltool.containers.values import ContainerSpec
from amltool.hosts.ssh import SshHost
from amltool.launchers.container_spec import CLONE_LABEL, RUN_LABEL
from tests.amltool_command import amltool
from tests.components.docker_projects import PLAIN, WAITS, completed, submit
from tests.components.remote_projects import KINDS, make, make_of, record, start
from tests.components.ssh_machine import SshMachine
from tests.waiting import wait_until

EVERYTHING = ("clean", "--target", "vm", "--environments")
TRAIN = {"train.py": "open('outputs/x', 'w').write('x')\n", "waits.py": WAITS}


def found(project: Path, *options: str) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads(amltool(project, *EVERYTHING, "--json", *options).stdout):
        kinds.setdefault(item["kind"], []).append(item)
    return kinds


def standing(host: SshHost, *below: str) -> list[str]:
    try:
        return [name for name in host.names(PurePosixPath(host.root, *below)) if name != "locks"]
    except FileNotFoundError:
        return []


@pytest.fixture
def kind_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """A project of a kind with an environment of its own; clones of one ``name`` have the same."""

    def made(kind: str, folder: str = "one", name: str = "") -> Path:
        conda = PLAIN + f"variables: {{OF: {name or tmp_path.name}}}\n"
        files = {**TRAIN, "aml_config/conda_dependencies.yml": conda, "aml_config/project.yml": "project: cleaned\n"}
        more = {"userManagedEnvironment": False} if kind == "remote" else {}
        return make_of(kind, request, tmp_path / folder, files, **more)

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_runs_left_on_a_machine_is_told_and_goes(
    kind: str, kind_of: Callable[..., Path], ssh_host: SshHost
) -> None:
    project = kind_of(kind)
    completed(submit(project, target="vm"))
    there = found(project)
    built = "environment" if kind == "remote" else "image"
    assert {"run folder", "kept snapshots", built} <= set(there)
    assert all(item["size"] > 0 for items in there.values() for item in items if item["kind"] != "package cache")

    amltool(project, *EVERYTHING, "--yes")

    assert found(project) == {}
    assert (standing(ssh_host, "runs"), standing(ssh_host, "cache", "objects")) == ([], [])
    assert kind == "remotedocker" or standing(ssh_host, "environments") == []
    if kind == "remote":
        assert "Building the execution environment" in submit(project, target="vm").said
        amltool(project, *EVERYTHING, "--yes")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_run_of_another_clone_needs_stays(kind: str, kind_of: Callable[..., Path], ssh_host: SshHost) -> None:
    one, two = kind_of(kind, "one"), kind_of(kind, "two")
    completed(submit(one, target="vm"))
    built = "environment" if kind == "remote" else "image"
    [before] = found(one)[built]
    run_id = start(two, "waits.py")
    wait_until(lambda: "begun" in amltool(two, "logs", run_id).stdout)

    assert built not in found(one)
    amltool(one, *EVERYTHING, "--yes")

    ssh_host.write(PurePosixPath(ssh_host.root, "runs", run_id, "work", "outputs", "stop"), b"")
    assert amltool(two, "wait", run_id).returncode == 0
    assert record(two, run_id)["status"] == "Completed"
    assert [item["place"] for item in found(one)[built]] == [before["place"]]
    assert "kept snapshots" not in found(one), "those are another clone's"
    for project in (one, two):
        amltool(project, *EVERYTHING, "--yes")


def test_only_containers_of_this_clone_go(
    kind_of: Callable[..., Path], ssh_docker: SshMachine, python_image: str, ssh_host: SshHost
) -> None:
    project = kind_of("remotedocker")
    done = completed(submit(project, target="vm"))
    daemon = DockerDaemon(ssh_host)
    clone = clone_of(project)
    names = {}
    for label in (clone, "f" * len(clone)):
        run_id = done["run_id"] if label == clone else f"20261121T000000-0000000-{os.urandom(2).hex()}"
        names[label] = f"amltool-{run_id}"
        labels = {RUN_LABEL: run_id, CLONE_LABEL: label}
        daemon.create(ContainerSpec(image=python_image, command=["true"], name=names[label], labels=labels))
    try:
        assert [item["place"] for item in found(project)["container"]] == [names[clone]]
        amltool(project, *EVERYTHING, "--yes")
        assert [daemon.state(name) is None for name in names.values()] == [True, False]
    finally:
        for name in names.values():
            daemon.remove(name)


def clone_of(project: Path) -> str:
    from amltool.commands.opening import open_project
    from amltool.targets.drive import clone_label
    from amltool.targets.placing import project_key

    opened = open_project(project)
    return clone_label(project_key(opened.git, opened.prefix))


def test_a_machine_without_docker_still_tells_its_folders(
    ssh_docker: SshMachine, python_image: str, tmp_path: Path, ssh_host: SshHost
) -> None:
    project = make(tmp_path, ssh_docker, TRAIN, type="remotedocker", baseDockerImage=python_image)
    run_id = completed(submit(project, target="vm"))["run_id"]
    ssh_docker.stop_docker()
    try:
        done = amltool(project, "clean", "--environments", "--yes")
    finally:
        ssh_docker.start_docker()
    assert "What vm has is not all known: Docker does not answer" in done.stderr
    assert run_id not in standing(ssh_host, "runs")
    amltool(project, *EVERYTHING, "--yes")
