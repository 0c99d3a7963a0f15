"""What a failure over SSH is called."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from amltool.errors import TargetError
from amltool.hosts import ssh_connection
from amltool.hosts.ssh import SshHost, SshSettings


def test_a_machine_that_takes_the_connection_and_says_nothing_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_connection, "HANDSHAKE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = SshSettings("127.0.0.1", silent.getsockname()[1], username="ada", known_hosts=(tmp_path / "none",))
        host = SshHost(settings)

        with pytest.raises(TargetError) as failed:
            host.run(["true"])

    assert failed.value.what.endswith(" is unreachable: it does not answer.")
