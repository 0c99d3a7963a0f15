"""The contract of a launcher, what more one of real processes must do, and a launcher in memory."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Protocol

import msgspec
import pytest

from amltool.errors import UserError
from amltool.hosts.base import Host
from amltool.launchers.base import Exit, Expected, Handle, Launch, Launcher, LaunchState, LeftBehind, Observation
from amltool.layout import RunFolder
from amltool.tracking.processes import LEAST_MARK
from amltool.tracking.redaction import Redactor

SOME_CODES = (0, 1, 2, 3, 7, 42, 126, 127, 128, 130, 137, 255)
SOME_SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGSEGV", "SIGPIPE", "SIGTERM")
MORE_SIGNALS = (
    *("SIGILL", "SIGTRAP", "SIGBUS", "SIGFPE", "SIGUSR1", "SIGUSR2", "SIGALRM"),
    *("SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGSYS"),
)
"""The signals that end a process by default, on every system we know."""


@dataclass(frozen=True, slots=True)
class Play:
    """What a fake run does: how it ends (never by itself: ``None``), what it prints, what files it writes."""

    exit: Exit | None = field(default_factory=lambda: Exit(exit_code=0))
    console: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Path below the run's ``work`` folder -> content."""


def play_by_words(launch: Launch) -> Play:
    """``exits 7``, ``dies-by SIGKILL``, ``prints TEXT``, ``goes-on``; any other command is not there."""
    word, *rest = launch.command
    if word == "exits":
        return Play(Exit(exit_code=int(rest[0])))
    if word == "dies-by":
        return Play(Exit(signal=rest[0]))
    if word == "prints":
        return Play(console=os.fsencode(rest[0]))
    if word == "goes-on":
        return Play(None)
    return Play(Exit(exit_code=127, reason=f"cannot start {word}: No such file or directory"))


class FakeLauncher:
    """Plays runs on any host, also a fake one; all it knows lies in the folder of the run, as for a real one."""

    def __init__(self, play: Callable[[Launch], Play] = play_by_words) -> None:
        self._play = play

    def get_ready(self, host: Host, expected: Expected) -> None:
        """Nothing is needed beforehand."""

    def start(self, host: Host, launch: Launch) -> Handle:
        folder = launch.folder
        if not host.exists(folder.path):
            raise UserError(f"There is no folder {folder.path} on {host.name}.", "Place the snapshot first.")
        if not host.exists(folder.start):
            play = self._play(launch)
            host.write(folder.start, msgspec.json.encode({"at": time.time(), "timeout_s": launch.timeout_s}))
            redactor = Redactor(launch.secrets)
            host.write(folder.console, redactor.redact(play.console) + redactor.redact(b""))
            for path, content in play.files.items():
                host.write(folder.work / path, content)
            if play.exit is not None:
                host.write(folder.exit, msgspec.json.encode(play.exit))
        return {"kind": "fake", "folder": str(folder.path)}

    def observe(self, host: Host, folder: RunFolder, handle: Handle) -> Observation:  # noqa: ARG002
        if host.exists(folder.exit):
            return Observation(LaunchState.ENDED, msgspec.json.decode(host.read(folder.exit), type=Exit))
        if not host.exists(folder.start):
            return Observation(LaunchState.ABSENT)
        start = json.loads(host.read(folder.start))
        if start.get("lost"):
            return Observation(LaunchState.LOST, Exit(reason="the bootstrap was killed"))
        if start["timeout_s"] is not None and time.time() > start["at"] + start["timeout_s"]:
            end = Exit(signal="SIGTERM", reason=f"time-out after {start['timeout_s']:g} s")
            host.write(folder.exit, msgspec.json.encode(end))
            return Observation(LaunchState.ENDED, end)
        return Observation(LaunchState.RUNNING)

    def is_over(self, host: Host, folder: RunFolder) -> bool:
        return self.observe(host, folder, {}).state in (LaunchState.ENDED, LaunchState.LOST)

    def live_work(self, host: Host, folder: RunFolder) -> PurePosixPath:  # noqa: ARG002
        return folder.work

    def wait(self, host: Host, folder: RunFolder, handle: Handle, timeout_s: float) -> Observation:
        until = time.monotonic() + timeout_s
        while (seen := self.observe(host, folder, handle)).state is LaunchState.RUNNING and time.monotonic() < until:
            time.sleep(0.005)
        return seen

    def cancel(self, host: Host, folder: RunFolder, handle: Handle, grace_s: float = 10.0) -> None:  # noqa: ARG002
        if self.observe(host, folder, handle).state is LaunchState.RUNNING:
            end = Exit(signal="SIGTERM", reason="canceled", canceled=True)
            host.write(folder.exit, msgspec.json.encode(end))

    def forget(self, host: Host, folder: RunFolder) -> bool:  # noqa: ARG002
        """Nothing is left outside of the run's folder."""
        return True

    def end(self, host: Host, folder: RunFolder, handle: Handle) -> None:
        """Nothing is alive."""

    def left_behind(self, host: Host, clone: str) -> list[LeftBehind]:  # noqa: ARG002
        return []

    def remove_left_behind(self, host: Host, folder: RunFolder) -> None:
        """Nothing is left outside of the run's folder."""

    def lose(self, host: Host, folder: RunFolder) -> None:
        """Let a running run get lost, as when its bootstrap is killed."""
        start = json.loads(host.read(folder.start))
        host.write(folder.start, msgspec.json.encode({**start, "lost": True}))


