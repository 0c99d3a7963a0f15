"""A run that goes on, seen from another clone of its repository through the artifact store of both."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amltool.layout import RUN_IN_CONTAINER, container_name
from tests.amltool_command import amltool, make_project
from tests.components.azurite import ACCOUNT, Azurite, connection_string, make_container, url_of
from tests.components.docker_projects import TOP, DockerProjects, client
from tests.components.faulty_proxy import Fault, FaultyProxy, Request
from tests.components.remote_projects import make_of
from tests.components.ssh_machine import SshMachine
from tests.repositories import git
from tests.waiting import wait_until

CONTAINER = "live-runs"
VARIABLE = "LIVE_RUNS_OF_THE_TEST"
WITHIN_S = 300.0
TRAIN = """
import os, time
from azureml.core.run import Run
run = Run.get_context()
os.makedirs("logs/deep", exist_ok=True)
number = 0
while not os.path.exists("outputs/stop"):
    print("step", number, flush=True)
    with open("logs/deep/train.log", "a") as stream:
        stream.write("epoch %d\\n" % number)
    run.log("loss", 1.0 / (number + 1))
    number += 1
    time.sleep(0.05)
open("outputs/model.bin", "wb").write(bytes(range(256)) * 1000)
"""


@dataclass
class Shared:
    """Where runs are shown, and the settings that say so."""

    settings: str
    names: Callable[[str], list[str]]
    """The files of a run in the store, as a person sees them."""


@pytest.fixture
def proxy(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    make_container(azurite, CONTAINER)
    with FaultyProxy(azurite.port) as started:
        monkeypatch.setenv(VARIABLE, connection_string(url_of(started.port)))
        yield started


@pytest.fixture
def in_azure(proxy: FaultyProxy) -> Shared:
    from azure.storage.blob import ContainerClient  # noqa: TID251 (a test looks behind our back)

    prefix = uuid.uuid4().hex
    address = f"azure://{ACCOUNT}/{CONTAINER}/{prefix}"
    container = ContainerClient.from_connection_string(connection_string(url_of(proxy.port)), CONTAINER)

    def names(run_id: str) -> list[str]:
        top = f"{prefix}/local/default/iris/{run_id}/"
        return sorted(each.name.removeprefix(top) for each in container.list_blobs(name_starts_with=top))

    settings = f"project: iris\nartifact_store: {address}\nartifact_store_credential: ${{env:{VARIABLE}}}\n"
    return Shared(settings, names)


@pytest.fixture
def in_folder(tmp_path: Path) -> Shared:
    store = tmp_path / "team store"
    store.mkdir()

    def names(run_id: str) -> list[str]:
        top = store / "runs/local/default/iris" / run_id
        return sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())

    return Shared(f"project: iris\nartifact_store: {store}\n", names)


def second_clone(project: Path, folder: Path) -> Path:
    """A clone that has nothing of the first one's runs: their history was not fetched."""
    git(project.parent, "clone", "-q", str(project), str(folder))
    return folder


def answer(folder: Path, *words: str) -> Any:
    return json.loads(amltool(folder, *words, "--json").stdout)


def begun(project: Path, target: str) -> str:
    return str(answer(project, "submit", "train.py", "--target", target, "--detach")["run_id"])


class Follower:
    """``logs -f`` in a process of its own."""

    def __init__(self, clone: Path, run_id: str, into: Path, *words: str) -> None:
        self._into = into
        command = [sys.executable, "-m", "amltool", "logs", run_id, "-f", *words]
        with into.open("wb") as stream:
            self.process = subprocess.Popen(
                command, cwd=clone, stdout=stream, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": TOP}
            )

    @property
    def seen(self) -> str:
        return self._into.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.seen or self.process.poll() is not None, WITHIN_S)
        assert self.process.poll() is None, "the run goes on"

    def ended(self) -> str:
        _, said = self.process.communicate(timeout=WITHIN_S)
        assert self.process.returncode == 0, said
        return self.seen


def see_it_go_on(project: Path, shared: Shared, target: str, tmp_path: Path, stop: Callable[[str], object]) -> None:
    """Watch a run from a second clone while it goes on, and get what it left there."""
    run_id = begun(project, target)
    clone = second_clone(project, tmp_path / "clone")
    follower = Follower(clone, run_id, tmp_path / "seen")
    try:
        follower.wait_for("step 3\n")
        wait_until(
            lambda: answer(clone, "show", run_id).get("metrics", {}).get("loss", {}).get("count", 0) > 1, WITHIN_S
        )
        row = answer(clone, "show", run_id[-4:])
        listed = [each["run_id"] for each in answer(clone, "runs", "--all-clones")]
        alone = answer(clone, "runs")
        files = {each["path"]: each["size"] for each in answer(clone, "outputs", run_id)}
        refused = amltool(clone, "outputs", run_id, "--download", str(tmp_path / "early"), check=False)
        not_ours = amltool(clone, "cancel", run_id, check=False)
        logged = amltool(clone, "logs", run_id, "--path", "metrics.jsonl").stdout
        text = amltool(clone, "show", run_id).stdout
        own = answer(project, "show", run_id)
        own_text = amltool(project, "runs").stdout
    finally:
        stop(run_id)
    seen = follower.ended()
    record = answer(project, "show", run_id) if wait_recorded(project, run_id) else {}

    assert (row["status"], row["run_id"], row["commit"]) == ("Running", run_id, record["commit"])
    assert "from another clone" in row["note"]
    assert (refused.returncode, "is not finished yet" in refused.stderr) == (1, True)
    assert (not_ours.returncode, "only that clone can cancel it" in not_ours.stderr) == (1, True)
    assert listed == [run_id]
    assert alone == []
    assert files["console.log"] > 0
    assert files["logs/deep/train.log"] > 0
    assert '"loss"' in logged
    assert "loss" in text
    assert own["metrics"]["loss"]["count"] > 1
    assert "loss" in own_text
    assert record["status"] == "Completed"
    assert seen == amltool(project, "logs", run_id).stdout
    assert seen.startswith("step 0\nstep 1\n")

    amltool(clone, "outputs", run_id, "--download", str(tmp_path / "got"))
    got = {
        each["path"]: hashlib.sha256((tmp_path / "got" / each["path"]).read_bytes()).hexdigest()
        for each in record["artifacts"]
    }
    assert got == {each["path"]: each["sha256"] for each in record["artifacts"]}
    assert "outputs/model.bin" in got
    assert answer(clone, "show", run_id)["status"] == "Completed"
    assert "run.json" in shared.names(run_id)
    assert not [name for name in shared.names(run_id) if name.startswith("live/")]


