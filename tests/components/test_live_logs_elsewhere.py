"""`logs/` of a run that goes on in a container without shared folders, or on another machine, from here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amltool.hosts.ssh import SshHost
from amltool.layout import HostLayout
from amltool.targets.live_logs import LogsCopy
from tests.amltool_command import amltool
from tests.components.docker_projects import TOP, DockerProjects
from tests.components.remote_projects import KINDS, make_of

TRAIN = """
import os, time
os.makedirs("logs/tb")
os.symlink("/etc/passwd", "logs/link")
for number in range(200):
    with open("logs/tb/events", "a") as stream:
        stream.write("step %d\\n" % number)
    print("step", number, flush=True)
    time.sleep(0.05)
"""
WHOLE = "".join(f"step {number}\n" for number in range(200))


def see_it_grow(project: Path, target: str, into: Path) -> None:
    """Submit, watch `logs/` grow in a folder while the run goes on, and see it whole after."""
    submitted = amltool(project, "submit", "train.py", "--target", target, "--detach", "--json")
    run_id = json.loads(submitted.stdout)["run_id"]
    words = [sys.executable, "-m", "amltool", "logs", run_id, "-f", "--to", str(into)]
    follower = subprocess.Popen(words, cwd=project, env={**os.environ, "PYTHONPATH": TOP})
    events = into / "logs/tb/events"
    sizes = set[int]()
    while follower.poll() is None:
        if events.exists():
            sizes.add(events.stat().st_size)
        time.sleep(0.1)
    assert follower.returncode == 0
    assert len([size for size in sizes if 0 < size < len(WHOLE)]) >= 2, "it grew while the run went on"
    assert events.read_text() == WHOLE
    assert not (into / "logs/link").exists()
    assert amltool(project, "logs", run_id, "--path", "logs/tb/events").stdout == WHOLE


@pytest.mark.parametrize("kind", KINDS)
def test_logs_of_a_run_on_another_machine_grow_here(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    see_it_grow(make_of(kind, request, tmp_path, {"train.py": TRAIN}), "vm", tmp_path / "board")


def test_logs_of_a_container_without_shared_folders_grow_here(docker_projects: DockerProjects, tmp_path: Path) -> None:
    project = docker_projects.make(tmp_path, {"train.py": TRAIN}, sharedVolumes=False)
    see_it_grow(project, "docker", tmp_path / "board")
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
