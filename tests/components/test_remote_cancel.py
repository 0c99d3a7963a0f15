"""A cancel of a run on another machine, at any time and over any link: within 15 s nothing of it is left over there."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import PLAIN, ended_at, unfinished
from tests.components.remote_projects import (
    SAMPLED,
    Client,
    make_of,
    nothing_is_left,
    record,
    slow_line,
    submitting,
    when_at,
)
from tests.components.ssh_machine import SshMachine
from tests.waiting import promised, wait_until

CANCELED_S = 15.0
POLITE = """
import time
print("polite", flush=True)
time.sleep(4711)
"""
INDEX_PID, ASKED = "/var/tmp/silent-index.pid", "/var/tmp/silent-index.asked"
SILENT_INDEX = (
    "import os, socket, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); "
    f"s.bind(('0.0.0.0', 8099)); s.listen(); open('{INDEX_PID}', 'w').write(str(os.getpid())); "
    f"kept = s.accept(); open('{ASKED}', 'w').close(); time.sleep(600)"
)
"""A package index that takes calls and says nothing; the first call leaves a file."""


@pytest.fixture
def project(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with the target ``vm`` of each kind."""
    return make_of(kind, request, tmp_path, {"polite.py": POLITE})


def cancel(project: Path, client: Client) -> float:
    """Cancel the run of a client from another process; how many seconds later it was over."""
    assert client.run_id is not None
    asked = time.time()
    amltool(project, "cancel", client.run_id)
    assert client.end() == 130, client.said
    return ended_at(record(project, client.run_id)) - asked


def is_there(machine: SshMachine, path: str) -> bool:
    return machine.execute(["test", "-s" if path == INDEX_PID else "-e", path])[0] == 0


def is_canceled(project: Path, client: Client) -> None:
    assert record(project, client.run_id or "")["status"] == "Canceled"
    assert unfinished(project) == []


def test_a_deaf_run_with_a_child_that_got_away_is_gone(project: Path, ssh_machine: SshMachine) -> None:
    client = submitting(project, "deaf.py")
    client.prints("deaf")
    assert cancel(project, client) <= promised(CANCELED_S)
    is_canceled(project, client)
    nothing_is_left(project, ssh_machine)


@pytest.mark.torture
def test_a_run_at_the_end_of_a_slow_link_is_gone(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    with slow_line(ssh_machine, 100_000) as address:
        project = make_of(kind, request, tmp_path, {"polite.py": POLITE}, address=address)
        client = submitting(project, "polite.py")
        client.prints("polite", 120)
        assert cancel(project, client) <= promised(CANCELED_S)
        is_canceled(project, client)
        nothing_is_left(project, ssh_machine)


@SAMPLED
def test_a_run_whose_snapshot_is_being_placed_never_starts(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    with slow_line(ssh_machine, 8e6) as address:
        project = make_of(kind, request, tmp_path, address=address)
        amltool(project, "prepare", "--target", "vm")
        (project / "large.bin").write_bytes(random.Random(4).randbytes(40 << 20))  # 40 s on this line
        client = submitting(project, "once.py")
        assert when_at(project, client, "prepared")
        client.says("RunId: ")
        assert cancel(project, client) <= promised(CANCELED_S)
        is_canceled(project, client)
        nothing_is_left(project, ssh_machine)


def test_a_run_whose_environment_is_being_built_never_starts(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    place = {"remote": "127.0.0.1", "remotedocker": "172.31.213.1"}[kind]
    pip = {"indexUrl": f"http://{place}:8099/simple", "trustedHosts": [place]}  # else pip does not ask it at all
    index = {"pip": pip, "userManagedEnvironment": False}
    conda = PLAIN + f"- pip\n- pip:\n  - of-{kind}-that-never-comes==1.0\n"
    project = make_of(kind, request, tmp_path, {"aml_config/conda_dependencies.yml": conda}, **index)
    ssh_machine.execute(
        ["sh", "-c", f'rm -f {ASKED} {INDEX_PID}; setsid python3 -c "{SILENT_INDEX}" > /dev/null 2>&1 &']
    )
    wait_until(lambda: is_there(ssh_machine, INDEX_PID))  # else it is refused, and not silent
    try:
        client = submitting(project, "once.py")
        client.says("Building")
        wait_until(
            lambda: is_there(ssh_machine, ASKED) or client.process.poll() is not None, 120
        )  # it waits for the index by now, and says nothing
        assert client.process.poll() is None, client.said
        assert cancel(project, client) <= promised(CANCELED_S)
        is_canceled(project, client)
        nothing_is_left(project, ssh_machine)
    finally:
        ssh_machine.execute(["sh", "-c", f"kill $(cat {INDEX_PID})"])


@pytest.mark.torture
@pytest.mark.timeout(1200)
def test_twenty_five_cancels_at_random_times_leave_no_orphan(project: Path, ssh_machine: SshMachine) -> None:
    chance = random.Random(50)
    took_s = []
    for _ in range(25):
        client = submitting(project, chance.choice(["deaf.py", "polite.py", "polite.py"]))
        client.says("RunId: ")
        time.sleep(chance.uniform(0.0, 1.5))
        took_s.append(cancel(project, client))
        is_canceled(project, client)
        nothing_is_left(project, ssh_machine)
    print(f"25 cancels: {max(took_s):.1f} s at most, {sorted(took_s)[12]:.1f} s mostly")  # noqa: T201
    assert max(took_s) <= CANCELED_S
