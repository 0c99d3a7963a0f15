"""Makes container runs for tests, in this process or in one that may be killed.

python container_client.py LAUNCH.json
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from amltool.containers.daemon import DockerDaemon
from amltool.hosts.base import Host
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Exit, Expected, Handle, Launch, LaunchState
from amltool.launchers.container import ContainerLauncher
from amltool.launchers.container_spec import ContainerSettings
from amltool.layout import RunFolder, container_name
from amltool.testing.launchers import Runs, expected
from amltool.tracking import travel

TOP = Path(__file__).parents[2]
ACCOUNTS = "root:x:0:0:root:/root:/bin/bash\n"


class Wanted(msgspec.Struct):
    """What a client of its own is to start."""

    root: Path
    launch: Launch
    settings: ContainerSettings


def container_runs(root: Path, image: str, daemon: DockerDaemon | None = None, **settings: Any) -> Runs:
    """Runs in containers of an image; ``settings`` as in `ContainerSettings`."""
    host = LocalHost(root)
    given = {
        "environment": {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        "image": image,
        "python": ["python3"],
        "accounts": ACCOUNTS,
        "labels": {"run_id": "", "commit": "c0ffee", "project": "iris", "clone": "0123456789abcdef"},
    }
    return Runs(host, launcher(host, settings_of(host, **settings), daemon), host.root / "runs", given)


class Making:
    """Makes runs with settings of a test's own, and forgets them."""

    def __init__(self, root: Path, image: str) -> None:
        self.root, self.image = root, image
        self._made: list[Runs] = []

    def __call__(self, **settings: Any) -> Runs:
        self._made.append(container_runs(self.root, self.image, **settings))
        return self._made[-1]

    def forget(self) -> None:
        for runs in self._made:
            runs.forget()


def settings_of(host: Host, **settings: Any) -> ContainerSettings:
    return ContainerSettings(**{"library": travel.install(host).folder, "network": "none", **settings})


def launcher(host: Host, settings: ContainerSettings, daemon: DockerDaemon | None = None) -> ContainerLauncher:
    return ContainerLauncher(daemon or DockerDaemon(host), settings)


def begin_client(root: Path, launch: Launch, settings: ContainerSettings, **more: Any) -> subprocess.Popen[bytes]:
    """Start a run from a process of its own, getting ready first."""
    file = root / f"{launch.run_id}.json"
    file.write_bytes(msgspec.json.encode(Wanted(root, launch, settings), enc_hook=str))
    command = [*more.pop("prefix", []), sys.executable, __file__, str(file)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(TOP), **more.pop("env", {})}, **more)


def start(host: Host, launch: Launch, settings: ContainerSettings) -> Handle:
    """Get ready, then start, as `submit` does."""
    made = launcher(host, settings)
    known: Expected
    for known in expected(launch):
        made.get_ready(host, known)
    return made.start(host, launch)


def name_of(folder: RunFolder) -> str:
    return container_name(folder.path.name)


def is_there(run: Runs, folder: RunFolder) -> bool:
    return daemon_of(run).state(name_of(folder)) is not None


def daemon_of(run: Runs) -> DockerDaemon:
    return DockerDaemon(run.host)


def outside(run: Runs, verb: str, folder: RunFolder) -> None:
    """What somebody else does to a container, by the daemon's own interface."""
    api = daemon_of(run)._api
    {"stop": api.stop, "pause": api.pause, "remove": lambda name: api.remove_container(name, force=True)}[verb](
        name_of(folder)
    )


def end_of(run: Runs, folder: RunFolder, handle: dict[str, Any], state: LaunchState) -> Exit:
    seen = run.launcher.wait(run.host, folder, handle, 120)
    assert seen.state is state
    assert seen.exit is not None
    return seen.exit


def until_exists(path: PurePosixPath) -> None:
    until = time.monotonic() + 120
    while not os.path.lexists(path):
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.01)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    wanted = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Wanted, dec_hook=lambda kind, value: kind(value))
    start(LocalHost(wanted.root), wanted.launch, wanted.settings)