class Commands(Protocol):
    """How to say, to one launcher, what a run is to do."""

    def exits(self, code: int) -> list[str]: ...

    def dies_by(self, name: str) -> list[str]: ...

    def prints(self, text: str) -> list[str]: ...

    def goes_on(self) -> list[str]: ...


class WordCommands:
    """For a `FakeLauncher`."""

    def exits(self, code: int) -> list[str]:
        return ["exits", str(code)]

    def dies_by(self, name: str) -> list[str]:
        return ["dies-by", name]

    def prints(self, text: str) -> list[str]:
        return ["prints", text]

    def goes_on(self) -> list[str]:
        return ["goes-on"]


@dataclass(frozen=True, slots=True)
class RealCommands:
    """For a launcher of real processes; ``python`` is an interpreter there."""

    python: str

    def exits(self, code: int) -> list[str]:
        return ["sh", "-c", f"exit {code}"]

    def dies_by(self, name: str) -> list[str]:
        number = getattr(signal, name).value
        return self.script(
            "import os, resource, signal, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
            f"number = {number}; number in (9, 19) or signal.signal(number, signal.SIG_DFL);"
            "os.kill(os.getpid(), number); signal.pause()"
        )

    def prints(self, text: str) -> list[str]:
        return ["printf", "%s", text]

    def goes_on(self) -> list[str]:
        return ["sleep", "300"]

    def script(self, text: str, *arguments: str) -> list[str]:
        return [self.python, "-I", "-S", "-c", text, *arguments]


