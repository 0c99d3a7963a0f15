"""Faults around a run on a Docker target: clients that are killed or interrupted, a daemon that goes away."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.amltool_command import STARTED_ANEW, amltool
from tests.components.docker_projects import (
    PLAIN,
    DockerProjects,
    Found,
    artifacts,
    client,
    completed,
    ended_at,
    runs,
    show,
    submit,
    unfinished,
)
from tests.components.private_docker import PrivateDocker
from tests.repositories import git, state_of
from tests.waiting import promised, wait_until

SLOW = """
import os, sys, time
with open(os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + "starts.txt", "a") as file:
    file.write(os.environ["AMLTOOL_RUN_ID"] + "\\n")
for number in range(int(sys.argv[1])):
    print("line", number, flush=True)
    time.sleep(0.1)
while len(sys.argv) > 2 and not os.path.exists(sys.argv[2]):
    time.sleep(0.1)
open("outputs/done.txt", "w").write("done")
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
print("ready", flush=True)
time.sleep(600)
"""
LINES = 12
SUBMIT = ("submit", "slow.py", "--target", "docker")
FOLLOWER_S = 240


def printed(lines: int) -> str:
    return "".join(f"line {number}\n" for number in range(lines))


def starts(home: Path) -> list[str]:
    """The run ids that the script of `SLOW` wrote into the shared folder, one each time it was begun."""
    found = [path.read_text().split() for path in home.glob(".azureml/share/**/starts.txt")]
    return [run_id for each in found for run_id in each]


@pytest.fixture
def project(docker_projects: DockerProjects, tmp_path: Path) -> Path:
    """With `slow.py` (takes so many tenths of a second, and until there is a file) and `stubborn.py`, prepared."""
    folder = docker_projects.make(tmp_path, {"slow.py": SLOW, "stubborn.py": STUBBORN})
    amltool(folder, "prepare", "--target", "docker")
    return folder


def begun(process: subprocess.Popen[bytes], word: bytes = b"line 1\n") -> str:
    """The run id of a client whose run has printed a word."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = b""
    while word not in said:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        said += line
    run_id = b""
    while not run_id.startswith(b"RunId: "):
        run_id = process.stderr.readline()
        assert run_id
    return run_id.split()[1].decode()


