"""Processes as the kernel knows them: whose child, since when, of which run; standard library, Python 3.6.

Each process of a run carries a mark that a fork, a new session or an empty environment do not take off: a soft limit
on real-time CPU time so high that it limits nothing. By it all of them are found, even when nobody watches over them.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported here costs start-up time, which every run pays
    import signal as signal
    from typing import Any, Dict, List, Optional, Set  # noqa: F401 (types of values stand in comments)
else:
    try:
        import _signal as signal  # without the enums of signal, which are a third of a start
    except ImportError:
        import signal

LINUX = sys.platform.startswith("linux")
GIVE_UP_S = 2.0
"""How long processes that were sent SIGKILL are waited for: one that is stuck in the kernel may never go."""
PR_SET_CHILD_SUBREAPER = 36
LEAST_MARK = 1 << 60
"""No limit that means anything is so high."""
OOM_FILES = {"memory": ("/memory%s/memory.oom_control",), "": ("%s/memory.events", "/unified%s/memory.events")}
"""Where the kernel counts, by the controller field of /proc/self/cgroup: version 1, and version 2 (alone or beside)."""


class Process:
    """A process: its number, its parent's, its state letter, and its start time as the kernel tells it."""

    __slots__ = ("parent", "pid", "started", "state")

    def __init__(self, pid: int, parent: int, state: str, started: str) -> None:
        self.pid, self.parent, self.state, self.started = pid, parent, state, started

    @property
    def is_alive(self) -> bool:
        """A zombie is dead: it only waits for its parent to look."""
        return self.state not in "ZX"


def send(pid: int, *numbers: int) -> None:
    """Send signals to a process, if it is there and ours."""
    for number in numbers:
        try:
            os.kill(pid, number)
        except OSError:
            pass  # gone already, or another user's


def kill_marked(mark: "Optional[int]", run_id: "Optional[str]", spared: "Optional[int]" = None) -> None:
    """Kill every process of a run, but us and the one spared. Both are what its client or its bootstrap knows, never
    what its folder says."""
    give_up = time.monotonic() + GIVE_UP_S
    while True:
        left = marked(mark, run_id) - {spared}
        if not left or time.monotonic() > give_up:
            return
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(0.002)


def marked(mark: "Optional[int]", run_id: "Optional[str]") -> "Set[int]":
    """Living processes of a run, wherever they went, by its mark and by its id in their environment; not this one."""
    variable = b"AMLTOOL_RUN_ID=" + run_id.encode("utf-8", "surrogateescape") if run_id else b"\n"
    if not LINUX:
        lines = [line.split(None, 1) for line in _ps("-axwwEo", "pid=,command=")]
        return {int(line[0]) for line in lines if variable in line[-1].split()} - {os.getpid()}
    found, looked_at = set(), {os.getpid()}  # type: Set[int], Set[int]
    while True:  # they may fork and end while we look: until there is nobody that we did not look at
        fresh = set(_pids()) - looked_at
        if not fresh:
            return {pid for pid in found if _is_alive(pid)}
        found |= {pid for pid in fresh if _is_marked(pid, mark, variable)}
        looked_at |= fresh


def _is_marked(pid: int, mark: "Optional[int]", variable: bytes) -> bool:
    return _has_mark(pid, mark) or variable in _content("/proc/%d/environ" % pid).split(b"\0")


def _has_mark(pid: int, mark: "Optional[int]") -> bool:
    return mark is not None and mark >= LEAST_MARK and b" %d " % mark in _content("/proc/%d/limits" % pid)


def is_bootstrap(pid: "Any", started: "Any", folder: str, mark: "Optional[int]") -> bool:
    """Return True if a number that a run's folder tells is that of its living bootstrap: of a process that was started
    then, and has the run's mark or, where there are no marks, names the folder in its command."""
    found = process(pid) if isinstance(pid, int) and pid > 1 else None
    if found is None or not found.is_alive or found.started != started:
        return False
    if not LINUX:
        return any(
            folder.encode("utf-8", "surrogateescape") in line for line in _ps("-wwo", "command=", "-p", str(pid))
        )
    words = _content("/proc/%d/cmdline" % pid).split(b"\0")
    return _has_mark(pid, mark) or folder.encode("utf-8", "surrogateescape") in words


