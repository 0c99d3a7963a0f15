"""Another machine to measure on: the tests' one (a container with its own sshd), its home on a disk of its own, behind
the bridge network as it is and behind slow lines (`link`), and a project with a compute target for each way there.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from link import Line, Shape, shaped
from measuring import BenchmarkError, Command, seconds
from sized_project import MEGABYTE, SizedProject, make_sized_project
from surroundings import REPOSITORY, surroundings

SLOW = Shape(round_trip_s=0.020, bits_per_s=100e6)
SLOWER = Shape(round_trip_s=0.120, bits_per_s=100e6)
"""As slow, with a longer round trip: what it adds to a time says how many round trips were waited for."""
SHAPES = {"bridge": None, "slow": SLOW, "slower": SLOWER}
TRIVIAL = "trivial.py"
COPY = "copy"
"""Where rsync copies to, in the home folder there."""
GIGABYTES = 4


def absence() -> str | None:
    """Why nothing can be measured on another machine here, ``None`` where it can."""
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


@dataclass(slots=True)
class Way:
    """One way to the machine: its compute target, and the line where there is one."""

    name: str
    machine: Any
    project: SizedProject
    line: Line | None

    def __str__(self) -> str:
        return str(SHAPES[self.name] or "bridge network")

    @property
    def address(self) -> str:
        return "127.0.0.1" if self.line else str(self.machine.address)

    @property
    def port(self) -> int:
        return self.line.port if self.line else int(self.machine.port)

    @property
    def sent(self) -> int:
        """Bytes that went there so far, of whatever connection; nobody counts on the bridge network."""
        return self.line.sent if self.line else 0

    def submit(self, script: str = TRIVIAL) -> float:
        """Seconds for a whole submit, followed to its end."""
        return seconds(self.submitting(script))

    def submitting(self, script: str) -> Command:
        place = self.project.surroundings
        return place.program(self.project.folder, "amltool", "submit", script, "--target", self.name)

    def copy(self) -> float:
        """Seconds for rsync."""
        source, sink = f"{self.project.folder}/", f"{self.machine.user}@{self.address}:{COPY}/"
        ssh = " ".join(self._ssh())
        return seconds(self._command("rsync", "-a", "--delete", "--exclude=/.git", "-e", ssh, source, sink))

    def run_there(self) -> float:
        """Seconds for the trivial script of what was copied, without anything around it."""
        words = (*self._ssh(), f"{self.machine.user}@{self.address}", f"cd {COPY} && python3 {TRIVIAL}")
        return seconds(self._command(*words))

    def _ssh(self) -> tuple[str, ...]:
        known = self.project.surroundings.home / ".ssh" / "known_hosts"
        options = ("-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes")
        return ("ssh", "-F", "none", "-p", str(self.port), "-i", str(self.machine.key_file), *options)

    def _command(self, *words: str) -> Command:
        return Command(words, self.project.folder, self.project.surroundings.environment)


@contextlib.contextmanager
def another_machine(programs: Path, files: int, megabytes: int) -> Iterator[dict[str, Way]]:
    """A machine, a project of so many files and bytes, and the ways there by the names of `SHAPES`."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(surroundings(programs, GIGABYTES))
        there = stack.enter_context(surroundings(programs, GIGABYTES))
        project = make_sized_project(place, files - 2 * len(SHAPES) - 1, megabytes, packed=True)
        machine = _machine(there.folder / "there", Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(machine.close)
        ways = {}
        for name, shape in SHAPES.items():
            line = stack.enter_context(shaped(machine.address, machine.port, shape)) if shape else None
            ways[name] = Way(name, machine, project, line)
        _attach(project, list(ways.values()))
        yield ways


def _machine(home: Path, keys: Path) -> Any:
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for folder in (home, home / ".ssh"):
        os.chown(folder, 1000, 1000)
    return _components().SshMachine(keys, home)


def _attach(project: SizedProject, ways: list[Way]) -> None:
    """Write what `attach` writes, the script, and let both ssh and amltool know the machine's key."""
    place = project.surroundings
    known = []
    for way in ways:
        known.append(f"{way.address if way.port == 22 else f'[{way.address}]:{way.port}'} {way.machine.host_key}\n")
        configuration = project.folder / "aml_config" / way.name
        configuration.with_suffix(".compute").write_text(
            f"type: remote\naddress: {way.address}\nport: {way.port}\nusername: {way.machine.user}\n"
            f"privateKeyFile: {way.machine.key_file}\nuserManagedEnvironment: true\npythonLocation: python3\n"
        )
        configuration.with_suffix(".runconfig").write_text(f"Target: {way.name}\nFramework: Python\n")
    (place.home / ".ssh").mkdir(mode=0o700)
    (place.home / ".ssh" / "known_hosts").write_text("".join(known))
    (project.folder / TRIVIAL).write_text("print('done')\n")
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "another machine")):
        place.git(project.folder, *words).run()


def clear(way: Way) -> None:
    """Nothing of earlier copies and snapshots is there."""
    what = f"cd {way.machine.home} && rm -rf .amltool/runs .amltool/cache/objects {COPY}; sync"
    code, said = way.machine.execute(["sh", "-c", what])
    if code:
        raise BenchmarkError(f"The machine cannot be cleared: {said}")


def settle(way: Way) -> None:
    """What was copied before is on the disks, here and there: whoever comes next does not wait for it."""
    os.sync()
    way.machine.execute(["sync"])


def change_a_megabyte(project: SizedProject) -> None:
    """Give one file of 1 MB new content, and commit it."""
    project.changes += 1
    content = random.Random(f"change {project.changes}").randbytes(MEGABYTE)
    (project.folder / "data" / "megabyte.bin").write_bytes(content)
    for words in (("add", "--all"), ("commit", "--quiet", "--message", f"change {project.changes}")):
        project.surroundings.git(project.folder, *words).run()
