"""Clients and daemons of containers that die, race, stop or hang."""

from __future__ import annotations

import os
import random
import signal
import time

import msgspec
import pytest

from amltool.errors import TargetError
from amltool.launchers.base import LaunchState, Observation
from amltool.launchers.later import UNANSWERED_S
from amltool.testing.launchers import Runs, expected
from tests.components.private_docker import PrivateDocker
from tests.launchers.container_client import (
    Making,
    begin_client,
    daemon_of,
    end_of,
    is_there,
    launcher,
    name_of,
    settings_of,
    until_exists,
)


def test_one_that_got_ready_and_never_started_leaves_no_container(run: Runs) -> None:
    launch = run.launch(["true"])
    for known in expected(launch):
        run.launcher.get_ready(run.host, known)
    run.launcher.forget(run.host, launch.folder)
    assert not is_there(run, launch.folder)


def test_a_container_that_waits_for_another_image_is_not_used(run: Runs) -> None:
    launch = run.launch(["true"], labels={"project": "now"})
    before = expected(run.launch(["true"], labels={"project": "before"}))[1]
    run.launcher.get_ready(run.host, msgspec.structs.replace(before, folder=launch.folder))
    handle = run.launcher.start(run.host, launch)
    assert end_of(run, launch.folder, handle, LaunchState.ENDED).exit_code == 0
    state = daemon_of(run).state(name_of(launch.folder))
    assert state is not None
    assert state.labels["amltool.project"] == "now"


def test_a_container_that_waits_is_over_when_its_client_dies(run: Runs) -> None:
    launch = run.launch(["true"])
    waiting = run.launcher._start.make(run.host, expected(launch)[1])  # type: ignore[attr-defined]
    waiting.input.close()
    assert daemon_of(run).wait(waiting.id, 10) == 2
    assert run.launcher.observe(run.host, launch.folder, {}) == Observation(LaunchState.ABSENT)
    handle = run.launcher.start(run.host, launch)
    assert end_of(run, launch.folder, handle, LaunchState.ENDED).exit_code == 0


def test_a_container_that_was_killed_while_it_waited_is_made_again(run: Runs) -> None:
    launch = run.launch(["true"])
    run.launcher.get_ready(run.host, expected(launch)[1])
    while not is_there(run, launch.folder) or not daemon_of(run).state(name_of(launch.folder)).is_running:  # type: ignore[union-attr]
        time.sleep(0.01)
    daemon_of(run).signal(name_of(launch.folder), "SIGKILL")
    handle = run.launcher.start(run.host, launch)
    assert end_of(run, launch.folder, handle, LaunchState.ENDED).exit_code == 0


