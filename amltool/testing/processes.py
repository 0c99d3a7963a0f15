"""The contract of a launcher of real processes: what they get, what they print, and that all of them end."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
import urllib.parse

import pytest

from amltool.launchers.base import Exit, Handle, LaunchState
from amltool.layout import RunFolder
from amltool.testing.launchers import LauncherContract, RealCommands, Runs

LONGEST_CANCEL_S = 15.0
BUSY_S = 90.0
"""The same on a machine that has much else to do."""

DAEMON = """
import os, sys, time
name, then = sys.argv[1:]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(name + ".part", "w") as stream:
            stream.write(str(os.getpid()))
        os.rename(name + ".part", name)
        for stream in range(3):
            os.close(stream)
        os.chdir("/")
        os.execvpe("sleep", ["sleep", "300"], {})
    os._exit(0)
os.wait()
while not os.path.exists(name):
    time.sleep(0.01)
time.sleep(float(then))
sys.exit(3)
"""
"""Leaves a process that forked twice, leads a session of its own, and has no variable, stream or folder of the run."""

DEAF = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
children = int(sys.argv[2])
for _ in range(children):
    if os.fork() == 0:
        time.sleep(300)
with open(sys.argv[1] + ".part", "w") as stream:
    stream.write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(300)
"""

STOPPED = "echo $$ > pid.part; mv pid.part pid; kill -STOP $$; exit 4"

PRINTER = """
import hashlib, os, sys
size, total, block = int(sys.argv[1]), hashlib.sha256(), 0
while size > 0:
    content = (b"%d " % block * 16000)[:min(size, 65000 + block % 999)]
    total.update(content)
    stream = 1 + block % 2
    while content:
        written = os.write(stream, content)
        content, size = content[written:], size - written
    block += 1
with open("sha256", "w") as stream:
    stream.write(total.hexdigest())
"""


