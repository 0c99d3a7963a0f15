"""Starts the command of a run, watches over it, and writes down how it ended; standard library, Python 3.6.

On Linux the bootstrap is the reaper of every orphan below it, so that none can get away from it.
"""

import errno
import os
import select
import time

from . import processes
from .processes import signal
from .quick_json import dumps
from .run_state import EXIT, GRACE_S, LONGEST_GRACE_S, START

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, NoReturn, Optional, Set, Tuple

CONSOLE = "console.log"
LEFT_BEHIND_GRACE_S = 2.0
"""From SIGTERM to SIGKILL for what a command that ended by itself left behind."""
TICK_S = 0.02
STOP_GRACE_S = 5.0
"""From SIGTERM to SIGKILL when the machine or the container's daemon goes down; it waits for 10 s at most."""
STOPPED = "stopped from outside"
LITTLE_ROOM = 1 << 20
IN_THE_WAY = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTEMPTY)
FULL_DISK_S = 300.0
"""How long writing to a full disk is tried again after the command ended."""
CHUNK = 1 << 16
BLOCK = 4096
NOT_FOUND, NOT_STARTED = 127, 126
"""A shell's exit codes for a command that is not there and for one that cannot be started."""
SIGKILLED = {"SIGKILL", 128 + signal.SIGKILL}
"""How a command ends that was killed outright, or whose shell says so of what it ran."""


def run(folder: str, spec: "Dict[str, Any]") -> bool:
    """Run the command of a spec to its end; False, and no effect, when the run was started before.

    The spec: ``command`` (program first), ``environment`` (whole), ``work`` (its folder below the run's), ``run_id``,
    ``secrets`` (values that must not reach the console), ``timeout_s`` and ``grace_s`` in seconds. A command that
    cannot be started ends with exit code 127 or 126 and a reason, as in a shell. ``mark`` is what its processes are
    known by, and ``proof`` a word that only its bootstrap and its client know: an end that holds it is no other's.

    Raises:
        OSError: nothing can be written in the folder; nothing was started.
    """
    _lead_a_session()
    os.chdir(folder)
    if os.path.exists(START):
        return False
    signals = _Signals()
    last_words = _LastWords()
    mark = spec.get("mark") or int.from_bytes(os.urandom(7), "big") + processes.LEAST_MARK
    start = {
        "v": 1,
        "run_id": spec.get("run_id"),
        "pid": os.getpid(),
        "process_started": _own_start(),
        "pid_namespace": processes.pid_namespace(),
        "boot": processes.boot_id(),
        "host": os.uname()[1],
        "started": _now(),
        "mark": mark,
    }
    processes.put_mark(mark)  # ours too: the command has it from its first moment on
    if not _claim(dumps(start).encode("ascii")):
        last_words.discard()
        return False
    end = {"v": 1, "exit_code": None, "signal": None, "reason": None, "canceled": False, "started": start["started"]}
    if spec.get("proof"):
        end["proof"] = spec["proof"]
    try:
        end.update(_supervise(spec, start, signals))
    except Exception as error:  # whatever it is, the run has an end
        processes.kill_marked(mark, spec.get("run_id"))
        end["reason"] = "the bootstrap failed: %s: %s" % (type(error).__name__, error)
        end["ended"] = _now()
    last_words.write(dumps(end).encode("ascii"))
    return True


