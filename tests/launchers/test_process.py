"""What is particular to a launcher of processes: clients that die, race or stop, and hosts that answer nonsense."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest

import amltool.tracking.bootstrap
from amltool.errors import TargetError, UserError
from amltool.hosts.base import CommandResult
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Launch, LaunchState
from amltool.launchers.process import ProcessLauncher, spec_of
from amltool.layout import RunFolder
from amltool.testing.hosts import FakeHost
from amltool.testing.launchers import Runs

BOOTSTRAP = PurePosixPath(amltool.tracking.bootstrap.__file__)
TOP = Path(__file__).parents[2]

CLIENT = """
import os, signal, sys
from pathlib import PurePosixPath
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Launch
from amltool.launchers.process import ProcessLauncher
from amltool.layout import RunFolder
bootstrap, folder, last, *command = sys.argv[1:]
launch = Launch(run_id="R", folder=RunFolder(PurePosixPath(folder)), command=command, environment=dict(os.environ))
ProcessLauncher(PurePosixPath(bootstrap)).start(LocalHost(), launch)
if last != "end":
    os.kill(os.getpid(), getattr(signal, last))
"""


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    host = LocalHost(tmp_path / "root")
    return Runs(host, ProcessLauncher(BOOTSTRAP), host.root / "runs")


def client(folder: RunFolder, last: str, *command: str) -> subprocess.Popen[bytes]:
    """A process that starts a run, then ends or sends itself a signal."""
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(BOOTSTRAP), str(folder.path), last, *command],
        env={**os.environ, "PYTHONPATH": str(TOP)},
    )


def test_a_run_outlives_the_client_that_started_it(run: Runs) -> None:
    folder = run.launch([]).folder
    started = client(folder, "SIGKILL", "sh", "-c", "sleep 0.5; echo still here; exit 9")
    assert started.wait() == -signal.SIGKILL
    seen = run.launcher.wait(run.host, folder, {}, 120)
    assert seen.exit is not None
    assert seen.exit.exit_code == 9
    assert run.host.read(folder.console) == b"still here\n"


def test_a_run_does_not_wait_for_a_stopped_client(run: Runs) -> None:
    folder = run.launch([]).folder
    started = client(folder, "SIGSTOP", "sh", "-c", "exit 9")
    try:
        until = time.monotonic() + 120
        while not run.host.exists(folder.exit) and time.monotonic() < until:
            time.sleep(0.01)
        assert json.loads(run.host.read(folder.exit))["exit_code"] == 9
    finally:
        started.kill()
        started.wait()


def test_clients_that_race_start_one_run(run: Runs) -> None:
    folder = run.launch([]).folder
    started = [client(folder, "end", "sh", "-c", "echo once; sleep 0.2") for _ in range(5)]
    assert [process.wait() for process in started] == [0] * 5
    assert run.launcher.wait(run.host, folder, {}, 120).state is LaunchState.ENDED
    assert run.host.read(folder.console) == b"once\n"
    assert run.host.names(folder.path) == ["console.log", "exit.json", "start.json", "work"]


def test_a_run_gets_nothing_of_our_own_environment(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS_ALONE", "1")
    launch = run.launch(["env"])
    run.launcher.wait(run.host, launch.folder, run.launcher.start(run.host, launch), 120)
    assert b"OURS_ALONE" not in run.host.read(launch.folder.console)


def test_no_secret_is_on_a_command_line(run: Runs) -> None:
    host = FakeHost()
    folder = RunFolder(host.root / "runs" / "R")
    ran: list[tuple[Sequence[str], bytes]] = []

    def bootstrap(command: Sequence[str], content: bytes) -> CommandResult:
        ran.append((command, content))
        return CommandResult(0, b'{"state": "running"}', b"")

    host.programs["python3"] = bootstrap
    launch = Launch(run_id="R", folder=folder, command=["x"], environment={"TOKEN": "hunter22"}, secrets=["hunter22"])
    ProcessLauncher(BOOTSTRAP).start(host, launch)
    ((command, content),) = ran
    assert "hunter22" not in " ".join(command)
    assert b"hunter22" in content


def test_an_interpreter_that_is_not_there_is_the_users_to_put_right(run: Runs) -> None:
    run.launcher = ProcessLauncher(BOOTSTRAP, "/nowhere/python")
    with pytest.raises(UserError, match="/nowhere/python cannot be started"):
        run.started(["true"])


def test_a_bootstrap_that_starts_nothing_is_said(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amltool.launchers.process.START_S", 0.3)
    run.launcher = ProcessLauncher(PurePosixPath("/nowhere/bootstrap.py"))
    with pytest.raises(TargetError, match="did not start"):
        run.started(["true"])


@pytest.mark.parametrize(
    "answer",
    [
        CommandResult(1, b"", b"Traceback\nMemoryError\n"),
        CommandResult(0, b"Welcome to cluster 7!", b""),
        CommandResult(0, b'{"state": "fine"}', b""),
    ],
)
def test_an_answer_that_is_none_is_the_targets_failure(answer: CommandResult) -> None:
    host = FakeHost(programs={"python3": lambda command, content: answer})
    with pytest.raises(TargetError):
        ProcessLauncher(BOOTSTRAP).observe(host, RunFolder(host.root), {})


def test_a_host_that_is_unreachable_says_nothing_about_the_run() -> None:
    host = FakeHost()
    host.reachable = False
    with pytest.raises(TargetError, match="unreachable"):
        ProcessLauncher(BOOTSTRAP).wait(host, RunFolder(host.root), {}, 1)


def test_a_spec_is_ascii_whatever_it_holds() -> None:
    odd = os.fsdecode(b"\xff")
    launch = Launch(run_id="R", folder=RunFolder(PurePosixPath("/r")), command=[odd, "ü"], environment={"A": odd})
    content = json.loads(spec_of(launch).decode("ascii"))
    assert content["command"] == [odd, "ü"]
    assert content["environment"] == {"A": odd, "AMLTOOL_RUN_ID": "R"}