class ProcessContract(LauncherContract):
    """What every launcher of real processes does; the commands are `RealCommands`."""

    @pytest.fixture
    def commands(self) -> RealCommands:
        raise NotImplementedError

    def pid(self, run: Runs, folder: RunFolder, name: str = "pid") -> int:
        """The process number that a command of the run wrote down."""
        until = time.monotonic() + 120
        while True:
            try:
                return int(self.read_work(run, folder, name))
            except FileNotFoundError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def is_gone(self, run: Runs, folder: RunFolder, pid: int) -> bool:  # noqa: ARG002
        """Whether a process of a run is no more."""
        return run.host.run(["ps", "-o", "stat=", "-p", str(pid)]).stdout.strip()[:1] in (b"", b"Z")

    def read_work(self, run: Runs, folder: RunFolder, name: str) -> bytes:
        """A file in the work folder of a run that goes on.

        Raises:
            FileNotFoundError: there is none yet.
        """
        return run.host.read(folder.work / name)

    def wake(self, run: Runs, folder: RunFolder, pid: int) -> None:  # noqa: ARG002
        """Let a process of a run go on that stopped itself."""
        run.host.run(["sh", "-c", 'kill -CONT "$0"', str(pid)])

    def work_in_run(self, folder: RunFolder) -> str:
        """Where a run sees its work folder."""
        return os.path.realpath(folder.work)

    def added_variables(self) -> dict[str, str]:
        """Variables that the launcher adds to those of a launch, beside ``AMLTOOL_RUN_ID``."""
        return {}

    def assert_cancel_leaves_nothing(
        self, run: Runs, started: tuple[RunFolder, Handle], grace_s: float, within_s: float = BUSY_S
    ) -> Exit:
        folder, handle = started
        pid = self.pid(run, folder)
        begun = time.monotonic()
        run.launcher.cancel(run.host, folder, handle, grace_s)
        assert time.monotonic() - begun < within_s
        assert self.is_gone(run, folder, pid)
        end = run.launcher.observe(run.host, folder, handle)
        assert end.state is LaunchState.ENDED
        assert end.exit is not None
        assert end.exit.canceled
        return end.exit

    def test_the_command_runs_in_the_work_folder(self, run: Runs) -> None:
        folder, handle = run.started(["sh", "-c", "pwd -P"])
        run.launcher.wait(run.host, folder, handle, 120)
        assert run.host.read(folder.console).decode().strip() == self.work_in_run(folder)

    def test_an_exit_that_skips_all_cleaning_up_is_exact(self, run: Runs, commands: RealCommands) -> None:
        assert run.to_its_end(commands.script("import os; os._exit(7)")).exit_code == 7

    def test_reading_standard_input_is_at_its_end_at_once(self, run: Runs) -> None:
        folder, handle = run.started(["sh", "-c", "cat; echo read"])
        run.launcher.wait(run.host, folder, handle, 120)
        assert run.host.read(folder.console) == b"read\n"

    def test_variables_are_exact_and_no_other_is_there(self, run: Runs, commands: RealCommands) -> None:
        odd = {
            "NEWLINES": "a\nb\n",
            "BYTES": os.fsdecode(b"\xff\x80 \xc3"),
            "EMPTY": "",
            "EQUALS": "a=b=",
            "WORD": "räksmörgås 🦀",
            "LONG": "x" * 100_000,
        }
        script = "import os; print(sorted((k.hex(), v.hex()) for k, v in os.environb.items() if k != b'LC_CTYPE'))"
        launch = run.launch(commands.script(script), environment=odd)
        run.launcher.wait(run.host, launch.folder, run.launcher.start(run.host, launch), 120)
        given = {**self.added_variables(), **launch.environment, "AMLTOOL_RUN_ID": launch.run_id}
        shown = sorted((os.fsencode(name).hex(), os.fsencode(value).hex()) for name, value in given.items())
        assert run.host.read(launch.folder.console).decode() == f"{shown}\n"

    def test_arguments_are_exact(self, run: Runs, commands: RealCommands) -> None:
        odd = ["", " ", "a b", "\n", "'", '"', "$HOME", "*", "\\", "--", "-x", "ü", os.fsdecode(b"\xff\x80")]
        script = "import os, sys; print([os.fsencode(argument).hex() for argument in sys.argv[1:]])"
        folder, handle = run.started(commands.script(script, *odd))
        run.launcher.wait(run.host, folder, handle, 120)
        assert run.host.read(folder.console).decode() == f"{[os.fsencode(argument).hex() for argument in odd]}\n"

    def test_a_broken_pipe_ends_a_command_silently(self, run: Runs) -> None:
        folder, handle = run.started(["sh", "-c", "yes | head -n 1"])
        run.launcher.wait(run.host, folder, handle, 120)
        assert run.host.read(folder.console) == b"y\n"

    def test_a_file_that_is_no_program_ends_as_in_a_shell(self, run: Runs) -> None:
        end = run.to_its_end(["/dev/null"])
        assert end.exit_code == 126
        assert end.reason == "cannot start /dev/null: Permission denied"

    def test_times_and_memory_are_told(self, run: Runs, commands: RealCommands) -> None:
        end = run.to_its_end(commands.script("import time; held = b'x' * 50_000_000; time.sleep(0.3)"))
        assert end.started is not None
        assert end.ended is not None
        assert end.started < end.ended
        assert end.duration_s is not None
        assert 0.3 <= end.duration_s < 10
        assert end.peak_memory is not None
        assert 50_000_000 < end.peak_memory < 500_000_000

    @pytest.mark.parametrize("secrets", [[], ["hunter22"]], ids=["straight", "redacted"])
    def test_a_long_console_is_exact(self, run: Runs, commands: RealCommands, secrets: list[str]) -> None:
        self.assert_console_is_exact(run, commands, 5_000_000, secrets)

    @pytest.mark.torture
    @pytest.mark.parametrize("secrets", [[], ["hunter22"]], ids=["straight", "redacted"])
    def test_a_console_of_100_mb_is_exact(self, run: Runs, commands: RealCommands, secrets: list[str]) -> None:
        self.assert_console_is_exact(run, commands, 100_000_000, secrets)

    def assert_console_is_exact(self, run: Runs, commands: RealCommands, size: int, secrets: list[str]) -> None:
        folder, handle = run.started(commands.script(PRINTER, str(size)), secrets=secrets)
        assert run.launcher.wait(run.host, folder, handle, 120).state is LaunchState.ENDED
        console = run.host.read(folder.console)
        assert len(console) == size
        assert hashlib.sha256(console).hexdigest() == run.host.read(folder.work / "sha256").decode()

    def test_no_secret_gets_through_in_pieces_or_encoded(self, run: Runs, commands: RealCommands) -> None:
        secret = "pässword+with/odd=chars"  # noqa: S105
        forms = [secret, base64.b64encode(secret.encode()).decode(), urllib.parse.quote(secret, safe="")]
        forms.append(base64.b64encode(f"ada:{secret}".encode()).decode())
        script = (
            "import json, os, sys, time\n"
            "for form in json.loads(sys.argv[1]):\n"
            "    form = form.encode()\n"
            "    for cut in range(1, len(form), 5):\n"
            "        os.write(1, b'<' + form[:cut])\n"
            "        time.sleep(0.01)\n"
            "        os.write(2, form[cut:] + b'>')\n"
        )
        folder, handle = run.started(commands.script(script, json.dumps(forms)), secrets=[secret])
        run.launcher.wait(run.host, folder, handle, 120)
        console = run.host.read(folder.console).decode()
        pieces = sum(len(range(1, len(form.encode()), 5)) for form in forms)
        assert console.count("[redacted]") == console.count("<") == console.count(">") == pieces
        assert not any(piece in console for piece in ("pässw", "odd", "w6Rzc3", "%C3%A4ss"))

    def test_lines_are_not_held_back_while_secrets_are_looked_for(self, run: Runs) -> None:
        folder, handle = run.started(["sh", "-c", "printf 'a line\\n'; sleep 300"], secrets=["hunter22"])
        until = time.monotonic() + 120
        while not (run.host.exists(folder.console) and run.host.read(folder.console)) and time.monotonic() < until:
            run.launcher.wait(run.host, folder, handle, 0.01)
        assert run.host.read(folder.console) == b"a line\n"
        run.launcher.cancel(run.host, folder, handle)

    def test_a_script_that_signals_its_own_group_reaches_itself_only(self, run: Runs) -> None:
        end = run.to_its_end(["sh", "-c", "trap '' TERM; kill 0; exit 5"])
        assert (end.exit_code, end.reason) == (5, None)

    def test_what_a_command_logs_is_seen_while_it_goes_on(self, run: Runs) -> None:
        script = "mkdir -p logs/a; echo one > logs/a/log; ln -s /etc/passwd logs/link; sleep 60"
        folder, handle = run.started(["sh", "-c", script])
        until, seen = time.monotonic() + 120, b""
        while not seen and time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError):
                seen = run.host.read(run.launcher.live_work(run.host, folder) / "logs" / "a" / "log")
            time.sleep(0.05)
        assert seen == b"one\n"
        assert not run.host.exists(folder.exit)
        run.launcher.cancel(run.host, folder, handle)
        assert run.host.read(run.launcher.live_work(run.host, folder) / "logs" / "a" / "log") == b"one\n"

    def test_a_stopped_run_goes_on_running(self, run: Runs) -> None:
        folder, handle = run.started(["sh", "-c", STOPPED])
        pid = self.pid(run, folder)
        assert run.launcher.wait(run.host, folder, handle, 0.2).state is LaunchState.RUNNING
        while run.launcher.observe(run.host, folder, handle).state is LaunchState.RUNNING:
            self.wake(run, folder, pid)
            time.sleep(0.02)
        end = run.launcher.observe(run.host, folder, handle)
        assert end.exit is not None
        assert end.exit.exit_code == 4

    def test_what_a_command_leaves_behind_is_terminated(self, run: Runs, commands: RealCommands) -> None:
        folder, handle = run.started(commands.script(DAEMON, "pid", "0"))
        seen = run.launcher.wait(run.host, folder, handle, 120)
        assert seen.exit is not None
        assert (seen.exit.exit_code, seen.exit.reason) == (3, None)
        assert self.is_gone(run, folder, self.pid(run, folder))

    def test_what_is_left_behind_and_deaf_is_killed(self, run: Runs, commands: RealCommands) -> None:
        script = '"$@" & while ! test -e pid; do sleep 0.01; done; exit 3'
        folder, handle = run.started(["sh", "-c", script, "sh", *commands.script(DEAF, "pid", "3")])
        seen = run.launcher.wait(run.host, folder, handle, 120)
        assert seen.exit is not None
        assert seen.exit.exit_code == 3
        assert self.is_gone(run, folder, self.pid(run, folder))

    def test_a_cancel_reaches_one_that_got_away(self, run: Runs, commands: RealCommands) -> None:
        self.assert_cancel_leaves_nothing(run, run.started(commands.script(DAEMON, "pid", "300")), 10.0)

    def test_a_cancel_kills_a_deaf_tree_after_the_grace_time(self, run: Runs, commands: RealCommands) -> None:
        begun = time.monotonic()
        self.assert_cancel_leaves_nothing(run, run.started(commands.script(DEAF, "pid", "20")), 0.5)
        assert time.monotonic() - begun > 0.5

    @pytest.mark.torture
    @pytest.mark.parametrize("grace_s", [0.0, 10.0, 1000.0])
    def test_a_cancel_is_over_in_time(self, run: Runs, commands: RealCommands, grace_s: float) -> None:
        self.assert_cancel_leaves_nothing(
            run, run.started(commands.script(DEAF, "pid", "50")), grace_s, LONGEST_CANCEL_S
        )

    def test_a_cancel_wakes_one_that_is_stopped(self, run: Runs) -> None:
        end = self.assert_cancel_leaves_nothing(run, run.started(["sh", "-c", STOPPED]), 10.0)
        assert end.signal == "SIGTERM", "it was woken, and not killed when the grace time was over"

    def test_a_lost_run_leaves_no_orphan(self, run: Runs, commands: RealCommands) -> None:
        folder, handle = run.started(commands.script(DAEMON, "pid", "300"))
        pid = self.pid(run, folder)
        self.lose(run, folder)
        assert run.launcher.wait(run.host, folder, handle, 120).state is LaunchState.LOST
        assert self.is_gone(run, folder, pid)
