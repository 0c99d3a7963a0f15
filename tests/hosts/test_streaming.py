"""Locks of a machine that live as long as whoever holds them; small programs that are evaluated there."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from amltool.errors import TargetError
from amltool.hosts.local import LocalHost
from amltool.hosts.ssh import SshHost
from amltool.hosts.streaming import evaluated, held_there, streaming
from tests.components.ssh_machine import SshMachine


@pytest.fixture
def lock(ssh_host: SshHost) -> PurePosixPath:
    return ssh_host.root / "locks" / "one"


def test_a_lock_is_held_by_one_client(ssh_host: SshHost, lock: PurePosixPath) -> None:
    with held_there(ssh_host, lock), pytest.raises(BlockingIOError), held_there(ssh_host, lock, wait=False):
        pass
    with held_there(ssh_host, lock, wait=False):
        assert ssh_host.exists(lock)


def test_a_lock_goes_with_the_connection_of_its_holder(
    ssh_host: SshHost, ssh_machine: SshMachine, lock: PurePosixPath
) -> None:
    with held_there(ssh_host, lock):
        ssh_machine.restart_sshd()
        with held_there(ssh_host, lock, wait=True):
            assert ssh_host.exists(lock)


def test_a_lock_that_cannot_be_made_is_said(ssh_host: SshHost) -> None:
    with (
        pytest.raises(TargetError, match=r"/proc/none/one .* cannot be locked"),
        held_there(ssh_host, PurePosixPath("/proc/none/one")),
    ):
        pass


def test_this_machine_needs_none_of_it() -> None:
    assert streaming(LocalHost()) is None


ADDS = "def main(one, other):\n    return [one + other]\n"


def test_a_small_program_is_evaluated_in_a_process_where_there_is_none() -> None:
    assert evaluated(LocalHost(), ADDS, ["a", "é\n"]) == ["aé\n"]


def test_a_small_program_that_fails_says_why() -> None:
    with pytest.raises(TargetError, match="ZeroDivisionError"):
        evaluated(LocalHost(), "def main():\n    1 / 0\n", [])
