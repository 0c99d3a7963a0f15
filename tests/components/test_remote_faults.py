"""Faults of the link to a machine over SSH and of the machine: what is said, and that nothing is lost or doubled."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import artifacts, completed, runs, submit, unfinished
from tests.components.remote_projects import (
    FORGOTTEN_S,
    SAMPLED,
    Client,
    ends_over_there,
    lines,
    make_of,
    nothing_is_left,
    record,
    slow_line,
    start,
    submitting,
    tell_to_end,
    when_at,
)
from tests.components.ssh_machine import SshMachine
from tests.waiting import promised

SAID_S = 15.0
SLOW_BITS_PER_S = 100_000
LARGE = {
    "large.py": """
import os
with open("outputs/large.bin", "wb") as stream:
    for _ in range(120):
        stream.write(os.urandom(1 << 20))
print("written", flush=True)
"""
}


@pytest.fixture
def project(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with the target ``vm`` of each kind."""
    return make_of(kind, request, tmp_path)


@pytest.fixture
def docker_project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_of("remotedocker", request, tmp_path)


@contextmanager
def cut(machine: SshMachine, for_s: float = 0.0) -> Iterator[float]:
    """No packet goes through while the block runs, and for so long at least; gives the time of the cut."""
    machine.cut()
    at = time.monotonic()
    try:
        yield at
        time.sleep(max(0.0, at + for_s - time.monotonic()))
    finally:
        machine.mend()


