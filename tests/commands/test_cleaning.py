"""`clean` where runs happen in Docker: what can go, how much it is, and what never goes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from amltool.commands.opening import open_project
from amltool.containers.values import ContainerSpec
from amltool.launchers.container_spec import CLONE_LABEL, RUN_LABEL
from amltool.targets.drive import clone_label
from amltool.targets.placing import project_key
from tests.amltool_command import amltool
from tests.components.docker_projects import (  # noqa: F401 (pytest finds fixtures by name)
    PLAIN,
    WAITS,
    DockerProjects,
    client,
    completed,
    docker_projects_fixture,
    show,
    submit,
    unfinished,
)
from tests.waiting import wait_until

TRAIN = "print('ran')\n"
NOWHERE = "unix:///nowhere/docker.sock"
ENVIRONMENTS = ("clean", "--environments")


def found(folder: Path, *options: str, kind: str = "") -> list[dict[str, Any]]:
    items = json.loads(amltool(folder, "clean", "--json", *options).stdout)
    return [item for item in items if kind in ("", item["kind"])]


def images(folder: Path) -> list[str]:
    return [item["place"] for item in found(folder, "--environments", kind="image")]


def other_project(projects: DockerProjects, folder: Path, **more: Any) -> Path:
    """A project of another name, whose image is that of the others with one more name."""
    made = projects.make(
        folder, {"train.py": TRAIN, "waits.py": WAITS}, name=f"{projects.name}-{uuid.uuid4().hex[:6]}", **more
    )
    amltool(made, "prepare", "--target", "docker")
    return made


def test_sizes_come_first_and_an_image_goes_when_asked_for(docker_projects: DockerProjects, tmp_path: Path) -> None:
    conda = PLAIN + f"variables: {{OF: {uuid.uuid4().hex}}}\n"
    folder = other_project(docker_projects, tmp_path, conda=conda)
    image = completed(submit(folder))["environment"]["image"]

    assert found(folder, kind="image") == [], "only when asked for"
    [item] = found(folder, "--environments", kind="image")
    shown = amltool(folder, *ENVIRONMENTS).stdout
    assert 1 << 20 < item["size"] < docker_projects.daemon.image(image).size  # type: ignore[union-attr]
    assert item["place"].startswith(f"amltool/{folder.name}:")
    assert shown.index("MB  image") < shown.index(item["place"])
    assert "can go. Remove it with" in shown
    assert docker_projects.daemon.image(image) is not None

    removed = amltool(folder, *ENVIRONMENTS, "--target", "docker", "--yes").stdout

    assert "Removed" in removed
    assert docker_projects.daemon.image(image) is None
    assert "Building the execution environment" in amltool(folder, "prepare", "--target", "docker").stderr
    amltool(folder, *ENVIRONMENTS, "--yes")


def test_the_image_of_an_unfinished_run_stays(
    docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path
) -> None:
    folder = other_project(docker_projects, tmp_path)
    [image] = images(folder)
    amltool(folder, "submit", "waits.py", "--target", "docker", "--detach")

    assert images(folder) == []
    amltool(folder, *ENVIRONMENTS, "--yes")

    end(folder, isolated_home)
    assert amltool(folder, "wait", "@").returncode == 0
    assert show(folder)["status"] == "Completed"
    assert images(folder) == [image]
    amltool(folder, *ENVIRONMENTS, "--yes")


def end(folder: Path, home: Path) -> None:
    """Let the unfinished run of a project come to its end, once it is so far."""
    [run] = unfinished(folder)
    outputs = home / ".amltool/runs" / run / "work/outputs"
    wait_until(outputs.is_dir)
    (outputs / "stop").touch()


def test_the_image_that_an_interrupted_run_will_need_stays(
    docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path
) -> None:
    folder = other_project(docker_projects, tmp_path, prepare=False)
    process = client(folder, "submit", "waits.py", "--target", "docker")
    wait_until(lambda: unfinished(folder))
    process.kill()
    process.communicate()
    state = folder / ".git/amltool/runs" / unfinished(folder)[0] / "state.json"
    state.unlink(missing_ok=True)  # as if it had been killed before the first step ended

    assert images(folder) == []
    amltool(folder, *ENVIRONMENTS, "--yes")

    process = client(folder, "wait", "@")
    end(folder, isolated_home)
    process.communicate()
    assert process.returncode == 0
    assert len(images(folder)) == 1
    amltool(folder, *ENVIRONMENTS, "--yes")


def test_of_an_image_that_other_projects_use_only_our_name_goes(
    docker_projects: DockerProjects, tmp_path: Path
) -> None:
    one, two = other_project(docker_projects, tmp_path), other_project(docker_projects, tmp_path)
    [ours] = found(one, "--environments", kind="image")
    [theirs] = found(two, "--environments", kind="image")

    assert (ours["size"], "other projects use it too" in ours["reason"]) == (0, True), "nothing is given back"
    amltool(one, *ENVIRONMENTS, "--yes")

    assert images(one) == []
    assert images(two) == [theirs["place"]]
    assert amltool(two, "prepare", "--target", "docker", "--check").returncode == 0
    amltool(two, *ENVIRONMENTS, "--yes")


def test_two_targets_with_one_docker_count_once(docker_projects: DockerProjects, tmp_path: Path) -> None:
    folder = other_project(docker_projects, tmp_path)
    compute = (folder / "aml_config/docker.compute").read_text()
    (folder / "aml_config/large.compute").write_text(compute + 'memory: "1 GB"\n')
    assert len(images(folder)) == 1
    amltool(folder, *ENVIRONMENTS, "--yes")
    assert images(folder) == []


def test_containers_of_ended_runs_go_and_those_of_others_stay(
    docker_projects: DockerProjects,
    tmp_path: Path,
) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    record = completed(submit(folder))
    opened = open_project(folder)
    clone = clone_label(project_key(opened.git, opened.prefix))
    ours = left(docker_projects, str(record["run_id"]), clone)
    others = left(docker_projects, f"20261121T000000-0000000-{uuid.uuid4().hex[:4]}", "f" * len(clone))
    try:
        assert ours in [item["place"] for item in found(folder)]
        assert others not in [item["place"] for item in found(folder)]
        amltool(folder, "clean", "--yes")
        assert docker_projects.daemon.state(ours) is None
        assert docker_projects.daemon.state(others) is not None
    finally:
        docker_projects.daemon.remove(others)
        docker_projects.daemon.remove(ours)


def left(projects: DockerProjects, run_id: str, clone: str) -> str:
    name = f"amltool-{run_id}"
    labels = {RUN_LABEL: run_id, CLONE_LABEL: clone}
    projects.daemon.create(ContainerSpec(image=projects.base_image, command=["true"], name=name, labels=labels))
    return name


def test_docker_that_is_away_is_told_and_the_rest_is_cleaned(docker_projects: DockerProjects, tmp_path: Path) -> None:
    folder = docker_projects.make(tmp_path, {"train.py": TRAIN})
    completed(submit(folder))

    done = amltool(folder, *ENVIRONMENTS, "--yes", DOCKER_HOST=NOWHERE)

    assert "Removed" in done.stdout
    assert "docker" in done.stderr
    assert "Docker does not answer" in done.stderr
    assert found(folder) == []
    named = amltool(folder, "clean", "--target", "docker", check=False, DOCKER_HOST=NOWHERE)
    assert named.returncode == 1
    assert "Docker does not answer" in named.stderr


def test_what_cannot_go_is_told_and_the_rest_goes(
    docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path
) -> None:
    """An image of the same name, for a clone of the project has a run in it, which does not say so."""
    conda = PLAIN + f"variables: {{OF: {uuid.uuid4().hex}}}\n"
    folder = other_project(docker_projects, tmp_path / "one", conda=conda)
    clone = docker_projects.make(tmp_path / "two", {"waits.py": WAITS}, conda=conda, name=folder.name)
    completed(submit(folder))
    amltool(clone, "submit", "waits.py", "--target", "docker", "--detach")
    wait_until(lambda: "begun" in amltool(clone, "logs", "@").stdout)
    assert images(folder) == []
    marks = [said.parent for said in isolated_home.glob(".amltool/marks/*/uses.json")]
    runs = [isolated_home / ".amltool/runs" / mark.name for mark in marks]
    for mark in marks:
        (mark / "uses.json").unlink()

    done = amltool(folder, *ENVIRONMENTS, "--yes")

    assert "stays: The image" in done.stderr
    assert "run folder" in done.stdout
    for run in runs:
        if run.exists():
            (run / "work/outputs/stop").touch()
    assert amltool(clone, "wait", "@").returncode == 0
    wait_until(lambda: docker_projects.containers(folder) == [])  # whoever drove it removes its container just now
    assert len(images(folder)) == 1
    amltool(folder, *ENVIRONMENTS, "--yes")
    assert images(folder) == []
