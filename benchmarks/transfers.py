"""What placing a snapshot on another machine costs beside ``rsync -a`` of the same files over the same line.

Both are whole processes that log in anew: rsync over OpenSSH's client, and ours, over paramiko, which also takes the
snapshot and checks every byte there. The line is the bridge network's, and the same made slow by `link`. The machine is
the one the tests use: a container with its own sshd.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from link import Shape, shaped
from measuring import BenchmarkError, Command, Figure, Pair, pair, seconds
from sized_project import MEGABYTE
from surroundings import REPOSITORY, Surroundings, surroundings

NAME = "transfers-300MB"
FILES = 2000
MEGABYTES = 300
FIRST_TARGET, AGAIN_TARGET = 1.3, 1.5
MOST_SENT = 2 * MEGABYTE
"""The most that a placing may send when one file of 1 MB has changed."""
ROUNDS = 3
SLOW = Shape(round_trip_s=0.020, bits_per_s=100e6)
COPY = "copy"
"""Where rsync copies to, in the home folder there."""


def absence() -> str | None:
    """Why this cannot be measured here, ``None`` where it can."""
    for program in ("rsync", "ssh"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        image = _components().MACHINE.image
    except ImportError as error:
        return f"what makes the tests' machine is not installed ({error.name})"
    if (
        shutil.which("docker") is None
        or subprocess.run(("docker", "image", "inspect", image), capture_output=True).returncode
    ):
        return "Docker does not answer, or has not the image of the tests' machine (AMLTOOL_REQUIRE=ssh makes it)"
    return None


def _components() -> Any:
    sys.path.insert(0, str(REPOSITORY))
    return importlib.import_module("tests.components.ssh_machine")


def measure(programs: Path, rounds: int) -> Iterator[tuple[Figure, str]]:
    """Figures of the line as it is and of the slow one, each with the disk it was measured on."""
    with surroundings(programs, 3) as place, tempfile.TemporaryDirectory() as keys, _machine(Path(keys)) as machine:
        repository = _make_repository(place)
        for shape in (None, SLOW):
            with _line(machine, shape) as port:
                line = Line(machine, "127.0.0.1" if shape else machine.address, port, place, repository)
                line.know()
                for what, target, pairs in _rounds(line, rounds):
                    yield Figure(f"{what}, {shape or 'bridge network'}", target, pairs), place.disk


def _rounds(line: Line, rounds: int) -> Iterator[tuple[str, float, tuple[Pair, ...]]]:
    first, again = [], []
    for number in range(rounds + 1):
        line.clear()
        line.commit_a_change()
        first.append(pair(line.copy, line.place, number))
        line.commit_a_change()
        again.append(pair(line.copy, line.place, number))
        if line.sent > MOST_SENT:
            raise BenchmarkError(f"{line.sent:,} bytes were sent for one changed file of 1 MB.")
    yield f"{FILES:,} files / {MEGABYTES} MB to another machine: first", FIRST_TARGET, tuple(first[1:])
    yield "again after one file of 1 MB changed", AGAIN_TARGET, tuple(again[1:])


@contextlib.contextmanager
def _machine(folder: Path) -> Iterator[Any]:
    machine = _components().SshMachine(folder)
    try:
        yield machine
    finally:
        machine.close()


@contextlib.contextmanager
def _line(machine: Any, shape: Shape | None) -> Iterator[int]:
    if shape is None:
        yield machine.port
        return
    with shaped(machine.address, machine.port, shape) as port:
        yield port


@dataclass(slots=True)
class Line:
    """The way to the machine, and what goes over it."""

    machine: Any
    address: str
    port: int
    surroundings: Surroundings
    repository: Path
    changes: int = 0
    sent: int = 0

    @property
    def known_hosts(self) -> Path:
        return self.surroundings.folder / f"known_hosts-{self.port}"

    def know(self) -> None:
        """Let both sides know the machine's key under the address of this line."""
        name = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        self.known_hosts.write_text(f"{name} {self.machine.host_key}\n")

    def clear(self) -> None:
        """Nothing of earlier copies and placings is there."""
        code, said = self.machine.execute(["sh", "-c", f"cd {self.machine.home} && rm -rf .amltool {COPY}; sync"])
        if code:
            raise BenchmarkError(f"The machine cannot be cleared: {said}")

    def commit_a_change(self) -> None:
        self.changes += 1
        content = random.Random(f"change {self.changes}").randbytes(MEGABYTE)
        (self.repository / "00" / "0000.bin").write_bytes(content)
        self.surroundings.git(self.repository, "commit", "-qam", f"change {self.changes}").run()

    def copy(self) -> float:
        """Seconds for rsync."""
        ssh = f"ssh -p {self.port} -i {self.machine.key_file} -o UserKnownHostsFile={self.known_hosts} -o BatchMode=yes"
        source, sink = f"{self.repository}/", f"{self.machine.user}@{self.address}:{COPY}/"
        arguments = ("rsync", "-a", "--delete", "--exclude=/.git", "-e", ssh, source, sink)
        return seconds(Command(arguments, self.repository, self.surroundings.environment))

    def place(self) -> float:
        """Seconds for a placing; the folder is free for the next one then, as that of a run that ended."""
        run, report = f"run-{self.changes:03}", self.surroundings.folder / "sent"
        asked = {
            "address": self.address,
            "port": self.port,
            "user": self.machine.user,
            "key_file": str(self.machine.key_file),
            "known_hosts": str(self.known_hosts),
            "repository": str(self.repository),
            "run": run,
            "key": NAME,
            "report": str(report),
        }
        place_once = str(Path(__file__).with_name("place_once.py"))
        command = self.surroundings.program(self.repository, "python", place_once, json.dumps(asked))
        taken = seconds(command)
        self.sent = int(report.read_text())
        mark = ["tee", f"{self.machine.home}/.amltool/runs/{run}/released.json"]
        code, said = self.machine.execute(mark, reads=json.dumps({"project": NAME, "at": ""}), user=self.machine.user)
        if code:
            raise BenchmarkError(f"The folder of the run cannot be released: {said}")
        return taken


def _make_repository(place: Surroundings) -> Path:
    """2,000 files of random bytes, one of them of 1 MB, packed."""
    repository = place.folder / "transferred"
    source = random.Random("transfers")
    each = (MEGABYTES - 1) * MEGABYTE // (FILES - 1)
    for number in range(FILES):
        path = repository / f"{number % 20:02}" / f"{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(each if number else MEGABYTE))
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "data"), ("gc", "-q")):
        place.git(repository, *arguments).run()
    return repository