class LauncherContract:
    """What every launcher does. Override `host`, `launcher`, `commands`, `given` and `lose`."""

    lost_reason = "the bootstrap was killed"
    """What is said of a run after `lose`."""

    @pytest.fixture
    def host(self) -> Host:
        raise NotImplementedError

    @pytest.fixture
    def launcher(self, host: Host) -> Launcher:
        raise NotImplementedError

    @pytest.fixture
    def commands(self) -> Commands:
        raise NotImplementedError

    @pytest.fixture
    def given(self) -> Mapping[str, Any]:
        """Fields that every launch needs."""
        return {"environment": {"PATH": os.environ["PATH"]}}

    @pytest.fixture
    def run(self, host: Host, launcher: Launcher, given: Mapping[str, Any]) -> Iterator[Runs]:
        runs = Runs(host, launcher, host.root / "runs", given)
        yield runs
        runs.forget()

    def lose(self, run: Runs, folder: RunFolder) -> None:
        """Kill what watches over a run, as the kernel does when memory is short."""
        raise NotImplementedError

    @pytest.mark.parametrize("code", SOME_CODES)
    def test_an_exit_code_is_exact(self, run: Runs, commands: Commands, code: int) -> None:
        end = run.to_its_end(commands.exits(code))
        assert (end.exit_code, end.signal, end.canceled) == (code, None, False)

    @pytest.mark.torture
    def test_every_exit_code_is_exact(self, run: Runs, commands: Commands) -> None:
        assert [run.to_its_end(commands.exits(code)).exit_code for code in range(256)] == list(range(256))

    @pytest.mark.parametrize("name", SOME_SIGNALS)
    def test_a_fatal_signal_is_exact(self, run: Runs, commands: Commands, name: str) -> None:
        end = run.to_its_end(commands.dies_by(name))
        assert (end.exit_code, end.signal, end.reason) == (None, name, None)

    @pytest.mark.torture
    @pytest.mark.parametrize("name", MORE_SIGNALS)
    def test_every_other_fatal_signal_is_exact(self, run: Runs, commands: Commands, name: str) -> None:
        self.test_a_fatal_signal_is_exact(run, commands, name)

    def test_a_command_that_is_not_there_ends_as_in_a_shell(self, run: Runs) -> None:
        end = run.to_its_end(["no-such-program-anywhere"])
        assert end.exit_code == 127
        assert end.reason == "cannot start no-such-program-anywhere: No such file or directory"

    def test_a_folder_that_is_not_there_is_the_users_to_put_right(self, run: Runs, commands: Commands) -> None:
        with pytest.raises(UserError, match="There is no folder"):
            run.launcher.start(run.host, run.launch(commands.exits(0), placed=False))

    def test_the_console_is_what_was_printed(self, run: Runs, commands: Commands) -> None:
        folder = run.launch(commands.prints("räksmörgås\n\nno end of line")).folder
        run.to_its_end(commands.prints("räksmörgås\n\nno end of line"), folder)
        assert run.host.read(folder.console).decode() == "räksmörgås\n\nno end of line"

    def test_a_second_start_has_no_effect(self, run: Runs, commands: Commands) -> None:
        launch = run.launch(commands.prints("once\n"))
        first = run.launcher.start(run.host, launch)
        run.launcher.wait(run.host, launch.folder, first, 120)
        again = run.launcher.start(run.host, launch)
        time.sleep(0.1)
        assert again == first
        assert run.host.read(launch.folder.console) == b"once\n"

    def test_starts_at_the_same_time_are_one(self, run: Runs, commands: Commands) -> None:
        launch = run.launch(commands.prints("once\n"))
        handles: list[Handle] = []
        starts = [
            threading.Thread(target=lambda: handles.append(run.launcher.start(run.host, launch))) for _ in range(4)
        ]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        run.launcher.wait(run.host, launch.folder, handles[0], 120)
        time.sleep(0.1)
        assert handles == [handles[0]] * 4
        assert run.host.read(launch.folder.console) == b"once\n"

    def test_a_handle_is_plain_json_without_secrets(self, run: Runs, commands: Commands) -> None:
        launch = run.launch(commands.exits(0), environment={"TOKEN": "hunter22"}, secrets=["hunter22"])
        handle = run.launcher.start(run.host, launch)
        kept = json.dumps(handle)
        assert "hunter22" not in kept
        assert run.launcher.wait(run.host, launch.folder, json.loads(kept), 120).state is LaunchState.ENDED

    def test_a_run_that_was_not_started_is_absent(self, run: Runs, commands: Commands) -> None:
        folder = run.launch(commands.exits(0)).folder
        assert run.launcher.observe(run.host, folder, {}) == Observation(LaunchState.ABSENT)

    def test_waiting_ends_with_its_time(self, run: Runs, commands: Commands) -> None:
        folder, handle = run.started(commands.goes_on())
        begun = time.monotonic()
        assert run.launcher.wait(run.host, folder, handle, 0.2).state is LaunchState.RUNNING
        assert 0.15 < time.monotonic() - begun < 60
        run.launcher.cancel(run.host, folder, handle)

    def test_a_canceled_run_says_so(self, run: Runs, commands: Commands) -> None:
        folder, handle = run.started(commands.goes_on())
        run.launcher.cancel(run.host, folder, handle)
        seen = run.launcher.observe(run.host, folder, handle)
        assert seen.state is LaunchState.ENDED
        assert seen.exit is not None
        assert (seen.exit.signal, seen.exit.reason, seen.exit.canceled) == ("SIGTERM", "canceled", True)

    def test_a_run_that_ended_is_left_as_it_ended(self, run: Runs, commands: Commands) -> None:
        folder, handle = run.started(commands.exits(3))
        before = run.launcher.wait(run.host, folder, handle, 120)
        run.launcher.cancel(run.host, folder, handle)
        assert run.launcher.observe(run.host, folder, handle) == before
        assert before.exit is not None
        assert not before.exit.canceled

    def test_a_run_over_its_time_is_ended_and_says_so(self, run: Runs, commands: Commands) -> None:
        end = run.to_its_end(commands.goes_on(), timeout_s=0.3)
        assert (end.signal, end.reason, end.canceled) == ("SIGTERM", "time-out after 0.3 s", False)

    def test_a_lost_run_says_why(self, run: Runs, commands: Commands) -> None:
        folder, handle = run.started(commands.goes_on())
        self.lose(run, folder)
        seen = run.launcher.wait(run.host, folder, handle, 120)
        assert seen.state is LaunchState.LOST
        assert seen.exit is not None
        assert seen.exit.reason == self.lost_reason
        assert run.launcher.observe(run.host, folder, handle).state is LaunchState.LOST

    def test_a_run_is_over_when_it_ended_and_not_before_whoever_started_it(self, run: Runs, commands: Commands) -> None:
        folder, handle = run.started(commands.goes_on())
        assert not run.launcher.is_over(run.host, folder)
        run.launcher.cancel(run.host, folder, handle)
        assert run.launcher.is_over(run.host, folder)

    def test_a_run_that_is_lost_is_over(self, run: Runs, commands: Commands) -> None:
        folder, _ = run.started(commands.goes_on())
        self.lose(run, folder)
        until = time.monotonic() + 120
        while not run.launcher.is_over(run.host, folder) and time.monotonic() < until:
            time.sleep(0.05)
        assert run.launcher.is_over(run.host, folder)

    def test_getting_ready_has_no_effect_by_itself(self, run: Runs, commands: Commands) -> None:
        launch = run.launch(commands.prints("hello."))
        for known in expected(launch):
            run.launcher.get_ready(run.host, known)
        assert run.launcher.observe(run.host, launch.folder, {}).state is LaunchState.ABSENT
        assert run.launcher.wait(run.host, launch.folder, {}, 0.1).state is LaunchState.ABSENT

    def test_a_run_that_was_made_ready_starts_once(self, run: Runs, commands: Commands) -> None:
        launch = run.launch(commands.prints("hello."))
        for known in expected(launch):
            run.launcher.get_ready(run.host, known)
        handle = run.launcher.start(run.host, launch)
        assert run.launcher.start(run.host, launch) == handle
        run.launcher.wait(run.host, launch.folder, handle, 120)
        assert run.host.read(launch.folder.console) == b"hello."

    def test_no_secret_is_in_the_console(self, run: Runs, commands: Commands) -> None:
        launch = run.launch(commands.prints("the token is hunter22."), secrets=["hunter22"])
        run.launcher.wait(run.host, launch.folder, run.launcher.start(run.host, launch), 120)
        assert run.host.read(launch.folder.console) == b"the token is [redacted]."


