"""Starts the command of a run as a process of its own on a host; the bootstrap there does the work."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec

from amltool.errors import TargetError, UserError
from amltool.hosts.base import CommandResult, Host, Piece
from amltool.hosts.local import LocalHost
from amltool.launchers.base import Expected, Handle, Launch, LaunchState, LeftBehind, Observation
from amltool.launchers.exit_file import LONGEST_EXIT, exit_in, exit_of
from amltool.layout import RunFolder

START_S = 30.0
"""How long a bootstrap may take to claim its run: an interpreter from a cold network disk takes seconds."""
ANSWER_S = 30.0
"""How long a host may take to say how a run is, beyond the time that the question itself takes."""
LONGEST_CANCEL_S = 15.0
FIRST_PAUSE_S, LONGEST_START_PAUSE_S, FIRST_WAIT_S, LONGEST_WAIT_S = 0.001, 0.05, 0.002, 0.025
PYTHON = "python3"
OBSERVE_EVERY_S = 1.0
"""How seldom a run on another machine is asked whether it lives: that it ended is seen in its folder."""
NOWHERE = {"state": "nowhere"}


class ProcessLauncher:
    """Starts runs through the bootstrap that lies on the host.

    ``bootstrap`` is where it lies there (or what puts it there and says so), ``interpreter`` a Python (3.6 or newer)
    that runs it: our own on this machine, ``python3`` on any other, unless said otherwise.
    """

    def __init__(self, bootstrap: PurePosixPath | Callable[[], PurePosixPath], interpreter: str | None = None) -> None:
        self._bootstrap = bootstrap
        self._interpreter = interpreter
        self._waiting: dict[RunFolder, Callable[[bytes], None]] = {}
        self._last: dict[RunFolder, tuple[float, Observation]] = {}

    def get_ready(self, host: Host, expected: Expected) -> None:
        """As `Launcher.get_ready`; on this machine the bootstrap starts and waits for what it is to run."""
        folder = expected.folder
        if isinstance(host, LocalHost) and folder not in self._waiting:
            with contextlib.suppress(OSError):
                self._waiting[folder] = host.begin(self._command(host, "run", folder))

    def start(self, host: Host, launch: Launch) -> Handle:
        """As `Launcher.start`. A command that cannot be started is a run that ends with 127 or 126 and a reason.

        Raises:
            UserError: the folder of the run or the interpreter is not there.
            TargetError: nothing started within 30 s; starting again is safe.
        """
        try:
            has_begun = (
                self._start_here(host, launch) if isinstance(host, LocalHost) else self._start_there(host, launch)
            )
        except (FileNotFoundError, PermissionError) as error:
            raise UserError(
                f"{self._python(host)} cannot be started on {host.name}: {error.strerror}.",
                "Install Python 3 there, or name the one to use.",
            ) from error
        if has_begun:
            where = {"kind": "process", "host": host.name, "folder": str(launch.folder.path)}
            return where if launch.mark is None else {**where, "mark": launch.mark}
        raise TargetError(
            f"Run {launch.run_id} did not start on {host.name}: no {launch.folder.start} after {START_S:g} s.",
            "Look whether its disk is full or it is overloaded, then try again: a run starts once at most.",
        )

    def _start_here(self, host: Host, launch: Launch) -> bool:
        if not host.exists(launch.folder.path):
            raise _no_folder(host, launch)
        feed = self._waiting.pop(launch.folder, None)
        if feed is not None:
            feed(spec_of(launch))
        else:
            host.start(self._command(host, "run", launch.folder), input=spec_of(launch))
        return any(
            host.exists(launch.folder.start) or host.exists(launch.folder.exit)
            for _ in moments(START_S, FIRST_PAUSE_S, LONGEST_START_PAUSE_S)
        )

    def _start_there(self, host: Host, launch: Launch) -> bool:
        """One question: each look at another machine costs a round trip."""
        command = self._command(host, "launch", launch.folder)
        seen = self._seen(host, host.run(command, input=spec_of(launch), timeout_s=START_S + ANSWER_S))
        if seen is None:
            raise _no_folder(host, launch)
        self._remember(launch.folder, seen)
        return seen.state is not LaunchState.ABSENT

    def observe(self, host: Host, folder: RunFolder, handle: Handle) -> Observation:
        """As `Launcher.observe`; what is left of a lost run is killed."""
        if isinstance(host, LocalHost):
            from amltool.tracking.run_state import state

            return _observation(state(os.fspath(folder.path), _mark(handle)))
        command = [*self._command(host, "state", folder), *_mark_option(handle)]
        seen = self._seen(host, host.run(command, timeout_s=ANSWER_S))
        return self._remember(folder, seen or Observation(LaunchState.ABSENT))

    def is_over(self, host: Host, folder: RunFolder) -> bool:
        """As `Launcher.is_over`."""
        return self.observe(host, folder, {}).state in (LaunchState.ENDED, LaunchState.LOST)

    def live_work(self, host: Host, folder: RunFolder) -> PurePosixPath:  # noqa: ARG002
        """As `Launcher.live_work`: the run's own."""
        return folder.work

    def wait(self, host: Host, folder: RunFolder, handle: Handle, timeout_s: float) -> Observation:
        """As `Launcher.wait`; an end is seen within 25 ms, over a network within two round trips more."""
        for _ in moments(timeout_s, FIRST_WAIT_S, LONGEST_WAIT_S):
            seen = self._look(host, folder, handle)
            if seen.state is not LaunchState.RUNNING:
                break
        return seen

    def _look(self, host: Host, folder: RunFolder, handle: Handle) -> Observation:
        """Between two observations of a run on another machine, which start a process there, only its end is read."""
        at, last = self._last.get(folder, (0.0, None))
        if last is None or isinstance(host, LocalHost):
            return self.observe(host, folder, handle)
        if last.state is LaunchState.ENDED:
            return last
        if last.state is not LaunchState.RUNNING or time.monotonic() - at > OBSERVE_EVERY_S:
            return self.observe(host, folder, handle)
        (content,) = host.pieces(folder.path, [Piece(folder.exit.name, LONGEST_EXIT)])
        if isinstance(content, FileNotFoundError):
            return last
        end = exit_in(content) if isinstance(content, bytes) else None
        return Observation(LaunchState.ENDED, end) if end else self.observe(host, folder, handle)

    def _seen(self, host: Host, result: CommandResult) -> Observation | None:
        """What the bootstrap said of a run; ``None`` when it has no folder."""
        answer = _answer(host, result)
        try:
            found = msgspec.json.decode(answer.stdout)
            return None if found == NOWHERE else _observation(found)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise TargetError(
                f"{host.name} did not say how the run is: {answer.stdout[:200]!r}.", "Look who else uses it."
            ) from error

    def _remember(self, folder: RunFolder, seen: Observation) -> Observation:
        self._last[folder] = time.monotonic(), seen
        return seen

    def cancel(self, host: Host, folder: RunFolder, handle: Handle, grace_s: float = 10.0) -> None:
        """As `Launcher.cancel`."""
        if isinstance(host, LocalHost):
            from amltool.tracking.run_state import cancel

            cancel(os.fspath(folder.path), grace_s, _mark(handle))
            return
        command = [*self._command(host, "cancel", folder), "--grace", str(grace_s), *_mark_option(handle)]
        _answer(host, host.run(command, timeout_s=LONGEST_CANCEL_S + ANSWER_S))

    def forget(self, host: Host, folder: RunFolder) -> bool:  # noqa: ARG002
        """As `Launcher.forget`; a bootstrap that waits for a start that never comes is told so. What a process left is
        not looked for: a bootstrap that proves its end left nothing."""
        feed = self._waiting.pop(folder, None)
        if feed is not None:
            feed(b"")
        return False

    def end(self, host: Host, folder: RunFolder, handle: Handle) -> None:
        """As `Launcher.end`."""
        if isinstance(host, LocalHost):
            from amltool.tracking.run_state import end_all

            end_all(os.fspath(folder.path), _mark(handle))
            return
        command = [*self._command(host, "end", folder), *_mark_option(handle)]
        _answer(host, host.run(command, timeout_s=ANSWER_S))

    def left_behind(self, host: Host, clone: str) -> list[LeftBehind]:  # noqa: ARG002
        """As `Launcher.left_behind`: a process leaves nothing outside of its folder."""
        return []

    def remove_left_behind(self, host: Host, folder: RunFolder) -> None:
        """As `Launcher.remove_left_behind`: nothing."""

    def _python(self, host: Host) -> str:
        return self._interpreter or (sys.executable if isinstance(host, LocalHost) else PYTHON)

    def _command(self, host: Host, verb: str, folder: RunFolder) -> list[str]:
        bootstrap = self._bootstrap if isinstance(self._bootstrap, PurePosixPath) else self._bootstrap()
        return [self._python(host), "-I", "-S", str(bootstrap), verb, str(folder.path)]


