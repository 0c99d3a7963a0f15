"""Whatever a script does to its run folder harms that run only: in a container, and on a machine over SSH."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import DockerProjects
from tests.components.remote_projects import KINDS, make_of
from tests.components.ssh_machine import SshMachine
from tests.hostile_scripts import FILES, hostile_script, seen_program, victim_program

SCRIPTS, PLANTS = 5, 5
"""Scripts of a run of the suite for each kind of target, and what each plants: 25 in all; a torture has four times."""
Told = Callable[[str], str]
"""What a program tells of the victim, on the machine where it lies."""


def scripts(first: int, victim: str, *, top: bool) -> dict[str, bytes | str]:
    """What a project holds beside its honest script."""
    return {
        f"hostile{seed}.py": hostile_script(seed, victim, count=PLANTS, top=top)
        for seed in range(first, first + SCRIPTS)
    }


def look_through(project: Path, target: str, told: Told) -> None:
    """Run each hostile script, and the honest one after it; nothing outside is another than before."""
    told(victim_program())
    before = told(seen_program())
    assert "sub/precious.txt" in before
    for script in sorted(path.name for path in project.glob("hostile*.py")):
        done = amltool(project, "submit", script, "--target", target, check=False)
        assert done.returncode in (0, 1), f"{script}: {done.stdout}{done.stderr}"
        assert told(seen_program()) == before, script
        honest = amltool(project, "submit", "train.py", "--target", target, check=False)
        assert (honest.returncode, honest.stdout) == (0, "committed\n"), f"{script}: {honest.stderr}"
        assert told(seen_program()) == before, script
    amltool(project, "clean", "--target", target, "--yes")
    assert told(seen_program()) == before


FEW = [0]
MANY = [pytest.param(first, marks=pytest.mark.torture) for first in range(1000, 1060, SCRIPTS)]


@pytest.mark.parametrize("first", [*FEW, *MANY])
@pytest.mark.parametrize("shared", [True, pytest.param(False, marks=pytest.mark.torture)])
def test_in_a_container(docker_projects: DockerProjects, tmp_path: Path, first: int, shared: bool) -> None:
    victim = tmp_path / "victim"
    files = {**FILES, **scripts(first, str(victim), top=False)}
    project = docker_projects.make(
        tmp_path, files, sharedVolumes=shared, userManagedEnvironment=True, pythonLocation="python3"
    )

    def told(program: str) -> str:
        victim.mkdir(exist_ok=True)
        command = [sys.executable, "-c", program, str(victim)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    look_through(project, "docker", told)


@pytest.mark.parametrize("first", [*FEW, *MANY])
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_machine_over_ssh(
    ssh_machine: SshMachine, tmp_path: Path, request: pytest.FixtureRequest, kind: str, first: int
) -> None:
    victim = f"{ssh_machine.home}/victim"
    files = {**FILES, **scripts(first, victim, top=kind == "remote")}
    project = make_of(kind, request, tmp_path, files, userManagedEnvironment=True, pythonLocation="python3")

    def told(program: str) -> str:
        code, said = ssh_machine.execute(["python3", "-c", program, victim], user=ssh_machine.user)
        assert code == 0, said
        return said

    look_through(project, "vm", told)
