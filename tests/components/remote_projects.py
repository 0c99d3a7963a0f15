"""Projects that are submitted to a machine over SSH through the real command line, and what is left over there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from benchmarks.link import Shape, shaped
from tests.amltool_command import amltool
from tests.components.docker_projects import PLAIN, RUN_CONFIGURATION, TOP, compute_file
from tests.components.ssh_machine import SshMachine
from tests.repositories import make_repository
from tests.waiting import wait_until
from tests.walking import files_below

KINDS = ["remote", "remotedocker"]
SAMPLED = pytest.mark.parametrize(
    "kind", ["remote", pytest.param("remotedocker", marks=pytest.mark.torture)], indirect=True
)
"""For a fault of the link that is slow to stage and is met before it matters how the run was started: `make torture`
has both kinds."""
COUNT = """
import sys, time
for number in range(int(sys.argv[1])):
    print("line", number, flush=True)
    time.sleep(float(sys.argv[2]))
open("outputs/done.txt", "w").write("done")
"""
ONCE = """
import os, time
with open(os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + os.environ["AMLTOOL_RUN_ID"], "a") as stream:
    stream.write("once\\n")
for number in range(5):
    print("line", number, flush=True)
    time.sleep(0.1)
open("outputs/result.txt", "w").write("result" * 100000)
open("logs/training.log", "w").write("log")
"""
DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(4711)
    os._exit(0)
print("deaf", flush=True)
time.sleep(4711)
"""
TOLD = """
import os, sys, time
place = os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + os.environ["AMLTOOL_RUN_ID"]
for number in range(10):
    print("line", number, flush=True)
while not os.path.exists(place):
    time.sleep(0.05)
for number in range(10, 20):
    print("line", number, flush=True)
open("outputs/done.txt", "w").write("done")
"""
"""Prints ten lines, and ten more when it is told to end, over there: what is done with it meanwhile has its time."""
SCRIPTS: dict[str, bytes | str] = {"count.py": COUNT, "deaf.py": DEAF, "once.py": ONCE, "told.py": TOLD}
Files = Mapping[str, bytes | str]
FORGOTTEN_S = 135.0
"""A login on the other side of a cut link is over by then: its part of amltool waits for 120 s to hear of us."""


def make(folder: Path, machine: SshMachine, files: Files | None = None, **compute: object) -> Path:
    """A project with the target ``vm``, on a machine whose host key this user knows."""
    machine.known_to(Path.home())
    settings = {"type": "remote", "username": machine.user, "privateKeyFile": str(machine.key_file), **compute}
    settings = {"address": machine.address, **settings}
    configuration: dict[str, bytes | str] = {
        "aml_config/vm.compute": compute_file(settings),
        "aml_config/vm.runconfig": RUN_CONFIGURATION.format("vm", "true"),
        "aml_config/conda_dependencies.yml": PLAIN,
    }
    return make_repository(folder / "project", {**configuration, **SCRIPTS, **(files or {})})


def make_of(
    kind: str, request: pytest.FixtureRequest, folder: Path, files: Files | None = None, **compute: object
) -> Path:
    """A project with the target ``vm`` of a kind on `ssh_machine`."""
    machine: SshMachine = request.getfixturevalue("ssh_machine")
    if kind == "remote":
        return make(folder, machine, files, **compute)
    request.getfixturevalue("ssh_docker")
    image = request.getfixturevalue("python_image")
    return make(folder, machine, files, type=kind, baseDockerImage=image, **compute)


