"""`prepare`: build the environment that a submit would use, or say whether it is there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project
from tests.components.docker_projects import (  # noqa: F401 (pytest finds fixtures by name)
    PLAIN,
    DockerProjects,
    client,
    completed,
    docker_projects_fixture,
    submit,
    unfinished,
)
from tests.repositories import write_files
from tests.waiting import wait_until

PREPARE = ("prepare", "--target", "docker")
OWN = "Nothing to prepare: the compute target local uses an interpreter of your own"
NOT_READY = "The compute target is not prepared for the specified run configuration."
READY = "The compute target already prepared for the specified run configuration."


@pytest.fixture
def new(docker_projects: DockerProjects, tmp_path: Path) -> Path:
    """A project whose environment nobody built yet, and whose run configuration does not see to it."""
    conda = PLAIN + f"variables: {{OF: {docker_projects.name}-{tmp_path.name}}}\n"
    return docker_projects.make(tmp_path, {"train.py": "print('ran')\n"}, conda=conda, prepare=False)


@pytest.fixture
def known(docker_projects: DockerProjects, tmp_path: Path) -> Path:
    """A project with dependencies that all tests share."""
    return docker_projects.make(tmp_path, {"train.py": "print('ran')\n"}, prepare=False)


def test_it_builds_once_and_then_says_that_it_is_there(new: Path, docker_projects: DockerProjects) -> None:
    first = amltool(new, *PREPARE)
    again = amltool(new, *PREPARE)
    found = json.loads(amltool(new, *PREPARE, "--json").stdout)

    assert "In the image: create the virtual environment." in first.stderr
    assert first.stdout.strip() == "The compute target docker is prepared for the run configuration docker."
    assert (again.stdout.strip(), again.stderr) == (READY, "")
    assert (found["ready"], found["built"]) == (True, False)
    assert found["image"] in docker_projects.images().values()


def test_check_builds_nothing(new: Path, docker_projects: DockerProjects) -> None:
    before = docker_projects.images()
    done = amltool(new, *PREPARE, "--check", check=False)
    assert (done.returncode, done.stdout.strip()) == (1, NOT_READY)
    assert docker_projects.images() == before
    assert docker_projects.builds() == []


def test_check_says_what_is_there(known: Path) -> None:
    amltool(known, *PREPARE)
    there = amltool(known, *PREPARE, "--check")
    assert (there.returncode, there.stdout.strip()) == (0, READY)


def test_ctrl_c_during_a_build_leaves_nothing(new: Path, docker_projects: DockerProjects) -> None:
    before = docker_projects.images()
    process = client(new, *PREPARE)
    wait_until(docker_projects.builds)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert docker_projects.builds() == []
    assert docker_projects.images() == before


def test_a_run_that_may_not_build_says_how_to_prepare_it(new: Path) -> None:
    refused = submit(new)
    assert refused.exit_code == 1
    assert "The compute target is not prepared for the run configuration docker." in refused.said
    assert "amltool prepare -c docker" in refused.said
    assert "PrepareEnvironment: true" in refused.said
    assert unfinished(new) == []
    assert refused.record["reason"].startswith("not started: ")


def test_what_is_prepared_is_what_a_run_uses_that_may_not_build(known: Path) -> None:
    prepared = json.loads(amltool(known, "prepare", "-c", "docker", "--json").stdout)
    done = submit(known)
    environment = completed(done)["environment"]
    assert (environment["image"], environment["key"]) == (prepared["image"], prepared["key"])
    assert done.printed == "ran\n"


def test_dependencies_that_are_not_committed_count(known: Path) -> None:
    amltool(known, *PREPARE)
    write_files(known, {"aml_config/conda_dependencies.yml": PLAIN + "variables: {OF: something new}\n"})
    assert amltool(known, *PREPARE, "--check", check=False).returncode == 1


def test_dependencies_with_mistakes_are_named_by_file_and_line(known: Path) -> None:
    write_files(known, {"aml_config/conda_dependencies.yml": "name: x\ndependencies: 5\n"})
    done = amltool(known, *PREPARE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("aml_config/conda_dependencies.yml:2:")
    assert "Traceback" not in done.stderr


class TestOnAnInterpreterOfTheUser:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        return make_project(tmp_path / "project", {"train.py": ""})

    def test_there_is_nothing_to_prepare(self, project: Path) -> None:
        assert amltool(project, "prepare", "--target", "local").stdout.startswith(OWN)

    def test_there_is_nothing_to_check(self, project: Path) -> None:
        """The ancestor's words."""
        done = amltool(project, "prepare", "--target", "local", "--check", check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("Can not check preparation of local targets\n")


def test_a_virtual_environment_of_this_machine_is_prepared_too(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "aml_config/conda_dependencies.yml": PLAIN,
        "aml_config/local.compute": 'type: "local"\nuserManagedEnvironment: false\n',
        "train.py": "import sys\nprint(sys.prefix != sys.base_prefix)\n",
    }
    folder = make_project(tmp_path / "project", files)
    refused = submit(folder, target="local")
    assert "not prepared" in refused.said
    assert amltool(folder, "prepare", "--target", "local", "--check", check=False).returncode == 1

    amltool(folder, "prepare", "--target", "local")

    assert amltool(folder, "prepare", "--target", "local", "--check").stdout.strip() == READY
    assert submit(folder, target="local").printed == "True\n"