def until_said(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """What a client says up to the line that has these words."""
    assert process.stderr is not None
    said = b""
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


class TestAKilledClient:
    @staticmethod
    def check(projects: DockerProjects, folder: Path, home: Path, after_s: float) -> bool:
        """Kill a client so many seconds after its start: is there, or not, as if nothing had been; whether it is."""
        known, before = {run["run_id"] for run in runs(folder)}, state_of(folder)
        process = client(folder, *SUBMIT, "--", str(LINES))
        time.sleep(after_s)
        process.kill()
        process.communicate()

        for run_id in unfinished(folder):
            assert amltool(folder, "wait", run_id).returncode == 0
        new = [run for run in runs(folder) if run["run_id"] not in known]

        assert len(new) <= 1
        for run in new:
            record = show(folder, run["run_id"])
            assert (record["status"], record["exit_code"], record["reason"]) == ("Completed", 0, None), after_s
            assert amltool(folder, "logs", record["run_id"]).stdout == printed(LINES)
            assert {"outputs/done.txt", "console.log", "environment.lock.json"} <= {*artifacts(record)}
            assert "outputs/done.txt" in amltool(folder, "outputs", record["run_id"]).stdout
            assert starts(home).count(record["run_id"]) == 1
        assert len(starts(home)) == len({*starts(home)})
        assert {*starts(home)} <= {run["run_id"] for run in runs(folder)}
        wait_until(lambda: projects.containers() == [])
        assert unfinished(folder) == []
        assert state_of(folder) == before
        return bool(new)

    def test_leaves_a_run_that_happens_once_and_is_recorded(
        self, docker_projects: DockerProjects, project: Path, isolated_home: Path
    ) -> None:
        generator = random.Random(2018)
        _, length = undisturbed(project)
        points = [(number + generator.random()) / 4 * length for number in range(4)]
        assert sum(self.check(docker_projects, project, isolated_home, point) for point in points) >= 2
        completed(submit(project, "slow.py", arguments=("1",)))
        git(project, "fsck", "--strict")

    @pytest.mark.torture
    @pytest.mark.parametrize("shared", [True, False])
    def test_at_twenty_random_points(
        self, docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path, shared: bool
    ) -> None:
        script = SLOW if shared else SLOW.replace('os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"]', '"/starts/"')
        place = isolated_home / ".azureml/share/starts"
        place.mkdir(parents=True)
        more: Found = {} if shared else {"sharedVolumes": False, "volumes": [f"{place}:/starts"]}
        folder = docker_projects.make(tmp_path, {"slow.py": script}, **more)
        _, length = undisturbed(folder)
        points = [random.uniform(0, 1.05) * length for _ in range(20)]
        assert sum(self.check(docker_projects, folder, isolated_home, point) for point in points) > 10
        git(folder, "fsck", "--strict")
        assert json.loads(amltool(folder, "history.check", "--json").stdout)["ok"]

    def test_during_a_build_costs_nothing_but_time(
        self, docker_projects: DockerProjects, tmp_path: Path, isolated_home: Path
    ) -> None:
        conda = PLAIN + f"variables: {{OF: {docker_projects.name}-{tmp_path.name}-killed}}\n"
        folder = docker_projects.make(tmp_path, {"slow.py": SLOW}, conda=conda)
        process = client(folder, *SUBMIT, "--", "1")
        assert process.stderr is not None
        while b"In the image" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()
        process.communicate()

        [run_id] = unfinished(folder)
        interrupted = amltool(folder, "runs").stdout
        assert amltool(folder, "wait", run_id).returncode == 0

        assert "interrupted" in interrupted
        assert show(folder, run_id)["status"] == "Completed"
        assert starts(isolated_home) == [run_id]
        wait_until(lambda: docker_projects.containers() == docker_projects.builds() == [])


def is_unstarted(record: Found) -> bool:
    """Interrupted after its id was printed and before its container started: in the history, once."""
    return (record["status"], record["reason"]) == ("Canceled", "interrupted before it started")


def undisturbed(folder: Path) -> tuple[Found, float]:
    STARTED_ANEW.add(folder)  # as the clients are that are killed
    try:
        submit(folder, "slow.py", arguments=(str(LINES),))
        begun_at = time.monotonic()
        record = completed(submit(folder, "slow.py", arguments=(str(LINES),)))
        return record, time.monotonic() - begun_at
    finally:
        STARTED_ANEW.discard(folder)


class TestCtrlC:
    def test_once_leaves_the_run_alive_in_its_container(
        self, docker_projects: DockerProjects, project: Path, isolated_home: Path
    ) -> None:
        process = client(project, *SUBMIT, "--", "40", "outputs/stop")
        run_id = begun(process)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=240)

        assert process.returncode == 130
        assert b"amltool logs -f" in said
        assert len(docker_projects.containers(project)) == 1
        follower = client(project, "logs", "-f", run_id)
        (isolated_home / ".amltool/runs" / run_id / "work/outputs/stop").touch()
        stdout, stderr = follower.communicate(timeout=FOLLOWER_S)
        assert (stdout.decode(), follower.returncode) == (printed(40), 0), stderr
        assert amltool(project, "wait", run_id).returncode == 0
        assert show(project, run_id)["status"] == "Completed"
        assert starts(isolated_home) == [run_id]
        wait_until(lambda: docker_projects.containers() == [])

    def test_twice_cancels_the_run_and_no_container_is_left(
        self, docker_projects: DockerProjects, project: Path
    ) -> None:
        process = client(project, *SUBMIT, "--", "600")
        run_id = begun(process)
        asked = time.time()
        os.killpg(process.pid, signal.SIGINT)
        until_said(process, b"Ctrl-C again within two seconds")
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=240)

        assert process.returncode == 130, said
        assert show(project, run_id)["status"] == "Canceled"
        assert ended_at(show(project, run_id)) - asked <= promised(15)
        assert docker_projects.containers() == []
        assert unfinished(project) == []

    @pytest.mark.parametrize("seed", range(2))
    def test_at_any_moment_leaves_a_run_that_goes_on_or_nothing(
        self, docker_projects: DockerProjects, project: Path, isolated_home: Path, seed: int
    ) -> None:
        generator = random.Random(seed)
        known = {run["run_id"] for run in runs(project)}
        process = client(project, *SUBMIT, "--", "1")
        time.sleep(generator.uniform(0.15, 0.9))
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=240)

        assert b"Traceback" not in said
        for run_id in unfinished(project):
            assert amltool(project, "wait", run_id).returncode == 0
        new = [run for run in runs(project) if run["run_id"] not in known]
        begun = [run["run_id"] for run in new if run["status"] != "Canceled"]
        assert starts(isolated_home) == begun
        assert len(new) <= 1
        assert all(run["status"] == "Completed" or is_unstarted(show(project, run["run_id"])) for run in new)
        wait_until(lambda: docker_projects.containers() == [])


def test_a_detached_run_records_itself(docker_projects: DockerProjects, project: Path) -> None:
    done = amltool(project, *SUBMIT, "--detach", "--json", "--", "5")
    run_id = json.loads(done.stdout)["run_id"]
    wait_until(lambda: run_id in git(project, "log", "--notes=amltool/runs", "-1", "--format=%N"))
    wait_until(lambda: not unfinished(project))
    assert show(project, run_id)["status"] == "Completed"
    assert docker_projects.containers() == []


