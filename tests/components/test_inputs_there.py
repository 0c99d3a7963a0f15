"""Files of one run are the input of the next, on every target: train, promote, score, and reproduce."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import DockerProjects, completed, submit
from tests.components.remote_projects import make_of

SIZE = 3_000_000
FILES: dict[str, bytes | str] = {
    "train.py": f'open("outputs/model.bin", "wb").write(b"w" * {SIZE})\n',
    "score.py": """
import os, stat
place = os.environ["AMLTOOL_INPUT_MODEL"]
open("outputs/score.txt", "w").write(f"{len(open(place, 'rb').read())} {stat.S_IMODE(os.stat(place).st_mode) & 0o222}")
""",
}


def train_promote_score_and_reproduce(project: Path, target: str) -> None:
    trained = completed(submit(project, target=target))
    amltool(project, "promote", trained["run_id"], "--path", "outputs/model.bin", "--name", "model.bin")

    scored = completed(submit(project, "score.py", "--input", "model=assets/model.bin.link", target=target))

    [entry] = scored["inputs"]
    assert (entry["run_id"], entry["size"], entry["version"]) == (trained["run_id"], SIZE, "1")
    assert {each["path"] for each in scored["artifacts"] if each["path"].startswith("outputs/")} == {
        "outputs/score.txt"
    }
    said = amltool(project, "outputs", scored["run_id"], "--path", "outputs/score.txt", "--stdout").stdout
    assert said == f"{SIZE} 0"
    rerun = json.loads(amltool(project, "rerun", scored["run_id"], "--json").stdout)
    assert rerun["verdict"] == "reproduced"


@pytest.mark.parametrize("shared", [True, False], ids=["mounted", "copied"])
def test_in_containers_here(docker_projects: DockerProjects, tmp_path: Path, shared: bool) -> None:
    project = docker_projects.make(tmp_path, FILES, sharedVolumes=shared)
    train_promote_score_and_reproduce(project, "docker")


def test_on_a_machine_over_ssh(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    project = make_of(kind, request, tmp_path, FILES)
    train_promote_score_and_reproduce(project, "vm")
