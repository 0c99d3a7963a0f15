"""`logs/` of a run that goes on in a container without shared folders, or on another machine, from here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amltool.hosts.ssh import SshHost
from amltool.layout import RUN_IN_CONTAINER, HostLayout, container_name
from amltool.targets.live_logs import LogsCopy
from tests.amltool_command import amltool
from tests.components.docker_projects import TOP, DockerProjects
from tests.components.remote_projects import KINDS, make_of
from tests.components.ssh_machine import SshMachine
from tests.waiting import wait_until

TRAIN = """
import os, time
os.makedirs("logs/tb")
os.symlink("/etc/passwd", "logs/link")
number = 0
while not os.path.exists("outputs/stop"):
    with open("logs/tb/events", "a") as stream:
        stream.write("step %d\\n" % number)
    print("step", number, flush=True)
    number += 1
    time.sleep(0.05)
"""


def see_it_grow(project: Path, target: str, into: Path, stop: Callable[[str], object]) -> None:
    """Submit, watch `logs/` grow in a folder while the run goes on, which is stopped then, and see it whole after."""
    submitted = amltool(project, "submit", "train.py", "--target", target, "--detach", "--json")
    run_id = json.loads(submitted.stdout)["run_id"]
    words = [sys.executable, "-m", "amltool", "logs", run_id, "-f", "--to", str(into)]
    follower = subprocess.Popen(words, cwd=project, env={**os.environ, "PYTHONPATH": TOP})
    events = into / "logs/tb/events"
    sizes = set[int]()

    def has_grown() -> bool:
        assert follower.poll() is None, "the run goes on"
        if events.exists():
            sizes.add(events.stat().st_size)
        return len(sizes - {0}) >= 2

    try:
        wait_until(has_grown, 90.0)
    finally:
        stop(run_id)
    assert follower.wait(120) == 0
    seen = events.read_text()
    assert seen == "".join(f"step {number}\n" for number in range(seen.count("\n")))
    assert len(seen) >= max(sizes)
    assert not (into / "logs/link").exists()
    assert amltool(project, "logs", run_id, "--path", "logs/tb/events").stdout == seen


@pytest.mark.parametrize("kind", KINDS)
def test_logs_of_a_run_on_another_machine_grow_here(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path, {"train.py": TRAIN})
    runs = f"{ssh_machine.home}/.amltool/runs"
    see_it_grow(
        project, "vm", tmp_path / "board", lambda run: ssh_machine.execute(["touch", f"{runs}/{run}/work/outputs/stop"])
    )


def test_logs_of_a_container_without_shared_folders_grow_here(docker_projects: DockerProjects, tmp_path: Path) -> None:
    project = docker_projects.make(tmp_path, {"train.py": TRAIN}, sharedVolumes=False)
    words = ["touch", str(RUN_IN_CONTAINER.outputs / "stop")]
    see_it_grow(
        project, "docker", tmp_path / "board", lambda run: docker_projects.daemon.execute(container_name(run), words)
    )
    assert not list(Path.home().glob(".amltool/runs/*/live")), "what was brought for a look is gone with the container"


def test_a_look_is_one_round_trip_and_one_more_where_something_grew(ssh_host: SshHost, tmp_path: Path) -> None:
    folder = HostLayout(ssh_host.root).run("run")
    copy = LogsCopy(ssh_host, lambda: folder.work, tmp_path)
    for number in range(50):
        ssh_host.write(folder.logs / str(number), b"x" * 1000)
    trips = []
    for _ in range(2):
        before = ssh_host.round_trips
        copy.bring()
        trips.append(ssh_host.round_trips - before)
    ssh_host.remove(folder.path)
    assert trips == [2, 1]
    assert len(list((tmp_path / "logs").iterdir())) == 50