def test_a_run_is_canceled_with_all_its_processes(docker_projects: DockerProjects, project: Path) -> None:
    amltool(project, "submit", "stubborn.py", "--target", "docker", "--detach")
    wait_until(lambda: "ready" in amltool(project, "logs", "@").stdout)
    asked = time.time()
    amltool(project, "cancel", "@")
    amltool(project, "wait", "@", check=False)
    assert show(project)["status"] == "Canceled"
    assert ended_at(show(project)) - asked <= promised(15)
    wait_until(lambda: docker_projects.containers() == [])


def test_a_run_that_takes_too_long_is_ended_and_says_so(docker_projects: DockerProjects, project: Path) -> None:
    done = submit(project, "slow.py", "--timeout", "1", arguments=("600",))
    assert done.record["status"] in ("Failed", "Canceled")
    assert (
        done.record["reason"]
        == submit(project, "slow.py", "--timeout", "1", target="local", arguments=("600",)).record["reason"]
    )
    assert docker_projects.containers() == []


def test_memory_that_is_not_enough_is_the_reason_of_the_record(docker_projects: DockerProjects, tmp_path: Path) -> None:
    script = "held = []\nwhile True:\n    held.append(bytearray(8 << 20))\n"
    folder = docker_projects.make(tmp_path, {"train.py": script}, memory="64 MB")
    done = submit(folder)
    assert done.record["status"] == "Failed"
    assert done.record["reason"] == "out of memory"
    assert "out of memory" in amltool(folder, "show", "@").stdout
    assert "out of memory" in done.said


@pytest.fixture
def away(
    docker_projects: DockerProjects, private_docker: PrivateDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project whose Docker can be taken away."""
    monkeypatch.setenv("DOCKER_HOST", private_docker.host)
    more: Found = {"baseDockerImage": private_docker.image, "network": "none"}
    folder = docker_projects.make(tmp_path, {"slow.py": SLOW}, **more)
    amltool(folder, "prepare", "--target", "docker")
    return folder


def containers_of(docker: PrivateDocker) -> list[str]:
    return [each.name for each in docker.daemon().containers("amltool.run")]


class TestADockerDaemon:
    def test_that_was_killed_is_waited_for_and_its_run_goes_on(
        self, away: Path, private_docker: PrivateDocker, isolated_home: Path
    ) -> None:
        process = client(away, *SUBMIT, "--", "600")
        begun(process, b"line 20\n")
        private_docker.kill()
        said = until_said(process, b"waiting for an answer")
        private_docker.start()
        said += process.communicate(timeout=FOLLOWER_S)[1]

        record = show(away)
        # without live-restore a daemon that comes back ends what runs in it
        assert (record["status"], record["reason"]) == ("Failed", "the Docker daemon was restarted"), said
        assert amltool(away, "logs", "@").stdout.startswith(printed(20))
        assert starts(isolated_home) == [record["run_id"]]
        wait_until(lambda: containers_of(private_docker) == [])

    def test_that_was_stopped_is_the_reason_of_the_end(self, away: Path, private_docker: PrivateDocker) -> None:
        process = client(away, *SUBMIT, "--", "600")
        begun(process)
        private_docker.stop()
        time.sleep(2)
        private_docker.start()
        process.communicate(timeout=FOLLOWER_S)

        record = show(away)
        assert (record["status"], record["reason"]) == ("Failed", "the Docker daemon was stopped")
        assert "Docker daemon" in amltool(away, "show", "@").stdout
        assert unfinished(away) == []

    def test_that_is_away_when_the_run_ends_does_not_keep_the_end_from_being_recorded(
        self, away: Path, private_docker: PrivateDocker
    ) -> None:
        process = client(away, *SUBMIT, "--", "30")
        run_id = begun(process)
        private_docker.kill()
        process.communicate(timeout=FOLLOWER_S)
        record = show(away, run_id)
        assert (record["status"], record["exit_code"]) == ("Completed", 0)
        assert amltool(away, "logs", run_id).stdout == printed(30)

        private_docker.start()
        assert json.loads(amltool(away, "clean", "--json").stdout)
        amltool(away, "clean", "--yes")
        assert containers_of(private_docker) == []

    def test_that_does_not_run_is_said_and_nothing_is_left(self, away: Path, private_docker: PrivateDocker) -> None:
        private_docker.stop()
        done = submit(away, "slow.py", arguments=("1",))
        assert done.exit_code == 1
        assert "Traceback" not in done.said
        assert "Docker" in done.said
        assert unfinished(away) == []
        assert not list((Path(os.environ["HOME"]) / ".amltool/runs").glob("*/work"))
