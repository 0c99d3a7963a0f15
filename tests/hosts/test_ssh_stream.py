"""A channel that is opened before it is needed, with an interpreter in it that waits for its command."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from amltool.errors import TargetError
from amltool.hosts import ssh_requests, ssh_stream
from amltool.hosts.ssh import SshHost, SshSettings
from amltool.hosts.ssh_failures import LostError
from amltool.hosts.streaming import evaluated
from tests.components.ssh_machine import SshMachine

WAITING = "exec(bytes.fromhex"


def ours(machine: SshMachine) -> list[str]:
    return [line for line in machine.execute(["ps", "-u", machine.user, "-o", "args="])[1].splitlines() if line]


def pythons(machine: SshMachine) -> int:
    return sum(line.startswith("python3") for line in ours(machine))


def test_a_command_is_started_in_the_channel_that_waits(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_host.connect(streams_soon=True)
    with ssh_host.open_stream(["sh", "-c", 'printf %s "$0"; cat', "a 'b'\n\udce9"]) as stream:
        stream.write(b" and what it reads")
        stream.close_writing()
        assert stream.read() == b"a 'b'\n\xe9 and what it reads"
        assert stream.wait() == 0
        assert pythons(ssh_machine) == 1


def test_the_next_command_has_a_channel_of_its_own(ssh_host: SshHost) -> None:
    ssh_host.connect(streams_soon=True)
    with ssh_host.open_stream(["echo", "one"]) as one, ssh_host.open_stream(["echo", "two"]) as two:
        assert (one.read(), two.read()) == (b"one\n", b"two\n")


def test_a_missing_program_is_said(ssh_host: SshHost) -> None:
    ssh_host.connect(streams_soon=True)
    with ssh_host.open_stream(["no-such-program"]) as stream, pytest.raises(FileNotFoundError):
        stream.wait()


def test_a_channel_that_was_ended_there_is_replaced(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_host.connect(streams_soon=True)
    ssh_host.run(["true"])  # by now both are there
    ssh_machine.execute(["pkill", "-KILL", "-n", "-u", ssh_machine.user, "-f", WAITING])
    ssh_host.run(["sleep", "0.2"])
    with ssh_host.open_stream(["echo", "hello"]) as stream:
        assert stream.read() == b"hello\n"


def test_it_ends_with_the_connection(ssh_host: SshHost, ssh_machine: SshMachine) -> None:
    ssh_host.connect(streams_soon=True)
    ssh_host.run(["true"])
    ssh_host.close()
    for _ in range(100):
        if not pythons(ssh_machine):
            return
        ssh_machine.execute(["sleep", "0.05"])
    pytest.fail(f"left there: {ours(ssh_machine)}")


def test_a_small_program_is_evaluated_without_another_process(ssh_host: SshHost) -> None:
    pid = "import os\ndef main(*words):\n    return [os.getpid(), *words]\n"
    assert evaluated(ssh_host, pid, ["é"]) == [evaluated(ssh_host, pid, [])[0], "é"]


def test_an_error_of_a_small_program_is_met_here(ssh_host: SshHost) -> None:
    with pytest.raises(FileNotFoundError):
        evaluated(ssh_host, "def main(path):\n    open(path)\n", ["/no/such/file"])
    with pytest.raises(TargetError, match="ZeroDivisionError"):
        evaluated(ssh_host, "def main():\n    1 / 0\n", [])


def test_a_cut_behind_another_machine_ends_a_stream(
    isolated_home: Path, ssh_machine: SshMachine, ssh_jump: SshMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_stream, "STUCK_S", 2.0)
    monkeypatch.setattr(ssh_requests, "WORD_S", 1.0)
    ssh_machine.known_behind(ssh_jump, isolated_home)
    host = SshHost(SshSettings(ssh_machine.address, username=ssh_machine.user, key_file=ssh_machine.key_file))
    with contextlib.closing(host), host.open_stream(["cat"]) as stream:
        stream.write(b"hello")
        assert stream.read(5) == b"hello"
        ssh_machine.cut()
        with pytest.raises(LostError):
            stream.read(1)


def test_a_silent_command_is_waited_for(ssh_host: SshHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_stream, "STUCK_S", 0.1)
    with ssh_host.open_stream(["sh", "-c", "sleep 2.5; echo late"]) as stream:
        assert stream.read() == b"late\n"