def _mark(handle: Handle) -> int | None:
    """What a run's processes are known by; none for one that an earlier amltool started."""
    mark = handle.get("mark")
    return mark if isinstance(mark, int) else None


def _mark_option(handle: Handle) -> list[str]:
    mark = _mark(handle)
    return [] if mark is None else ["--mark", str(mark)]


def _no_folder(host: Host, launch: Launch) -> UserError:
    return UserError(f"There is no folder {launch.folder.path} on {host.name}.", "Place the snapshot first.")


def spec_of(launch: Launch) -> bytes:
    """What the bootstrap reads on its standard input, one line: names and values exact, whatever bytes they hold."""
    import json  # msgspec refuses the lone surrogates that stand for bytes that are not UTF-8

    spec: dict[str, Any] = {
        "run_id": launch.run_id,
        "command": launch.command,
        "environment": {"AMLTOOL_RUN_ID": launch.run_id, **launch.environment},
        "work": launch.folder.work.name,
        "secrets": launch.secrets,
        "timeout_s": launch.timeout_s,
        "mark": launch.mark,
        "proof": launch.proof,
    }
    return json.dumps(spec).encode("ascii") + b"\n"


def _observation(content: Any) -> Observation:
    """An observation from what `run_state.state` says; raises ValueError where it is none."""
    if not isinstance(content, dict):
        raise ValueError(content)
    end = content.get("exit")
    return Observation(LaunchState(content.get("state")), None if end is None else exit_of(end))


def _answer(host: Host, result: CommandResult) -> CommandResult:
    if result.exit_code == 0:
        return result
    said = result.stderr.decode("utf-8", "backslashreplace").strip().rpartition("\n")[2]
    raise TargetError(f"The bootstrap on {host.name} failed ({result.exit_code}): {said}.", "Try again.")


def moments(timeout_s: float, pause: float, longest: float) -> Iterator[None]:
    """Moments to look: one at once, then ever seldomer until the time is over."""
    until = time.monotonic() + timeout_s
    yield
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)
        yield