def test_a_client_that_stopped_before_it_fed_its_container_loses_its_turn(
    run: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amltool.launchers.container_start.OTHERS_S", 0.3)
    launch = run.launch(["sh", "-c", "echo once"])
    stopped = launcher(run.host, settings_of(run.host))
    waiting = stopped._start.make(run.host, expected(launch)[1])
    handle = run.launcher.start(run.host, launch)
    assert stopped._start.feed(run.host, launch, waiting) is None, "it finds that the run began"
    assert end_of(run, launch.folder, handle, LaunchState.ENDED).exit_code == 0
    assert run.host.read(launch.folder.console) == b"once\n"


def kill_clients(making: Making, times: int, *, shared_volumes: bool) -> None:
    for turn in range(times):
        run = making(shared_volumes=shared_volumes)
        launch = run.launch(["sh", "-c", "echo once; sleep 0.2; exit 7"])
        client = begin_client(making.root, launch, settings_of(run.host, shared_volumes=shared_volumes))
        time.sleep(random.Random(turn).uniform(0.2, 1.6))
        client.kill()
        client.wait()
        handle = run.launcher.start(run.host, launch)
        assert end_of(run, launch.folder, handle, LaunchState.ENDED).exit_code == 7
        assert run.host.read(launch.folder.console) == b"once\n"
        run.launcher.forget(run.host, launch.folder)
        assert not is_there(run, launch.folder)


@pytest.mark.parametrize("shared_volumes", [True, False], ids=["mounted", "copied"])
def test_a_client_killed_at_any_time_leaves_a_run_that_happens_once(making: Making, shared_volumes: bool) -> None:
    kill_clients(making, 3, shared_volumes=shared_volumes)


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shared_volumes", [True, False], ids=["mounted", "copied"])
def test_a_client_killed_at_many_times_leaves_a_run_that_happens_once(making: Making, shared_volumes: bool) -> None:
    kill_clients(making, 40, shared_volumes=shared_volumes)


def test_clients_that_race_start_one_run(making: Making) -> None:
    run = making()
    launch = run.launch(["sh", "-c", "echo once; sleep 0.2"])
    clients = [begin_client(making.root, launch, settings_of(run.host)) for _ in range(3)]
    assert [client.wait(120) for client in clients] == [0, 0, 0]
    assert run.launcher.wait(run.host, launch.folder, {}, 120).state is LaunchState.ENDED
    assert run.host.read(launch.folder.console) == b"once\n"


def test_a_daemon_that_is_stopped_ends_its_runs_and_that_is_said(private: Runs, private_docker: PrivateDocker) -> None:
    folder, handle = private.started(["sleep", "300"])
    private_docker.stop()
    end = end_of(private, folder, handle, LaunchState.ENDED)
    assert (end.signal, end.reason, end.canceled) == ("SIGTERM", "the Docker daemon was stopped", False)
    private_docker.start()
    assert end_of(private, folder, handle, LaunchState.ENDED).reason == "the Docker daemon was restarted"


def test_one_who_looks_while_a_daemon_goes_down_is_told_the_same(private: Runs, private_docker: PrivateDocker) -> None:
    folder, handle = private.started(["sh", "-c", "trap '' TERM; touch deaf; while :; do sleep 0.2; done"])
    until_exists(folder.work / "deaf")
    os.kill(private_docker.pid or 0, signal.SIGTERM)
    reasons: set[str | None] = set()
    until = time.monotonic() + 120
    while time.monotonic() < until and len(reasons) < 1:
        try:
            seen = private.launcher.wait(private.host, folder, handle, 0.1)
        except TargetError:
            continue
        if seen.exit is not None:
            reasons.add(seen.exit.reason)
    private_docker.stop()
    assert reasons == {"the Docker daemon was stopped"}


def test_a_run_goes_on_while_a_killed_daemon_is_away(private: Runs, private_docker: PrivateDocker) -> None:
    folder, handle = private.started(["sh", "-c", "until [ -e go ]; do sleep 0.1; done; exit 5"])
    private_docker.kill()
    with pytest.raises(TargetError):
        private.launcher.wait(private.host, folder, handle, 1.5)
    private.host.write(folder.work / "go", b"")
    until_exists(folder.exit)
    assert end_of(private, folder, handle, LaunchState.ENDED).exit_code == 5


def test_a_run_that_a_daemon_ends_when_it_comes_back_is_told(private: Runs, private_docker: PrivateDocker) -> None:
    folder, handle = private.started(["sleep", "300"])
    private_docker.kill()
    private_docker.start()
    assert end_of(private, folder, handle, LaunchState.ENDED).reason == "the Docker daemon was restarted"


def test_a_daemon_that_hangs_holds_nobody_up(private: Runs, private_docker: PrivateDocker) -> None:
    folder, handle = private.started(["sh", "-c", "sleep 3; exit 6"])
    os.kill(private_docker.pid or 0, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        private.launcher.wait(private.host, folder, handle, 1.0)
        assert time.monotonic() - begun < UNANSWERED_S / 2
        assert end_of(private, folder, handle, LaunchState.ENDED).exit_code == 6
    finally:
        os.kill(private_docker.pid or 0, signal.SIGCONT)
