"""Files over the limit are fetched from Docker and from machines over SSH, once the run is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import DockerProjects, completed, submit
from tests.components.remote_projects import make_of

SIZE = 3_000_000
FILES: dict[str, bytes | str] = {
    "train.py": f'open("outputs/huge.bin", "wb").write(b"h" * {SIZE})\nopen("outputs/small.txt", "w").write("small")\n',
    "aml_config/project.yml": "max_artifact_size: 1 MB\n",
}


def fetch_what_was_left_out(project: Path, target: str, into: Path) -> None:
    record = completed(submit(project, target=target))
    assert [(each["path"], each["size"]) for each in record["omitted"]] == [("outputs/huge.bin", SIZE)]

    amltool(project, "outputs", record["run_id"], "--from-target", "--download", str(into))

    assert (into / "outputs/huge.bin").read_bytes() == b"h" * SIZE
    assert sorted(str(each.relative_to(into)) for each in into.rglob("*")) == ["outputs", "outputs/huge.bin"]


@pytest.mark.parametrize("shared", [True, False], ids=["mounted", "copied"])
def test_from_a_container_here(docker_projects: DockerProjects, tmp_path: Path, shared: bool) -> None:
    project = docker_projects.make(tmp_path, FILES, sharedVolumes=shared)
    fetch_what_was_left_out(project, "docker", tmp_path / "got")


def test_from_a_machine_over_ssh(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    project = make_of(kind, request, tmp_path, FILES)
    fetch_what_was_left_out(project, "vm", tmp_path / "got")