def expected(launch: Launch) -> tuple[Expected, Expected]:
    """What is known of a launch before its environment is prepared, and after."""
    first = Expected(run_id=launch.run_id, folder=launch.folder, labels=launch.labels)
    known = {"image": launch.image, "python": launch.python, "accounts": launch.accounts}
    return first, msgspec.structs.replace(first, **known)


@dataclass(slots=True)
class Runs:
    """Makes and starts runs for the tests of a launcher; ``given`` are fields of every launch."""

    host: Host
    launcher: Launcher
    within: PurePosixPath
    given: Mapping[str, Any] = field(default_factory=lambda: {"environment": {"PATH": os.environ["PATH"]}})
    folders: list[RunFolder] = field(default_factory=list)

    def launch(self, command: list[str], *, placed: bool = True, **more: Any) -> Launch:
        """A launch in a folder of its own, whose ``work`` is there when ``placed``."""
        run_id = f"20260101T000000-abcdef0-{random.Random().randbytes(4).hex()}"  # noqa: S311
        folder = RunFolder(self.within / run_id)
        if placed:
            self.host.make_folder(folder.work)
        self.folders.append(folder)
        environment = {**self.given.get("environment", {}), **more.pop("environment", {})}
        marks = {"mark": LEAST_MARK + random.getrandbits(56), "proof": run_id}
        fields = {**marks, **self.given, **more, "environment": environment}
        return Launch(run_id=run_id, folder=folder, command=command, **fields)

    def forget(self) -> None:
        """Leave nothing of any run outside of its folder."""
        for folder in self.folders:
            self.launcher.forget(self.host, folder)

    def started(self, command: list[str], **more: Any) -> tuple[RunFolder, Handle]:
        launch = self.launch(command, **more)
        return launch.folder, self.launcher.start(self.host, launch)

    def to_its_end(self, command: list[str], folder: RunFolder | None = None, **more: Any) -> Exit:
        """Run a command, in a folder of its own unless one is given, and say how it ended."""
        launch = self.launch(command, **more)
        if folder is not None:
            launch = msgspec.structs.replace(launch, folder=folder)
        handle = self.launcher.start(self.host, launch)
        seen = self.launcher.wait(self.host, launch.folder, handle, 120)
        assert seen.state is LaunchState.ENDED
        assert seen.exit is not None
        return seen.exit