@contextmanager
def slow_line(machine: SshMachine, bits_per_s: float) -> Iterator[str]:
    """An address that leads to the machine over a line of this rate each way, with its host key known for it."""
    with shaped(machine.address, machine.port, Shape(round_trip_s=0.05, bits_per_s=bits_per_s)) as line:
        (Path.home() / ".ssh").mkdir(mode=0o700, exist_ok=True)
        (Path.home() / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{line.port} {machine.host_key}\n")
        yield f"127.0.0.1:{line.port}"


def start(project: Path, *words: str) -> str:
    """Submit and let go; the run's id."""
    said = amltool(project, "submit", *words[:1], "--target", "vm", "--detach", "--", *words[1:]).stderr
    return next(line.split()[1] for line in said.splitlines() if line.startswith("RunId: "))


def tell_to_end(machine: SshMachine, run_id: str | None) -> None:
    """Let a run of ``told.py`` end."""
    machine.execute(["touch", f"{machine.home}/.azureml/share/local/default/project/{run_id}"])


def ends_over_there(machine: SshMachine, run_id: str | None) -> None:
    """Let a run of ``told.py`` end, and wait until that is written down there."""
    tell_to_end(machine, run_id)
    end = f"{machine.home}/.amltool/runs/{run_id}/exit.json"
    wait_until(lambda: machine.execute(["test", "-e", end])[0] == 0)


def record(project: Path, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(amltool(project, "show", run_id, "--json").stdout)
    return found


def lines(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(count))


class Client:
    """The command line at work: what it prints and says is read as it comes, with the time."""

    def __init__(self, project: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "amltool", *words],
            cwd=project,
            env={**os.environ, "PYTHONPATH": TOP},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._printed: list[tuple[float, str]] = []
        self._said: list[tuple[float, str]] = []
        self._readers = [
            threading.Thread(target=_read, args=(stream, into), daemon=True)
            for stream, into in ((self.process.stdout, self._printed), (self.process.stderr, self._said))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def printed(self) -> str:
        return "".join(line for _, line in self._printed)

    @property
    def said(self) -> str:
        return "".join(line for _, line in self._said)

    @property
    def run_id(self) -> str | None:
        """The run that it acknowledged."""
        return next((line.split()[1] for _, line in self._said if line.startswith("RunId: ")), None)

    def prints(self, text: str, within_s: float = 180.0) -> float:
        """When a line with this text was printed."""
        return self._comes(self._printed, text, within_s)

    def says(self, text: str, within_s: float = 180.0) -> float:
        """When a line with this text was said."""
        return self._comes(self._said, text, within_s)

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self, within_s: float = 300.0) -> int:
        """Its exit code; all that it printed and said is here then."""
        code = self.process.wait(within_s)
        for reader in self._readers:
            reader.join(120)
        return code

    def _comes(self, found: list[tuple[float, str]], text: str, within_s: float) -> float:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            is_over = self.process.poll() is not None
            for at, line in list(found):
                if text in line:
                    return at
            if is_over and not any(reader.is_alive() for reader in self._readers):
                break
            time.sleep(0.002)
        raise AssertionError(f"{text!r} never came in {within_s:g} s\n{self.printed[-2000:]}\n{self.said[-3000:]}")


def _read(stream: IO[bytes], into: list[tuple[float, str]]) -> None:
    for line in stream:  # one by one: who waits for a line looks at what there is
        into += [(time.monotonic(), line.decode("utf-8", "replace"))]


def submitting(project: Path, *words: str) -> Client:
    """A submit that is under way."""
    return Client(project, "submit", words[0], "--target", "vm", "--", *words[1:])


def step_of(project: Path) -> tuple[str, str] | None:
    """The run that stands in the journal and the last of its steps that is done; `None` when there is none."""
    for entry in (project / ".git/amltool/runs").glob("*/request.json"):
        try:
            state = json.loads((entry.parent / "state.json").read_bytes())
        except FileNotFoundError:
            state = {"step": "requested"}
        return entry.parent.name, str(state["step"])
    return None


def when_at(project: Path, client: Client, step: str) -> bool:
    """Return as soon as the journal says that a step is done; whether it was seen before the client ended."""
    order = ["requested", "prepared", "placed", "launched", "ended", "collected", "recorded"]
    while client.process.poll() is None:
        found = step_of(project)
        if found is not None and order.index(found[1]) >= order.index(step):
            return found[1] == step
        time.sleep(0.001)
    return False


def processes_there(machine: SshMachine, *, with_sessions: bool = True) -> list[str]:
    """What runs on the machine for its user, in containers too; with or without what belongs to a login."""
    seen: dict[str, tuple[str, str]] = {}
    for line in machine.execute(["ps", "-u", machine.user, "-o", "pid=,ppid=,args="])[1].splitlines():
        found = re.match(r"\s*(\d+)\s+(\d+)\s+(.*)", line)  # words of a command may have lines
        if found and not found[3].endswith("<defunct>"):
            seen[found[1]] = found[2], found[3][:200]

    def is_of_session(pid: str) -> bool:
        parent, words = seen[pid]
        return words.startswith("sshd: ") or (parent in seen and is_of_session(parent))

    return [f"{pid} {words}" for pid, (_, words) in seen.items() if with_sessions or not is_of_session(pid)]


def containers_there(machine: SshMachine) -> list[str]:
    """Names of all containers of the machine's Docker, where it runs."""
    return machine.execute(["sh", "-c", "docker ps -a --format '{{.Names}}' 2>/dev/null"])[1].split()


def left_there(machine: SshMachine, *, with_sessions: bool = True) -> dict[str, list[str]]:
    """What is left on a machine that only an unfinished run may have: nothing, soon after the last has ended."""
    root = f"{machine.home}/.amltool"
    unreleased = f"cd {root}/runs 2>/dev/null && for run in *; do [ -e ../marks/$run/released.json ] || echo $run; done"
    halves = f"find {root} ( -name incoming -o -name placing.attempt -o -name '.*.json' -o -name 'tmp_*' ) -print"
    halves = halves.replace("( ", r"\( ").replace(" )", r" \)") + " 2> /dev/null"  # there may be no root yet
    return {
        "processes": processes_there(machine, with_sessions=with_sessions),
        "containers": containers_there(machine),
        "run folders": machine.execute(["bash", "-O", "nullglob", "-c", unreleased])[1].split(),
        "half-written files": machine.execute(["sh", "-c", halves])[1].split(),
    }


def left_here(project: Path) -> list[str]:
    """Processes of the project, Git's locks and half-written files of ours on this machine."""
    ours = project / ".git/amltool"
    locks = [path for path in files_below(project / ".git") if path.suffix == ".lock" and not path.is_relative_to(ours)]
    halves = [path for path in files_below(ours) if path.suffix == ".tmp" or path.name == "request.json"]
    found = [str(path) for path in (*locks, *halves)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(project) in words or (process / "cwd").readlink().is_relative_to(project):
                found.append(words)
        except OSError:  # it ended, or is not ours
            continue
    return found


def nothing_is_left(project: Path, machine: SshMachine, within_s: float = 90.0, *, cut: bool = False) -> None:
    """Neither here nor there; what tidies up after a run may take a moment.

    A login whose link was ``cut`` does not know it, and ends by itself within `FORGOTTEN_S`.
    """
    until = time.monotonic() + within_s
    while True:
        here, there = left_here(project), left_there(machine, with_sessions=not cut)
        if not here and not any(there.values()):
            return
        if time.monotonic() > until:
            raise AssertionError(f"left here: {here}\nleft there: {there}")
        time.sleep(0.2)