def _is_alive(pid: int) -> bool:
    seen = process(pid)
    return seen is not None and seen.is_alive


def put_mark(mark: int) -> None:
    """Mark this process and all that come from it."""
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
        resource.setrlimit(resource.RLIMIT_RTTIME, (mark, hard))
    except (ImportError, AttributeError, OSError, ValueError):
        pass  # not Linux, or a hard limit below it: the variable AMLTOOL_RUN_ID is all there is


def adopt_orphans() -> bool:
    """Become the parent of every orphan below us (``PR_SET_CHILD_SUBREAPER``); whether that is so now."""
    if not LINUX:
        return False
    try:
        import _ctypes  # what ctypes is made of, at a fifth of its time

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
        return bool(_ctypes.call_function(prctl, (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def descendants(root: int) -> "Set[int]":
    """Living processes below one, as far as parents tell."""
    children = {}  # type: Dict[int, List[int]]
    alive = set()
    for seen in _table():
        children.setdefault(seen.parent, []).append(seen.pid)
        if seen.is_alive:
            alive.add(seen.pid)
    found, open_ = set(), [root]  # type: Set[int], List[int]
    while open_:
        below = children.get(open_.pop(), [])
        found.update(below)
        open_ += below
    return found & alive


def _pids() -> "List[int]":
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _table() -> "List[Process]":
    if LINUX:
        return [seen for seen in map(process, _pids()) if seen is not None]
    lines = [line.decode("ascii", "replace").split(None, 3) for line in _ps("-axo", "pid=,ppid=,stat=,lstart=")]
    return [Process(int(pid), int(parent), state[0], started.strip()) for pid, parent, state, started in lines]


def process(pid: int) -> "Optional[Process]":
    """What the kernel knows of a process; None when there is none."""
    if not LINUX:
        return next((seen for seen in _table() if seen.pid == pid), None)
    fields = _content("/proc/%d/stat" % pid).rpartition(b")")[2].split()  # proc(5): from field 3, the state, on
    return Process(pid, int(fields[1]), fields[0].decode(), fields[19].decode()) if len(fields) > 19 else None


def pid_namespace() -> "Optional[str]":
    """Where process numbers mean what they mean here: a container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def boot_id() -> str:
    """What is different after every start of the machine."""
    if LINUX:
        return _content("/proc/sys/kernel/random/boot_id").decode().strip()
    import subprocess

    return subprocess.check_output(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]).decode().strip()


def _ps(*arguments: str) -> "List[bytes]":
    import subprocess

    return subprocess.check_output(("/bin/ps",) + arguments, env={"LC_ALL": "C"}).splitlines()  # noqa: RUF005


def oom_kills() -> int:
    """How often the kernel killed for want of memory: in our control group, else on the whole machine."""
    for line in _content("/proc/self/cgroup").decode("utf-8", "surrogateescape").splitlines():
        _, controllers, group = line.split(":", 2)
        for place in (group, ""):  # a container may be told its place on the host while it sees its own group only
            for file in OOM_FILES.get(controllers, ()):
                count = _counter("/sys/fs/cgroup" + file % place)
                if count is not None:
                    return count
    return _counter("/proc/vmstat") or 0


def _counter(path: str) -> "Optional[int]":
    for line in _content(path).splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return None


def _content(path: str) -> bytes:
    """What the kernel says there; nothing when the process is gone or not ours."""
    try:
        with open(path, "rb", 0) as stream:
            return stream.read()
    except OSError:
        return b""


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; of two names for one number the first, which is the usual one (SIGABRT, not SIGIOT)."""
    names = [name for name in dir(signal) if name.startswith("SIG") and name[3] != "_"]
    return min((name for name in names if getattr(signal, name) == number), default="SIGRTMIN+%d" % (number - 34))