def console_digest(project: Path, run_id: str) -> str:
    return artifacts(record(project, run_id))["console.log"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# the link


def check_cut(project: Path, machine: SshMachine, *, cut_s: float, ends_meanwhile: bool) -> None:
    """Cut the link of a submit and of a `logs -f` beside it for so long at least; the run ends then or after it."""
    client = submitting(project, "told.py")
    client.prints("line 9")
    assert client.run_id is not None
    follower = Client(project, "logs", "--follow", client.run_id)
    follower.prints("line 9")
    with cut(machine, cut_s) as at:
        assert client.says("is unreachable") - at <= promised(SAID_S)
        assert follower.says("is unreachable") - at <= promised(SAID_S)
        if ends_meanwhile:
            ends_over_there(machine, client.run_id)
    if not ends_meanwhile:
        assert (client.process.poll(), follower.process.poll()) == (None, None)
        tell_to_end(machine, client.run_id)
    assert (client.end(), follower.end()) == (0, 0), client.said
    assert "It answers again." in client.said
    assert client.printed == lines(20)
    assert follower.printed == lines(20)
    assert console_digest(project, client.run_id) == digest(lines(20))
    nothing_is_left(project, machine, cut=True)


def test_a_cut_link_is_said_and_nothing_of_the_console_is_lost_or_doubled(
    project: Path, kind: str, ssh_machine: SshMachine
) -> None:
    check_cut(project, ssh_machine, cut_s=0.0, ends_meanwhile=kind == "remotedocker")


@pytest.mark.torture
@pytest.mark.parametrize("ends_meanwhile", [False, True])
def test_a_link_that_is_cut_for_40_seconds(project: Path, ssh_machine: SshMachine, *, ends_meanwhile: bool) -> None:
    check_cut(project, ssh_machine, cut_s=40.0, ends_meanwhile=ends_meanwhile)
    if ends_meanwhile:
        nothing_is_left(project, ssh_machine, FORGOTTEN_S)


def test_a_machine_that_does_not_answer_is_said_soon_and_says_nothing_of_its_runs(
    project: Path, ssh_machine: SshMachine
) -> None:
    run_id = start(project, "told.py")
    with cut(ssh_machine) as at:
        refused = submit(project, "once.py", target="vm")
        refused_s = time.monotonic() - at
        listed = amltool(project, "runs").stdout
    assert (refused.exit_code, refused.record) == (1, {})
    assert f"{ssh_machine.address} is unreachable" in refused.said
    assert refused_s < promised(SAID_S)
    assert [line.split()[2] for line in listed.splitlines() if line.startswith(run_id)] == ["Running"]
    tell_to_end(ssh_machine, run_id)
    amltool(project, "wait", run_id)
    assert record(project, run_id)["status"] == "Completed"
    nothing_is_left(project, ssh_machine, cut=True)


@SAMPLED
def test_a_link_that_is_cut_while_a_snapshot_is_placed_leaves_nothing_to_do_but_to_submit_again(
    project: Path, ssh_machine: SshMachine
) -> None:
    completed(submit(project, "once.py", target="vm"))
    (project / "large.bin").write_bytes(random.Random(3).randbytes(100 << 20))
    client = submitting(project, "once.py")
    assert when_at(project, client, "prepared")
    with cut(ssh_machine) as at:
        assert client.end() == 1, client.said
        assert time.monotonic() - at < promised(SAID_S + 5)
    assert "is unreachable" in client.said
    (project / "large.bin").unlink()
    amltool(project, "runs")  # any command that reaches the machine tidies up
    assert [run["status"] for run in runs(project) if run["run_id"] == client.run_id] == ["Canceled"]
    assert "is unreachable" in record(project, client.run_id or "")["reason"]
    again = completed(submit(project, "once.py", target="vm"))
    assert amltool(project, "logs", again["run_id"]).stdout == lines(5)
    assert unfinished(project) == []
    nothing_is_left(project, ssh_machine, cut=True)


@SAMPLED
def test_a_link_that_is_cut_while_outputs_are_collected_is_waited_for(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path, LARGE)
    client = submitting(project, "large.py")
    assert when_at(project, client, "ended")
    with cut(ssh_machine, 3.0) as at:
        assert client.says("is unreachable") - at <= promised(SAID_S)
    assert client.end() == 0, client.said
    found = record(project, client.run_id or "")
    assert (found["status"], found["omitted"]) == ("Completed", [])
    assert {"console.log", "outputs/large.bin"} <= {*artifacts(found)}
    assert {artifact["path"]: artifact["size"] for artifact in found["artifacts"]}["outputs/large.bin"] == 120 << 20
    nothing_is_left(project, ssh_machine, cut=True)


@pytest.fixture
def slow_project(kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path) -> Iterator[Path]:
    """A project whose target is reached over a line of 100 kbit/s each way."""
    with slow_line(ssh_machine, SLOW_BITS_PER_S) as address:
        yield make_of(kind, request, tmp_path, address=address)


def check_slow(project: Path, machine: SshMachine, count: int) -> None:
    client = submitting(project, "count.py", str(count), "0")
    assert client.end(240) == 0, client.said
    assert "unreachable" not in client.said
    assert client.printed == lines(count)
    assert console_digest(project, client.run_id or "") == digest(lines(count))
    nothing_is_left(project, machine)


@SAMPLED
def test_a_link_of_100_kbit_is_slow_and_not_gone(slow_project: Path, ssh_machine: SshMachine) -> None:
    check_slow(slow_project, ssh_machine, 4_000)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_a_large_console_over_a_link_of_100_kbit(slow_project: Path, ssh_machine: SshMachine) -> None:
    check_slow(slow_project, ssh_machine, 50_000)


# its SSH server


@pytest.mark.parametrize("whole", [True, False], ids=["with all its connections", "the listener alone"])
def test_an_sshd_that_is_restarted_is_not_noticed(project: Path, ssh_machine: SshMachine, *, whole: bool) -> None:
    client = submitting(project, "told.py")
    client.prints("line 9")
    ssh_machine.restart_sshd(whole=whole)
    tell_to_end(ssh_machine, client.run_id)
    assert (client.end(), client.printed) == (0, lines(20)), client.said
    nothing_is_left(project, ssh_machine)


@SAMPLED
def test_an_sshd_that_is_away_for_a_while_is_waited_for(project: Path, ssh_machine: SshMachine) -> None:
    client = submitting(project, "told.py")
    client.prints("line 9")
    ssh_machine.stop_sshd()
    client.says("is unreachable")
    ssh_machine.start_sshd()
    tell_to_end(ssh_machine, client.run_id)
    assert (client.end(), client.printed) == (0, lines(20)), client.said
    assert "It answers again." in client.said
    nothing_is_left(project, ssh_machine)


# its Docker


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_docker_that_is_restarted_is_the_reason(docker_project: Path, ssh_machine: SshMachine, how: str) -> None:
    client = submitting(docker_project, "count.py", "400", "0.25")
    client.prints("line 1")
    if how == "stopped":
        ssh_machine.stop_docker()
    else:
        ssh_machine.kill_docker()
        time.sleep(1)
    ssh_machine.start_docker()
    assert client.end() != 0
    found = record(docker_project, client.run_id or "")
    reasons = {"the Docker daemon was restarted", *(["the Docker daemon was stopped"] if how == "stopped" else [])}
    assert found["status"] == "Failed"
    assert found["reason"] in reasons
    assert lines(400).startswith(client.printed)
    assert console_digest(docker_project, client.run_id or "") == digest(client.printed)
    nothing_is_left(docker_project, ssh_machine)


def test_a_docker_that_keeps_its_containers_while_it_is_restarted_loses_nothing(
    docker_project: Path, ssh_machine: SshMachine
) -> None:
    ssh_machine.stop_docker()
    ssh_machine.start_docker("--live-restore")
    try:
        client = submitting(docker_project, "told.py")
        client.prints("line 9")
        ssh_machine.stop_docker()
        time.sleep(1)
        ssh_machine.start_docker("--live-restore")
        tell_to_end(ssh_machine, client.run_id)
        assert (client.end(), client.printed) == (0, lines(20)), client.said
        nothing_is_left(docker_project, ssh_machine)
    finally:
        ssh_machine.stop_docker()


# the machine


def test_a_machine_that_restarts_is_the_reason(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path, address="vm.example")
    call(ssh_machine, "vm.example")
    client = submitting(project, "count.py", "400", "0.25")
    client.prints("line 1")
    ssh_machine.reboot()
    call(ssh_machine, "vm.example")
    if kind == "remotedocker":
        ssh_machine.start_docker()
    assert client.end() != 0
    found = record(project, client.run_id or "")
    assert (found["status"], found["reason"]) == ("Failed", "host restarted")
    assert console_digest(project, client.run_id or "") == digest(client.printed)
    nothing_is_left(project, ssh_machine)


def call(machine: SshMachine, name: str) -> None:
    """Give a machine a name in this user's ``~/.ssh/config``, whatever its address is now."""
    machine.known_to(Path.home())
    (Path.home() / ".ssh/config").write_text(f"Host {name}\n  HostName {machine.address}\n")
