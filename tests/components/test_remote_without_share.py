"""`sharedVolumes: false` in a container on another machine: the Workbench's own template says that."""

from __future__ import annotations

import json
from pathlib import Path

from tests.components.docker_projects import artifact, completed, submit
from tests.components.remote_projects import make
from tests.components.ssh_machine import SshMachine

TRAIN = """
import json, os
open("outputs/environment.json", "w").write(json.dumps(sorted(os.environ)))
open("outputs/mounts", "w").write(open("/proc/self/mountinfo").read())
open("logs/training.log", "w").write("log")
"""
ASKS = "import os\nprint(os.environ['AZUREML_NATIVE_SHARE_DIRECTORY'])\n"


def test_the_run_has_no_shared_folder_and_its_outputs_come_back(
    ssh_docker: SshMachine, python_image: str, tmp_path: Path
) -> None:
    files: dict[str, bytes | str] = {"train.py": TRAIN, "asks.py": ASKS}
    project = make(tmp_path, ssh_docker, files, type="remotedocker", baseDockerImage=python_image, sharedVolumes=False)

    record = completed(submit(project, target="vm"))

    assert {"outputs/environment.json", "outputs/mounts", "logs/training.log"} <= {
        each["path"] for each in record["artifacts"]
    }
    assert "AZUREML_NATIVE_SHARE_DIRECTORY" not in json.loads(
        artifact(project, "outputs/environment.json", tmp_path / "one")
    )
    assert b"azureml-share" not in artifact(project, "outputs/mounts", tmp_path / "two")
    assert record["shared_folder"] is None
    asked = submit(project, "asks.py", target="vm")
    assert asked.exit_code == 1
    assert "aml_config/vm.compute says `sharedVolumes: false`" in asked.said
