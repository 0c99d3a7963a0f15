"""Projects that are submitted to a Docker target through the real command line, and what Docker shows of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from amltool.containers.daemon import DockerDaemon
from tests.amltool_command import amltool
from tests.components.users import Unprivileged
from tests.repositories import make_repository

TOP = str(Path(__file__).parents[2])
RUN_CONFIGURATION = (
    'ArgumentVector:\n- "$file"\nTarget: "{}"\nFramework: "Python"\nPrepareEnvironment: {}\nTrackedRun: true\n'
)
LOCAL = 'type: "local"\nnativeSharedDirectory: "~/.azureml/share/"\n'
WAITS = """
import os, time
print("begun", flush=True)
while not os.path.exists("outputs/stop"):
    time.sleep(0.1)
"""
PLAIN = "dependencies:\n- python\n"
"""What most tests ask for: Python and nothing else, so that all of them share one image."""
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DockerProjects:
    """Makes projects with the targets ``docker`` and ``local``; ``name`` is that of all (and part of their images')."""

    daemon: DockerDaemon
    base_image: str
    name: str

    def make(
        self,
        folder: Path,
        files: Mapping[str, bytes | str],
        *,
        conda: str = PLAIN,
        prepare: bool = True,
        name: str | None = None,
        **compute: object,
    ) -> Path:
        """A repository with one commit; ``compute`` are keys of ``docker.compute`` beside the base image."""
        settings = {"type": "localdocker", "baseDockerImage": self.base_image, "sharedVolumes": True, **compute}
        configuration: dict[str, bytes | str] = {
            "aml_config/docker.compute": compute_file(settings),
            "aml_config/docker.runconfig": RUN_CONFIGURATION.format("docker", str(prepare).lower()),
            "aml_config/local.compute": LOCAL,
            "aml_config/local.runconfig": RUN_CONFIGURATION.format("local", "false"),
            "aml_config/conda_dependencies.yml": conda,
        }
        return make_repository(folder / (name or self.name), {**configuration, **files})

    def containers(self, folder: Path | None = None, *, label: str = "amltool.run") -> list[str]:
        """Names of containers of runs (or of builds: label ``amltool.build``) of these projects, in whatever state."""
        name = folder.name if folder is not None else self.name
        return [
            container.name
            for container in self.daemon.containers(f"amltool.project={name}")
            if container.labels.get(label)  # an image's labels are those of its containers, but for empty ones
        ]

    def builds(self) -> list[str]:
        return self.containers(label="amltool.build")

    def made(self, since_s: float, *, label: str = "amltool.build") -> int:
        """How many containers of builds (or of runs: label ``amltool.run``) were made since a time (`time.time`)."""
        wanted = {"type": "container", "event": "create", "label": f"amltool.project={self.name}"}
        with self.daemon._asked() as api:
            found = list(api.events(since=f"{since_s:.9f}", until=f"{time.time():.9f}", filters=wanted, decode=True))
        return sum(1 for event in found if event["Actor"]["Attributes"].get(label))

    def images(self, ending: str = ":") -> dict[str, str]:
        """Names of these projects' images, and their ids."""
        repository = f"amltool/{self.name}{ending}"
        found = (self.daemon.image(image.id) for image in self.daemon.images("amltool.environment"))
        return {
            tag: image.id for image in found if image is not None for tag in image.tags if tag.startswith(repository)
        }

    def clear(self) -> None:
        for name in (*self.containers(), *self.builds()):
            self.daemon.remove(name)
        for name in (*self.images(), *self.images("-")):  # also of projects whose name is only longer
            self.daemon.remove_image(name)


def compute_file(settings: Mapping[str, object]) -> str:
    """A ``.compute`` file: JSON is YAML."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items() if value is not None)


@pytest.fixture(scope="session", name="docker_projects")
def docker_projects_fixture(docker_daemon: DockerDaemon, python_image: str) -> Iterator[DockerProjects]:
    """Projects of one name, of which nothing is left in Docker afterwards."""
    made = DockerProjects(docker_daemon, python_image, f"project-{uuid.uuid4().hex[:12]}")
    yield made
    made.clear()


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submit came to: its record (empty where there is none), what the run printed, what amltool said."""

    record: Found
    printed: str
    said: str
    exit_code: int


def submit(
    folder: Path,
    script: str = "train.py",
    *options: str,
    target: str = "docker",
    arguments: Sequence[str] = (),
    **variables: str,
) -> Submitted:
    """Submit as a user does, and look up the record afterwards."""
    words = ["submit", script, "--target", target, *options, *(("--", *arguments) if arguments else ())]
    done = amltool(folder, *words, check=False, **variables)
    run_ids = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("RunId: ")]
    shown = amltool(folder, "show", run_ids[0], "--json", check=False, **variables) if run_ids else None
    record = json.loads(shown.stdout) if shown is not None and shown.returncode == 0 else {}
    return Submitted(record, done.stdout, done.stderr, done.returncode)


def completed(submitted: Submitted) -> Found:
    """The record of a submit that has to have gone well."""
    assert submitted.record.get("status") == "Completed", f"{submitted.record}\n{submitted.said}\n{submitted.printed}"
    assert submitted.exit_code == 0
    return submitted.record


def client(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """The command in a session of its own, so that a signal to its group is a Ctrl-C at a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "amltool", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": TOP, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def runs(folder: Path) -> list[Found]:
    """The recorded and the unfinished runs, newest first."""
    found: list[Found] = json.loads(amltool(folder, "runs", "--limit=0", "--json").stdout)
    return found


def show(folder: Path, run: str = "@") -> Found:
    found: Found = json.loads(amltool(folder, "show", run, "--json").stdout)
    return found


def ended_at(record: Found) -> float:
    """When a run was over, as `time.time` has it: however long it then took here to collect and to say so."""
    return datetime.fromisoformat(record["ended"].replace("Z", "+00:00")).timestamp()


def artifacts(record: Found) -> dict[str, str]:
    """The SHA-256 of each artifact by path."""
    return {artifact["path"]: artifact["sha256"] for artifact in record["artifacts"]}


def artifact(folder: Path, path: str, into: Path) -> bytes:
    """The content of an artifact of the newest run, by way of the empty folder ``into``."""
    amltool(folder, "outputs", "@", "--download", str(into), "--path", path)
    return next(into.rglob(Path(path).name)).read_bytes()


def unfinished(folder: Path) -> list[str]:
    """Runs that stand in the journal."""
    journal = folder / ".git" / "amltool" / "runs"
    return sorted(entry.parent.name for entry in journal.glob("*/request.json"))


def give(folder: Path, user: Unprivileged) -> None:
    """Make a folder and all in it another user's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def run_folder(record: Found, home: Path) -> Path:
    return home / ".amltool" / "runs" / str(record["run_id"])