def _supervise(spec: "Dict[str, Any]", start: "Dict[str, Any]", signals: "_Signals") -> "Dict[str, Any]":
    """What ``exit.json`` says beside the start time."""
    oom_kills, adopting = processes.oom_kills(), processes.adopt_orphans()
    console = os.open(CONSOLE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(console, 2)  # our own last cry, if there ever is one, is found beside the command's
    pump = _Pump(console, spec["secrets"]) if any(spec.get("secrets") or ()) else None
    begun = time.monotonic()
    main, failure = _spawn(spec, pump.sink if pump else console)
    if failure is not None:
        exit_code, reason = failure
        try:
            os.write(console, ("amltool: %s\n" % reason).encode("utf-8", "surrogateescape"))
        except OSError:
            pass  # the disk is full; the reason is in exit.json as well
        return {"exit_code": exit_code, "reason": reason, "ended": _now(), "duration_s": 0.0}
    if pump is not None:
        os.close(pump.sink)
    watch = _Watch(main, start, signals, pump)
    watch.adopting = adopting
    timeout_s, grace = spec.get("timeout_s"), min(spec.get("grace_s", GRACE_S), LONGEST_GRACE_S)
    watch.follow(None if timeout_s is None else begun + timeout_s, "time-out after %g s" % (timeout_s or 0), grace)
    end = _how(watch.status)
    if watch.reason is None and SIGKILLED & set(end.values()) and processes.oom_kills() > oom_kills:
        watch.reason = "out of memory"
    if watch.reason is None and end.get("exit_code") and _room() < LITTLE_ROOM:  # its last words did not fit, either
        watch.reason = "less than 1 MB was free on its disk when it ended"
    end.update(reason=watch.reason, canceled=watch.canceled, ended=watch.ended, peak_memory=watch.peak_memory)
    end["duration_s"] = round(watch.ended_at - begun, 6)
    return end


def _room() -> int:
    """Bytes that are free where the run lies."""
    disk = os.statvfs(".")
    return disk.f_bavail * disk.f_frsize


def _how(status: int) -> "Dict[str, Any]":
    if os.WIFSIGNALED(status):
        return {"exit_code": None, "signal": processes.signal_name(os.WTERMSIG(status))}
    return {"exit_code": os.WEXITSTATUS(status), "signal": None}


class _Watch:
    """The command and all below it, from the start to the end of the last process."""

    def __init__(self, main: int, start: "Dict[str, Any]", signals: "_Signals", pump: "Optional[_Pump]") -> None:
        self.main, self.start, self.signals, self.pump = main, start, signals, pump
        self.adopting = self.canceled = self.childless = False
        self.status, self.peak_memory = -1, 0
        self.ended = ""
        self.ended_at = 0.0
        self.reason = None  # type: Optional[str]
        self.kill_at = None  # type: Optional[float]

    def follow(self, deadline: "Optional[float]", too_long: str, grace: float) -> None:
        """Return when the command ended and nothing of it is left."""
        while True:
            self._reap()
            now = time.monotonic()
            if self.kill_at is None and not self.ended:
                if self.signals.cancel:
                    self.canceled = True
                    self._terminate(now + grace, "canceled")
                elif self.signals.stop:
                    self._terminate(now + min(grace, STOP_GRACE_S), STOPPED)
                elif deadline is not None and now >= deadline:
                    self._terminate(now + grace, too_long)
            if self.kill_at is not None and (self.signals.at_once or self.signals.stop):
                self.kill_at = min(self.kill_at, now + (0.0 if self.signals.at_once else STOP_GRACE_S))
            if self.ended and self._is_over(now):
                return
            if self.kill_at is not None and now >= self.kill_at:
                self._send(signal.SIGKILL)
            self._wait(deadline)

    def _is_over(self, now: float) -> bool:
        if not self.childless or (not self.adopting and self._family()):
            kill_at = self.ended_at + LEFT_BEHIND_GRACE_S
            if self.kill_at is None:
                self._terminate(kill_at, None)
            self.kill_at = min(kill_at, self.kill_at or kill_at)
            return now > self.kill_at + processes.GIVE_UP_S
        if self.pump is None or self.pump.is_over:
            return True
        if self.pump.is_stuck and now > self.ended_at + FULL_DISK_S:
            self.reason = self.reason or "the end of the console is missing: the disk is full"
            return True
        return False

    def _terminate(self, kill_at: float, reason: "Optional[str]") -> None:
        self.kill_at, self.reason = kill_at, reason
        self._send(signal.SIGTERM, signal.SIGCONT)

    def _send(self, *numbers: int) -> None:
        reached = set()  # type: Set[int]
        while True:  # they may fork while we look: until nobody new is seen
            fresh = self._family() - reached
            if not fresh:
                return
            for pid in fresh:
                processes.send(pid, *numbers)
            reached |= fresh

    def _family(self) -> "Set[int]":
        family = processes.descendants(os.getpid())
        return family if self.adopting else family | processes.marked(self.start["mark"], self.start["run_id"])

    def _reap(self) -> None:
        try:
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.peak_memory = max(self.peak_memory, usage.ru_maxrss * (1024 if processes.LINUX else 1))
                if pid == self.main:
                    self.status, self.ended, self.ended_at = status, _now(), time.monotonic()
        except ChildProcessError:
            self.childless = True

    def _wait(self, deadline: "Optional[float]") -> None:
        until = self.kill_at if self.kill_at is not None or self.ended else deadline
        timeout = None if until is None else max(until - time.monotonic(), TICK_S)
        if self.ended and not self.adopting:
            timeout = TICK_S  # the end of a stranger wakes nobody
        awaited = [self.signals.wake]
        if self.pump is not None and self.pump.is_stuck:
            timeout = TICK_S * 10
        elif self.pump is not None and not self.pump.is_over:
            awaited.append(self.pump.source)
        ready = select.select(awaited, [], [], timeout)[0]
        if self.signals.wake in ready:
            os.read(self.signals.wake, CHUNK)
        if self.pump is not None and (self.pump.is_stuck or self.pump.source in ready):
            self.pump.work()


class _Signals:
    """What was asked of us by signal: SIGTERM, SIGINT and SIGHUP cancel the run, SIGQUIT ends the grace time, SIGPWR
    (which our containers get when somebody stops them) stops it for another reason than that its user wants it."""

    def __init__(self) -> None:
        self.cancel = self.at_once = self.stop = False
        self.wake, wake = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        self.power = getattr(signal, "SIGPWR", None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, self.power):
            if number is not None:
                signal.signal(number, self._on)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _on(self, number: int, _: "Any") -> None:
        if number == self.power:
            self.stop = True
        elif number != signal.SIGCHLD:
            self.cancel = True
        if number == signal.SIGQUIT:
            self.at_once = True


class _Pump:
    """From the command's output to the console, secrets taken out."""

    def __init__(self, console: int, secrets: "List[str]") -> None:
        from .redaction import Redactor

        self.console, self.redact = console, Redactor(secrets).redact
        self.source, self.sink = os.pipe()
        self.ready = b""
        self.is_at_end = self.is_stuck = False

    @property
    def is_over(self) -> bool:
        return self.is_at_end and not self.ready

    def work(self) -> None:
        """Take what can be read now and write it, or what could not be written before."""
        if not self.is_stuck:
            chunk = os.read(self.source, CHUNK)
            self.is_at_end = not chunk
            self.ready = self.redact(chunk)
        try:
            while self.ready:
                self.ready = self.ready[os.write(self.console, self.ready) :]
            self.is_stuck = False
        except OSError:  # the disk is full: the command waits, as for any slow reader
            self.is_stuck = True


class _LastWords:
    """``exit.json``; its space is taken before the run, so that a full disk does not keep it from being written."""

    def __init__(self) -> None:
        self.beside = ".%s.%d.%s" % (EXIT, os.getpid(), os.urandom(4).hex())
        self.stream = os.open(self.beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.write(self.stream, b" " * BLOCK)
        self.folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def discard(self) -> None:
        os.unlink(self.beside)

    def write(self, content: bytes) -> None:
        give_up = time.monotonic() + FULL_DISK_S
        has_made_way = False
        while True:
            try:
                os.pwrite(self.stream, content, 0)
                os.ftruncate(self.stream, len(content))
                os.fsync(self.stream)
                os.rename(self.beside, EXIT)
                return
            except OSError as error:
                is_in_the_way = error.errno in IN_THE_WAY
                if (has_made_way and is_in_the_way) or time.monotonic() > give_up:  # the folder was removed, say
                    raise
                if is_in_the_way:
                    has_made_way = True
                    self._make_way()
                else:
                    time.sleep(TICK_S * 10)

    def _make_way(self) -> None:
        """Undo what the command did to our folder: took its rights, put a folder in our place, removed our file."""
        os.fchmod(self.folder, 0o755)
        if os.path.isdir(EXIT) and not os.path.islink(EXIT):
            os.rename(EXIT, ".%s.%s" % (EXIT, os.urandom(4).hex()))
        if not os.path.exists(self.beside):
            os.close(self.stream)
            self.stream = os.open(self.beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _spawn(spec: "Dict[str, Any]", output: int) -> "Tuple[int, Optional[Tuple[int, str]]]":
    """The pid of the command, and the exit code and reason where it could not be started."""
    report, failed = os.pipe()
    command = [exact_bytes(part) for part in spec["command"]]
    environment = {exact_bytes(name): exact_bytes(value) for name, value in spec["environment"].items()}
    pid = os.fork()
    if pid == 0:
        _become(command, environment, exact_bytes(spec.get("work") or "."), (output, failed))
    os.close(failed)
    failure = os.read(report, CHUNK)
    os.close(report)
    if not failure:
        return pid, None
    os.waitpid(pid, 0)
    number, what = failure.split(b" ", 1)
    code = NOT_FOUND if int(number) in (errno.ENOENT, errno.ENOTDIR) and what == command[0] else NOT_STARTED
    return pid, (code, "cannot start %s: %s" % (what.decode("utf-8", "backslashreplace"), os.strerror(int(number))))


def _become(
    command: "List[bytes]", environment: "Dict[bytes, bytes]", work: bytes, means: "Tuple[int, int]"
) -> "NoReturn":
    """Turn this fork into the command; what goes wrong is said on the descriptor ``failed``."""
    output, failed = means
    what = command[0] if command else b"an empty command"
    try:
        os.setpgid(0, 0)  # `kill 0` in a script ends the script, not us
        signal.set_wakeup_fd(-1)
        for number in range(1, signal.NSIG):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # SIGKILL, SIGSTOP and those that the C library keeps
        os.dup2(output, 1)
        os.dup2(output, 2)
        what = b"in " + work
        os.chdir(work)
        what = command[0]
        os.execvpe(command[0], command, environment)  # noqa: S606
    except OSError as error:
        os.write(failed, b"%d %s" % (error.errno or 0, what[:1000]))
    except (ValueError, IndexError):  # a NUL byte, or no program at all
        os.write(failed, b"%d %s" % (errno.EINVAL, what[:1000]))
    finally:
        os._exit(NOT_STARTED)


def _lead_a_session() -> None:
    if os.getsid(0) == os.getpid():
        return
    try:
        os.setsid()
    except PermissionError:  # the leader of a process group cannot; its child can
        if os.fork():
            os._exit(0)
        os.setsid()


def _claim(content: bytes) -> bool:
    """Make ``start.json``, whole at once; False when another bootstrap was first."""
    beside = ".%s.%d.%s" % (START, os.getpid(), os.urandom(4).hex())
    try:
        _make(beside, content)
        try:
            os.link(beside, START)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            try:
                _make(START, content)
            except FileExistsError:
                return False
        return True
    finally:
        os.unlink(beside)


def _make(name: str, content: bytes) -> None:
    stream = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(stream, content)
    finally:
        os.close(stream)


def _own_start() -> "Optional[str]":
    seen = processes.process(os.getpid())
    return None if seen is None else seen.started


def _now() -> str:
    now = time.time()
    return "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)), now % 1 * 1000)


def exact_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
