"""Runs in containers that share no folder with this machine."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from amltool.containers.daemon import DockerDaemon
from amltool.errors import UserError
from amltool.launchers.base import LaunchState
from amltool.launchers.copying import bring_logs
from amltool.targets.collecting import collect
from amltool.testing.stores import FakeStore
from tests.launchers.container_client import (
    Making,
    daemon_of,
    end_of,
    name_of,
)
from tests.waiting import wait_until


def test_what_a_container_without_shared_folders_left_comes_back_as_it_is(making: Making, tmp_path: Path) -> None:
    run = making(shared_volumes=False)
    (tmp_path / "secret").write_text("not for you")
    script = (
        f"cd outputs; ln -s {tmp_path}/secret out; ln -s /etc/shadow shadow; mkfifo fifo; mknod device c 1 3;"
        "printf x > 'a\nb'; printf x > $(printf '\\377'); ln model twin; mkdir -m 500 closed; ls -A / > list;"
        "cd ..; rm -r was_folder; echo file > was_folder; rm was_file; mkdir was_file; echo x > was_file/x"
    )
    launch = run.launch(["sh", "-c", script])
    for path, content in {"outputs/model": b"m", "was_folder/x": b"x", "was_file": b"x"}.items():
        run.host.write(launch.folder.work / path, content)
    handle = run.launcher.start(run.host, launch)
    assert end_of(run, launch.folder, handle, LaunchState.ENDED).exit_code == 0
    outputs = Path(launch.folder.outputs)
    assert [str((outputs / name).readlink()) for name in ("out", "shadow")] == [f"{tmp_path}/secret", "/etc/shadow"]
    assert all(stat.S_ISFIFO((outputs / name).lstat().st_mode) for name in ("fifo", "device"))
    assert {"a\nb", os.fsdecode(b"\xff"), "twin", "closed"} <= {path.name for path in outputs.iterdir()}
    assert (outputs / "twin").samefile(outputs / "model")
    assert (Path(launch.folder.work) / "was_folder").read_text() == "file\n"
    assert (Path(launch.folder.work) / "was_file" / "x").read_text() == "x\n"
    assert "azureml-share" not in (outputs / "list").read_text()


def test_sockets_which_docker_does_not_copy_are_there_to_be_named(making: Making) -> None:
    run = making(shared_volumes=False)
    script = (
        "import os, socket\n"
        "os.makedirs('outputs/a'); os.makedirs('logs', exist_ok=True); os.chdir('outputs/a')\n"
        "for name in (b'one', b'\\xff\\xe2\\x82', b'../../logs/two', b'../../elsewhere'):\n"
        "    socket.socket(socket.AF_UNIX).bind(name)\n"
        "open('file', 'w').write('x')\n"
    )
    folder, handle = run.started(["python3", "-c", script])
    assert end_of(run, folder, handle, LaunchState.ENDED).exit_code == 0
    a = Path(folder.outputs) / "a"
    kinds = {path.name: stat.S_ISSOCK(path.lstat().st_mode) for path in (*a.iterdir(), *Path(folder.logs).iterdir())}
    plain = {name.replace("\ufffd", ""): is_socket for name, is_socket in kinds.items()}
    assert plain == {"one": True, "": True, "two": True, "file": False}
    found = collect(run.host, folder, FakeStore())
    assert {omission.path for omission in found.omitted} >= {"outputs/a/one", "logs/two"}
    assert {omission.reason for omission in found.omitted} == {"it is a socket"}


def test_the_snapshot_is_not_written_again_when_it_comes_back(making: Making) -> None:
    run = making(shared_volumes=False)
    launch = run.launch(["true"])
    run.host.write(launch.folder.work / "train.py", b"pass")
    before = Path(launch.folder.work / "train.py").stat()
    end_of(run, launch.folder, run.launcher.start(run.host, launch), LaunchState.ENDED)
    after = Path(launch.folder.work / "train.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_client_that_dies_while_it_copies_back_does_it_again(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    run = making(shared_volumes=False)
    folder, handle = run.started(["sh", "-c", "mkdir -p outputs; for i in 1 2 3; do echo $i > outputs/$i; done"])
    with monkeypatch.context() as patched:
        patched.setattr("amltool.launchers.unpacking.os.rename", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            run.launcher.wait(run.host, folder, handle, 120)
    assert not run.host.exists(folder.exit)
    assert end_of(run, folder, handle, LaunchState.ENDED).exit_code == 0
    assert run.host.names(folder.outputs) == ["1", "2", "3"]


def test_a_full_disk_is_said_and_nothing_is_lost(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    run = making(shared_volumes=False)
    folder, handle = run.started(["sh", "-c", "mkdir outputs; echo x > outputs/x"])
    with monkeypatch.context() as patched:
        patched.setattr("amltool.launchers.unpacking.os.rename", refuse_for_want_of_space)
        with pytest.raises(UserError, match="No space left"):
            run.launcher.wait(run.host, folder, handle, 120)
    assert not run.host.exists(folder.exit)
    assert end_of(run, folder, handle, LaunchState.ENDED).exit_code == 0
    assert run.host.read(folder.outputs / "x") == b"x\n"


def test_what_a_lost_container_wrote_comes_back_too(making: Making) -> None:
    run = making(shared_volumes=False)
    folder, handle = run.started(["sh", "-c", "mkdir -p outputs; echo x > outputs/x; echo said; touch done; sleep 300"])
    while daemon_of(run).execute(name_of(folder), ["test", "-e", "/azureml-run/work/done"])[0]:
        time.sleep(0.02)
    daemon_of(run).signal(name_of(folder), "SIGKILL")
    assert end_of(run, folder, handle, LaunchState.LOST).reason == "killed with docker kill"
    assert run.host.read(folder.outputs / "x") == b"x\n"
    assert run.host.read(folder.console) == b"said\n"


def test_logs_that_are_brought_for_a_look_while_the_run_is_recorded_are_nobodys_fault(making: Making) -> None:
    run = making(shared_volumes=False)
    folder, _ = run.started(["sh", "-c", "mkdir -p logs; echo x > logs/x; touch done; sleep 300"])
    daemon = daemon_of(run)
    wait_until(lambda: daemon.execute(name_of(folder), ["test", "-e", "/azureml-run/work/done"])[0] == 0)

    class Recording:
        """A Docker that is so slow that the run was recorded, and what nobody needs any more removed, meanwhile."""

        def get(self, container: str, path: str) -> Iterator[bytes] | None:
            run.host.remove(folder.live)
            return daemon.get(container, path)

    bring_logs(cast(DockerDaemon, Recording()), name_of(folder), folder)

    assert not run.host.exists(folder.live)


def stop_after(times: int) -> Any:
    rename, left = os.rename, [times]

    def renamed(*arguments: Any, **more: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        rename(*arguments, **more)

    return renamed


def refuse_for_want_of_space(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")
