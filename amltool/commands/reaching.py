"""Whether compute targets can be used now: reachable, their Docker or Python, the room that is left."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Container
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.commands.opening import Opened, read_computes
from amltool.commands.targets import run_configurations_of_targets
from amltool.errors import TargetError, UserError
from amltool.files import in_home
from amltool.text import harmless

if TYPE_CHECKING:
    from amltool.configuration.compute import ComputeTarget
    from amltool.hosts.ssh import SshHost

CHECK_S = 13.0
"""For all targets together: a network that swallows everything is told within 15 s (RELIABILITY)."""
CLUSTER_S = 60.0
"""For all clusters that let us in: several Java machines start there, and a NameNode may not answer."""
ANSWER_S = 10.0
LITTLE = 1 << 30
"""Bytes: less room than this is a warning, as `doctor` has it."""
SILENT = "It did not answer within {:g} seconds."
CLUSTER_SILENT = "Its head node lets you in, and did not say within {:g} seconds what the cluster has."
WHEN_CLUSTER_SILENT = "See that its NameNode and ResourceManager run, and that the head node is not overloaded."
WHEN_SILENT = "Look at the network and whether the machine is up; runs there are not touched by this."
_MACHINE = """
import os, subprocess, sys, time
root, git = sys.argv[1:]
while not os.path.exists(root): root = os.path.dirname(root)
disk = os.statvfs(root)
print(disk.f_bavail * disk.f_frsize)
print(subprocess.check_output([git, "version"]).decode().strip() if git else "")
print(time.time())
print("" if os.access(root, os.W_OK | os.X_OK) else root)
"""


class TargetState(str, Enum):
    """What looking at a compute target came to; an unreachable one may be as good as ever."""

    OK = "ok"
    WARNING = "warning"
    UNREACHABLE = "unreachable"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A compute target as it was found.

    Attributes:
        free: bytes on the disk of its ``root``.
        git: what Git says of itself on another machine, empty where there is none.
        clock_s: how far the clock of another machine is ahead of ours, at least, in seconds.
        All three are ``None`` where nobody said.
    """

    name: str
    type: str | None
    address: str | None
    state: TargetState
    message: str
    remedy: str = ""
    free: int | None = None
    git: str | None = None
    clock_s: float | None = None
    run_configurations: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.state in (TargetState.OK, TargetState.WARNING)


def check_targets(opened: Opened) -> list[CheckedTarget]:
    """Look at every compute target of the project, all at once, for at most `CHECK_S` seconds."""
    return begin_checks(opened)()


def begin_checks(opened: Opened, only: Container[str] | None = None) -> Callable[[], list[CheckedTarget]]:
    """Begin to look at compute targets (of these names, else at all); what is given waits for what was found."""
    from amltool.configuration.choosing import list_compute_targets
    from amltool.configuration.folder import working_files

    used_by = run_configurations_of_targets(opened)
    looks = {
        name: _Look(opened, name, tuple(used_by.get(name, ())))
        for name in list_compute_targets(working_files(opened.project.root))
        if only is None or name in only
    }
    until = time.monotonic() + CHECK_S
    for look in looks.values():
        look.begin()
    return lambda: [look.result(until) for look in looks.values()]


def works_there(compute: ComputeTarget, host: SshHost) -> str:
    """What a run on this machine would use: its Docker, or its Python.

    Raises:
        UserError: it is not there, or not for this user; says what to do.
        TargetError: it does not answer.
    """
    from amltool.configuration.compute import ComputeType

    if compute.in_container:
        from amltool.containers.daemon import DockerDaemon

        return f"Docker {DockerDaemon(host).version()}"
    if compute.type is ComputeType.CLUSTER:
        from amltool.targets.cluster_health import cluster_facts

        return str(cluster_facts(compute, host))
    facts = host.facts()
    if not compute.user_managed_environment:
        return f"Python {facts.python_version} ({facts.python}) to build environments with"
    from amltool.environments.base import EnvironmentRequest
    from amltool.environments.interpreter_there import InterpreterThere
    from amltool.environments.lock import lock_from
    from amltool.environments.login import Login

    there = InterpreterThere(compute.python_location, Login(host), compute.spark_submit_location)
    found = there.find(host, EnvironmentRequest(read=lambda _: None))
    return f"Python {lock_from(found.lock).version} ({found.python[0]})"


