"""Runs that are run again: in a container what was run here, here what was run in a container, from the lock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import DockerProjects, artifact, completed, show, submit
from tests.environments.wheel_index import serving, wheel, wheel_name

DETERMINISTIC = """
from amltool import tracking
tracking.log_metric("accuracy", 0.25)
open("outputs/result.txt", "w").write("the same everywhere")
"""
VERSION = "import sys\nopen('outputs/version.txt', 'w').write(repr(sys.prefix))\n"
BLOT = "import blot\nopen('outputs/blot.txt', 'w').write(blot.VERSION)\n"


def rerun(folder: Path, *options: str, **variables: str) -> tuple[dict[str, Any], str, int]:
    done = amltool(folder, "rerun", "@", "--json", *options, check=False, **variables)
    try:
        return json.loads(done.stdout), done.stderr, done.returncode
    except ValueError:
        raise AssertionError(done.stdout + done.stderr) from None


def lock_of(folder: Path, into: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(artifact(folder, "environment.lock.json", into))
    return found


@pytest.mark.parametrize(("first", "second"), [("local", "docker"), ("docker", "local")])
def test_what_does_not_depend_on_where_it_runs_is_reproduced_elsewhere(
    docker_projects: DockerProjects, tmp_path: Path, first: str, second: str
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": DETERMINISTIC})
    original = completed(submit(folder, target=first))

    report, said, exit_code = rerun(folder, "--target", second)

    assert (report["verdict"], exit_code) == ("reproduced", 0), said
    again = show(folder)
    assert (again["target"], again["rerun_of"]) == (second, original["run_id"])
    assert again["commit"] == original["commit"]
    assert show(folder, original["run_id"])["verdicts"][0]["verdict"] == "reproduced"


@pytest.mark.parametrize(("first", "second"), [("local", "docker"), ("docker", "local")])
def test_what_depends_on_it_differs_and_the_environments_differences_are_named(
    docker_projects: DockerProjects, tmp_path: Path, first: str, second: str
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": VERSION})
    completed(submit(folder, target=first))
    was = lock_of(folder, tmp_path / "was")

    report, said, exit_code = rerun(folder, "--target", second)

    assert (report["verdict"], exit_code) == ("differs", 1), said
    causes = "\n".join(report["causes"])
    now = lock_of(folder, tmp_path / "now")
    assert "the image differs" in causes
    assert "the environment differs" in causes
    versions = [lock["python"]["version"] for lock in (was, now)]
    assert versions[0] == versions[1] or f"python version {versions[0]} -> {versions[1]}" in causes
    packages = {package["name"]: package["version"] for package in was["packages"]}
    others = {package["name"]: package["version"] for package in now["packages"]}
    different = [name for name in {*packages, *others} if packages.get(name) != others.get(name)]
    assert any(name in causes for name in different)
    assert "the target differs" in causes or second in causes


def test_a_run_whose_image_is_gone_is_built_again_from_its_lock(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    wheels = {wheel_name("blot", "1.0"): wheel("blot", "1.0")}
    conda = f"dependencies:\n- python\n- pip:\n  - blot\nvariables: {{OF: {docker_projects.name}-{tmp_path.name}}}\n"
    with serving(wheels) as index:
        folder = docker_projects.make(
            tmp_path,
            {"train.py": BLOT},
            conda=conda,
            network="host",
            pip={"indexUrl": index.url, "trustedHosts": ["127.0.0.1"]},
        )
        original = completed(submit(folder))
        was = lock_of(folder, tmp_path / "was")
        wheels[wheel_name("blot", "2.0")] = wheel("blot", "2.0")
        remove_image(docker_projects, original["environment"]["image"])

        report, said, exit_code = rerun(folder)
        again = show(folder)
        now = lock_of(folder, tmp_path / "now")

    assert (report["verdict"], exit_code) == ("reproduced", 0), said
    assert "Building the execution environment" in said
    assert now["packages"] == was["packages"]
    assert again["environment"]["lock_sha256"] == original["environment"]["lock_sha256"]
    assert ("blot", "1.0") in {(package["name"], package["version"]) for package in now["packages"]}


def remove_image(projects: DockerProjects, image: str) -> None:
    names = [name for name, known in projects.images().items() if known == image]
    assert names
    for name in names:
        projects.daemon.remove_image(name)
    assert projects.daemon.image(image) is None
