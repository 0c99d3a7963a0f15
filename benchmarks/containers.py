"""What `submit --target docker` costs beside the least that could run the script in a container: one ``docker run``.

Both run in the same image, the floor with the project's folder mounted and as the same user. The environment is
prepared beforehand, and before each round one file changes and is committed: it is the second submit that is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from measuring import BenchmarkError, Command, Figure, pair, seconds
from overhead import require_runs
from sized_project import SCRIPT, SizedProject, make_sized_project
from surroundings import Surroundings, surroundings

NAME = "docker-1MB"
TARGET = 1.6
ROUNDS = 11
BASE_IMAGE = "AMLTOOL_BASE_DOCKER_IMAGE"
PYTHON = "/opt/amltool/environment/bin/python"
"""Where an image that amltool built has its Python."""


def absence() -> str | None:
    """Why this cannot be measured here, ``None`` where it can."""
    if shutil.which("docker") is None or subprocess.run(("docker", "info"), capture_output=True).returncode != 0:
        return "Docker does not answer"
    return None


def measure(programs: Path, rounds: int) -> Iterator[tuple[Figure, str]]:
    """The figure, and the disk it was measured on."""
    with surroundings(programs, 1) as place:
        project = make_sized_project(place, 50, 1, packed=True)
        _name_base_image(project)
        image = _prepare(project)
        submit(project)
        pairs = []
        for number in range(rounds + 1):
            project.commit_a_change()
            pairs.append(pair(lambda: floor(project, image), lambda: submit(project), number))
        require_runs(project, rounds + 2)
    yield Figure("50 files / 1 MB in Docker: again after one file changed", TARGET, tuple(pairs[1:])), place.disk


def floor(project: SizedProject, image: str) -> float:
    """Seconds for the script in a container of the same image, the folder mounted."""
    user = f"{os.getuid()}:{os.getgid()}"
    options = ("--rm", "--user", user, "--volume", f"{project.folder}:/work", "--workdir", "/work")
    arguments = ("docker", "run", *options, "--entrypoint", PYTHON, image, SCRIPT)
    try:
        return seconds(Command(arguments, project.folder, project.surroundings.environment))
    finally:
        shutil.rmtree(project.folder / "outputs", ignore_errors=True)


def submit(project: SizedProject) -> float:
    """Seconds for a submit of the newest commit."""
    return seconds(_amltool(project.surroundings, project.folder, "submit", SCRIPT, "--target", "docker"))


def _amltool(place: Surroundings, folder: Path, *arguments: str) -> Command:
    return place.program(folder, "amltool", *arguments)


def _name_base_image(project: SizedProject) -> None:
    """The base image of the project: the one the environment variable names, where it names one."""
    base = os.environ.get(BASE_IMAGE)
    if base:
        (project.folder / "aml_config" / "docker.compute").write_text(
            f"type: localdocker\nbaseDockerImage: {base}\nsharedVolumes: true\n"
        )


def _prepare(project: SizedProject) -> str:
    told = _amltool(project.surroundings, project.folder, "prepare", "--target", "docker", "--json").run()
    image = json.loads(told)["image"]
    if not image:
        raise BenchmarkError("amltool prepare named no image.")
    return str(image)