class _Look:
    """A look at one compute target, which may wait for a network."""

    def __init__(self, opened: Opened, name: str, run_configurations: tuple[str, ...]) -> None:
        self._opened = opened
        self._run_configurations = run_configurations
        self._found = CheckedTarget(name, None, None, TargetState.UNREACHABLE, SILENT.format(CHECK_S), WHEN_SILENT)
        self._failed: BaseException | None = None
        self._is_in_cluster = False
        # a daemon: one that still waits must not keep the command from ending
        self._thread = threading.Thread(target=self._look, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def result(self, until: float) -> CheckedTarget:
        """What was found by then (`time.monotonic`)."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._is_in_cluster:
            self._thread.join(max(0.0, until + CLUSTER_S - CHECK_S - time.monotonic()))
        if self._failed is not None:
            raise self._failed
        return replace(self._found, run_configurations=self._run_configurations)

    def _look(self) -> None:
        name = self._found.name
        try:
            (compute,) = read_computes(self._opened.project.root, name)
            self._found = _row(compute, TargetState.UNREACHABLE, self._found.message, self._found.remedy)
            self._found = _checked(compute, self._opened.git.top, lambda: self._came_in(compute))
        except UserError as error:  # its .compute cannot be read
            self._found = CheckedTarget(name, None, None, TargetState.ERROR, error.what, error.remedy)
        except BaseException as error:  # it is raised where somebody sees it
            self._failed = error

    def _came_in(self, compute: ComputeTarget) -> None:
        """Wait longer for a cluster that answered over SSH, and say which part of it is silent."""
        if compute.type.value == "cluster":
            self._found = _row(compute, TargetState.UNREACHABLE, CLUSTER_SILENT.format(CLUSTER_S), WHEN_CLUSTER_SILENT)
            self._is_in_cluster = True


def _checked(compute: ComputeTarget, top: Path, came_in: Callable[[], None]) -> CheckedTarget:
    return _over_ssh(compute, came_in) if compute.over_ssh else _here(compute, top)


def _over_ssh(compute: ComputeTarget, came_in: Callable[[], None]) -> CheckedTarget:
    from amltool.hosts.ssh import SshHost
    from amltool.hosts.ssh_failures import ClosedKeyError
    from amltool.targets.over_ssh import ssh_settings

    try:
        host = SshHost(ssh_settings(compute), compute.root)
        host.connect()
    except TargetError as error:
        return _row(compute, TargetState.UNREACHABLE, error.what, error.remedy)
    except ClosedKeyError as error:  # submit asks for the passphrase; who only looks does not
        return _row(compute, TargetState.WARNING, f"Not looked at. {error.what}", error.remedy)
    except UserError as error:
        return _row(compute, TargetState.ERROR, error.what, error.remedy)
    came_in()
    with closing(host):
        try:
            free, git, clock_s = _machine(host)
            works = works_there(compute, host) + _remark(host.start_files_say)
            return replace(_with_room(compute, works, free), git=git, clock_s=clock_s)
        except UserError as error:
            return _row(compute, TargetState.ERROR, error.what, error.remedy)


def _remark(start_files_say: str) -> str:
    """What start files of the login shell print is passed over; who wonders where it comes from is told."""
    if not start_files_say:
        return ""
    said = harmless(start_files_say.splitlines()[0], 40)
    return f"; the login shell's start files print ({said}), which is passed over"


def check_root(host: SshHost) -> None:
    """Look whether runs can lie there, and write nothing.

    Raises:
        UserError: this user may not write where they would.
    """
    _machine(host)


def _machine(host: SshHost) -> tuple[int | None, str | None, float | None]:
    """Bytes free, Git, and by how much the clock is ahead: what cannot be the way of the answer to us.

    Raises:
        UserError: as `check_root`.
    """
    facts, asked = host.facts(), time.time()
    words = [facts.python, "-I", "-S", "-c", _MACHINE, str(host.root), facts.git or ""]
    said = os.fsdecode(host.run(words, timeout_s=ANSWER_S).stdout).splitlines()
    answered = time.time()
    try:
        free, git, clock = int(said[0]), said[1], float(said[2])
    except (ValueError, IndexError):
        return None, None, None
    if closed := "".join(said[3:4]):
        raise UserError(
            f"You may not write {closed} on {host.name}, and {host.root} is where runs are to lie.",
            "Have its permissions changed there, or name another folder in the .compute: root.",
        )
    return free, git, min(clock - asked, 0.0) or max(clock - answered, 0.0)


def _here(compute: ComputeTarget, top: Path) -> CheckedTarget:
    """As `doctor` says it, and the room that is left."""
    from amltool.commands.doctor import docker_of, interpreter_of
    from amltool.hosts.local import LocalHost

    finding = interpreter_of(compute, top) or docker_of(compute)
    root = Path(LocalHost(in_home(compute.root) if compute.root else None).root)
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if finding is None:
        return _with_room(compute, compute.type.value, free)
    if finding.level == "ok":
        return _with_room(compute, finding.message, free)
    # what doctor can only warn of (nobody may want this target) keeps a run from starting
    return _row(compute, TargetState.ERROR, finding.message, finding.remedy, free)


def _with_room(compute: ComputeTarget, works: str, free: int | None) -> CheckedTarget:
    if free is not None and free < LITTLE:
        remedy = f"Make room: amltool clean --target {compute.name}"
        return _row(compute, TargetState.WARNING, f"{works}; less than 1 GB is free.", remedy, free)
    return _row(compute, TargetState.OK, works, free=free)


def _row(
    compute: ComputeTarget, state: TargetState, message: str, remedy: str = "", free: int | None = None
) -> CheckedTarget:
    return CheckedTarget(compute.name, compute.type.value, _address(compute), state, message, remedy, free)


def _address(compute: ComputeTarget) -> str | None:
    from amltool.configuration.addresses import write_address
    from amltool.configuration.compute import DEFAULT_PORT

    return write_address(compute.address, compute.port, DEFAULT_PORT) if compute.address else None