def wait_recorded(project: Path, run_id: str) -> bool:
    wait_until(lambda: not (project / ".git/amltool/runs" / run_id).exists(), WITHIN_S)
    return True


def stop_here(run_id: str) -> None:
    (Path.home() / ".amltool/runs" / run_id / "work/outputs/stop").touch()


@pytest.mark.parametrize("kind", ["in_azure", "in_folder"])
def test_a_run_on_this_machine_is_seen_from_another_clone(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shared: Shared = request.getfixturevalue(kind)
    project = make_project(tmp_path / "first", {"train.py": TRAIN, "aml_config/project.yml": shared.settings})
    see_it_go_on(project, shared, "local", tmp_path, stop_here)


def drivers(run_id: str) -> list[int]:
    """The processes that drive a run in the background."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"amltool.tasks.background" in words and run_id.encode() in words:
                found.append(int(folder.name))
    return found


def kill_driver(run_id: str) -> None:
    wait_until(lambda: drivers(run_id), WITHIN_S)
    for process in drivers(run_id):
        os.kill(process, signal.SIGKILL)


def test_killed_drivers_and_a_store_that_fails_double_and_lose_no_line(
    in_azure: Shared, proxy: FaultyProxy, tmp_path: Path
) -> None:
    project = make_project(tmp_path / "first", {"train.py": TRAIN, "aml_config/project.yml": in_azure.settings})
    run_id = begun(project, "local")
    clone = second_clone(project, tmp_path / "clone")
    appends: list[Request] = []

    def fault(request: Request) -> Fault | None:
        """Of every four appends one is not answered, one is not taken, and one finds no service."""
        if request.query.get("comp") != ["appendblock"]:
            return None
        appends.append(request)
        return (Fault(cut_answer=0), Fault(cut_request=0), Fault(status=503), None)[len(appends) % 4]

    proxy.fault = fault
    follower = Follower(clone, run_id, tmp_path / "seen")
    try:
        follower.wait_for("step 3\n")
        kill_driver(run_id)
        for _ in range(2):
            sent = len(appends)
            again = client(project, "wait", run_id)
            wait_until(lambda sent=sent: len(appends) > sent + 4, WITHIN_S)
            again.kill()
            again.communicate()
        last = client(project, "wait", run_id)
    finally:
        stop_here(run_id)
    seen = follower.ended()
    last.communicate(timeout=WITHIN_S)
    proxy.fault = lambda _: None
    assert wait_recorded(project, run_id)
    assert seen == amltool(project, "logs", run_id).stdout
    lines = seen.splitlines()
    assert lines == [f"step {number}" for number in range(len(lines))]
    assert not [name for name in in_azure.names(run_id) if name.startswith("live/")]


@pytest.mark.parametrize("shares", [True, False], ids=["shared folders", "no shared folders"])
def test_a_run_in_a_container_is_seen_from_another_clone(
    shares: bool, docker_projects: DockerProjects, in_azure: Shared, tmp_path: Path
) -> None:
    files = {"train.py": TRAIN, "aml_config/project.yml": in_azure.settings}
    project = docker_projects.make(tmp_path, files, sharedVolumes=shares)
    words = ["touch", str(RUN_IN_CONTAINER.outputs / "stop")]
    see_it_go_on(
        project,
        in_azure,
        "docker",
        tmp_path,
        stop_here if shares else lambda run: docker_projects.daemon.execute(container_name(run), words),
    )


@pytest.mark.parametrize("kind", ["remote", pytest.param("remotedocker", marks=pytest.mark.torture)])
def test_a_run_on_another_machine_is_seen_from_another_clone(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, in_azure: Shared, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path, {"train.py": TRAIN, "aml_config/project.yml": in_azure.settings})
    runs = f"{ssh_machine.home}/.amltool/runs"
    see_it_go_on(
        project, in_azure, "vm", tmp_path, lambda run: ssh_machine.execute(["touch", f"{runs}/{run}/work/outputs/stop"])
    )
