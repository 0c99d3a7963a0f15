"""What is particular to runs in containers: how they end, whom they belong to, and what cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path, PurePosixPath

import pytest

from amltool.errors import TargetError, UserError
from amltool.launchers.base import LaunchState
from amltool.testing.launchers import Runs
from tests.components.users import Unprivileged
from tests.launchers.container_client import (
    Making,
    begin_client,
    daemon_of,
    end_of,
    is_there,
    launcher,
    name_of,
    outside,
    settings_of,
    until_exists,
)

MEMORY = 64 << 20
FILLS_MEMORY = "held = []\nwhile True: held.append(b'x' * (1 << 20))"


def test_a_command_that_uses_too_much_memory_says_so(making: Making) -> None:
    run = making(memory=MEMORY)
    end = run.to_its_end(["python3", "-c", FILLS_MEMORY])
    assert (end.signal, end.reason) == ("SIGKILL", "out of memory")


def test_one_that_goes_on_after_its_child_used_too_much_memory_ended_well(making: Making) -> None:
    run = making(memory=MEMORY)
    end = run.to_its_end(["sh", "-c", 'python3 -c "$0"; exit 0', FILLS_MEMORY])
    assert (end.exit_code, end.signal, end.reason) == (0, None, None)


def test_a_first_process_that_memory_ran_out_for_is_told_from_one_that_was_killed(making: Making) -> None:
    run = making(memory=MEMORY)
    folder, handle = run.started(["sh", "-c", "sleep 0.5; cat /dev/zero > /dev/shm/all; sleep 300"])
    end = end_of(run, folder, handle, LaunchState.LOST)
    assert end.reason == "out of memory"
    assert end.started is not None


def test_memory_too_small_for_any_run_is_said(making: Making) -> None:
    run = making(memory=6 << 20)
    with pytest.raises(TargetError, match=r"did not start on .*\(out of memory\)"):
        run.started(["true"], environment={"LONG": "x" * 20_000_000})


def test_docker_stop_is_told(run: Runs) -> None:
    folder, handle = run.started(["sleep", "300"])
    outside(run, "stop", folder)
    end = end_of(run, folder, handle, LaunchState.ENDED)
    assert (end.signal, end.reason, end.canceled) == ("SIGTERM", "stopped with docker stop", False)
    assert run.launcher.observe(run.host, folder, handle).exit == end


def test_docker_stop_does_not_have_to_kill_one_that_is_deaf(run: Runs) -> None:
    folder, handle = run.started(["sh", "-c", "trap '' TERM; touch deaf; while :; do sleep 0.2; done"])
    until_exists(folder.work / "deaf")
    outside(run, "stop", folder)
    end = end_of(run, folder, handle, LaunchState.ENDED)
    assert (end.signal, end.reason) == ("SIGKILL", "stopped with docker stop")


def test_a_container_that_was_removed_is_told(run: Runs) -> None:
    folder, handle = run.started(["sleep", "300"])
    outside(run, "remove", folder)
    assert end_of(run, folder, handle, LaunchState.LOST).reason == "the container was removed"


def test_a_container_whose_first_process_somebody_killed_is_told(run: Runs) -> None:
    folder, handle = run.started(["sleep", "300"])
    pid = daemon_of(run)._api.inspect_container(name_of(folder))["State"]["Pid"]
    try:
        os.kill(pid, signal.SIGKILL)
    except (PermissionError, ProcessLookupError):
        pytest.skip("the processes of containers cannot be reached from here")
    assert end_of(run, folder, handle, LaunchState.LOST).reason == "the container was killed"


def test_a_container_that_is_frozen_runs_and_can_be_canceled(run: Runs) -> None:
    folder, handle = run.started(["sleep", "300"])
    outside(run, "pause", folder)
    assert run.launcher.observe(run.host, folder, handle).state is LaunchState.RUNNING
    run.launcher.cancel(run.host, folder, handle)
    seen = run.launcher.observe(run.host, folder, handle)
    assert seen.exit is not None
    assert seen.exit.canceled


def test_a_first_process_that_does_not_cancel_its_run_is_killed_in_time(
    run: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, handle = run.started(["sleep", "300"])
    pid = daemon_of(run)._api.inspect_container(name_of(folder))["State"]["Pid"]
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("amltool.launchers.container.LONGEST_CANCEL_S", 1.0)
    begun = time.monotonic()
    run.launcher.cancel(run.host, folder, handle)
    assert time.monotonic() - begun < 12  # it is 15 without the patch
    end = end_of(run, folder, handle, LaunchState.ENDED)
    assert (end.signal, end.reason, end.canceled) == ("SIGKILL", "canceled", True)


def test_an_end_is_known_without_the_daemon(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, handle = run.started(["true"])
    before = run.launcher.wait(run.host, folder, handle, 120)
    run.forget()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    later = launcher(run.host, settings_of(run.host))
    assert later.observe(run.host, folder, handle) == before
    assert later.wait(run.host, folder, handle, 1) == before


def test_a_daemon_that_does_not_answer_says_nothing_of_the_run(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, handle = run.started(["sleep", "300"])
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    later = launcher(run.host, settings_of(run.host))
    for _ in range(3):
        begun = time.monotonic()
        with pytest.raises(TargetError, match="does not answer"):
            later.wait(run.host, folder, handle, 0.5)
        assert time.monotonic() - begun < 30


def test_nothing_secret_is_in_what_the_daemon_tells_of_a_container(run: Runs) -> None:
    launch = run.launch(["sleep", "300"], environment={"TOKEN": "hunter22"}, secrets=["hunter22"])
    run.launcher.start(run.host, launch)
    assert "hunter22" not in json.dumps(daemon_of(run)._api.inspect_container(name_of(launch.folder)))


def test_a_container_says_whose_run_it_is(run: Runs) -> None:
    folder, _ = run.started(["true"])
    state = daemon_of(run).state(name_of(folder))
    assert state is not None
    labels = {name: state.labels[f"amltool.{name}"] for name in ("run", "commit", "project", "clone")}
    assert labels == {"run": folder.path.name, "commit": "c0ffee", "project": "iris", "clone": "0123456789abcdef"}


def test_what_is_left_behind_is_found_by_its_clone_and_forgotten(run: Runs) -> None:
    folder, _ = run.started(["true"])
    found = {left.run_id: left for left in run.launcher.left_behind(run.host, "0123456789abcdef")}
    assert (found[folder.path.name].kind, found[folder.path.name].place) == ("container", name_of(folder))
    assert not run.launcher.left_behind(run.host, "fedcba9876543210")
    run.launcher.forget(run.host, folder)
    assert not is_there(run, folder)
    run.launcher.forget(run.host, folder)


def test_forgetting_does_not_fail_where_the_daemon_is_away(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    later = launcher(run.host, settings_of(run.host))
    later.forget(run.host, run.launch([]).folder)


def test_a_run_in_a_container_is_its_users(making: Making, unprivileged: Unprivileged) -> None:
    making.root = unprivileged.home / "root"
    subprocess.run(unprivileged.command(["mkdir", making.root]), check=True)
    run = making()
    script = (
        "import getpass, os, pathlib\n"
        "home = pathlib.Path.home()\n"
        "(home / '.cache').mkdir()\n"
        "pathlib.Path('outputs').mkdir()\n"
        "pathlib.Path('outputs/model').write_text('x')\n"
        "print(getpass.getuser(), home, os.getuid(), os.getgid())"
    )
    launch = run.launch(["python3", "-c", script])
    settings = settings_of(run.host)
    for folder, _, _ in os.walk(making.root):  # a ``runs`` of another user is not one of ours
        os.chown(folder, unprivileged.uid, unprivileged.gid)
    client = begin_client(making.root, launch, settings, prefix=unprivileged.command([]), env=unprivileged.variables())
    assert client.wait(120) == 0
    assert run.launcher.wait(run.host, launch.folder, {}, 120).state is LaunchState.ENDED
    said = run.host.read(launch.folder.console).decode()
    assert said == f"amltool /azureml-run/home {unprivileged.uid} {unprivileged.gid}\n"
    owners = {os.lstat(path).st_uid for path in Path(launch.folder.path).rglob("*")}
    assert owners == {unprivileged.uid}


def test_a_run_has_the_variables_it_asks_for_itself(run: Runs) -> None:
    launch = run.launch(["sh", "-c", "echo $HOME $USER"], environment={"HOME": "/tmp", "USER": "ada"})
    run.launcher.wait(run.host, launch.folder, run.launcher.start(run.host, launch), 120)
    assert run.host.read(launch.folder.console) == b"/tmp ada\n"


def test_a_run_has_the_proxies_that_docker_gives_to_containers(run: Runs, isolated_home: Path) -> None:
    (isolated_home / ".docker").mkdir()
    proxies = {"default": {"httpProxy": "http://ada:hunter22@proxy:1", "noProxy": "localhost"}}
    (isolated_home / ".docker" / "config.json").write_text(json.dumps({"proxies": proxies}))
    folder, handle = run.started(["sh", "-c", 'echo "$http_proxy $NO_PROXY"'])
    run.launcher.wait(run.host, folder, handle, 120)
    assert run.host.read(folder.console) == b"http://ada:[redacted]@proxy:1 localhost\n"
    assert "hunter22" not in json.dumps(daemon_of(run)._api.inspect_container(name_of(folder)))


def test_the_shared_folder_is_that_of_the_host(making: Making, tmp_path: Path) -> None:
    share = tmp_path / "share" / "iris"
    run = making(share=PurePosixPath(share))
    end = run.to_its_end(["sh", "-c", "echo passed > /azureml-share/file"])
    assert end.exit_code == 0
    assert (share / "file").read_text() == "passed\n"


def test_what_travels_with_runs_cannot_be_changed_by_one(run: Runs) -> None:
    folder, handle = run.started(["sh", "-c", "touch /azureml-lib/x"])
    assert end_of(run, folder, handle, LaunchState.ENDED).exit_code == 1
    assert b"Read-only" in run.host.read(folder.console)


def test_limits_and_volumes_reach_the_container(making: Making, isolated_home: Path) -> None:
    (isolated_home / "corpus").mkdir()
    (isolated_home / "corpus" / "file").write_text("from home\n")
    run = making(shm_size=8 << 20, cpus=0.5, volumes=("~/corpus:/corpus:ro",))
    folder, handle = run.started(["sh", "-c", "df -k --output=size /dev/shm | tail -n 1; cat /corpus/file"])
    run.launcher.wait(run.host, folder, handle, 120)
    assert run.host.read(folder.console).split() == [b"8192", b"from", b"home"]
    host = daemon_of(run)._api.inspect_container(name_of(folder))["HostConfig"]
    assert (host["NanoCpus"], host["NetworkMode"]) == (500_000_000, "none")


def test_a_gpu_where_there_is_none_is_said(making: Making) -> None:
    run = making(gpu="all")
    with pytest.raises(UserError, match="no GPU") as raised:
        run.started(["true"])
    assert "nvidiaDocker" in raised.value.remedy
    assert not is_there(run, run.folders[0]), "what could not be started is removed"


def test_an_image_that_is_gone_is_said(run: Runs) -> None:
    with pytest.raises(UserError, match="image was removed"):
        run.started(["true"], image="sha256:" + "0" * 64)


def test_an_image_without_its_python_is_said(run: Runs) -> None:
    with pytest.raises(UserError, match="nowhere/python"):
        run.started(["true"], python=["/nowhere/python"])


def test_a_network_that_is_not_there_is_said(making: Making) -> None:
    with pytest.raises(UserError, match="nowhere"):
        making(network="nowhere").started(["true"])


def test_an_interpreter_that_fails_is_said_in_its_own_words(run: Runs) -> None:
    with pytest.raises(TargetError, match="can't open file"):
        run.started(["true"], python=["python3", "/no/such/script", "--"])


def test_a_file_where_the_run_needs_a_folder_is_said(run: Runs) -> None:
    launch = run.launch(["true"])
    run.host.write(launch.folder.home, b"")
    with pytest.raises(UserError, match="Cannot write"):
        run.launcher.start(run.host, launch)
