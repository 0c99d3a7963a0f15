"""Answers of a machine over SSH that are as long as an honest one's may be, and longer."""

from __future__ import annotations

import random
from pathlib import PurePosixPath

import pytest

from amltool.errors import TargetError
from amltool.hosts import ssh, ssh_stream
from amltool.hosts.ssh import SshHost
from tests.waiting import wait_until

DEEP = r"""
import os, sys
os.chdir(os.fsencode(sys.argv[1]))
for _ in range(14):
    folder = b"\xff" * 250
    os.mkdir(folder)
    os.chdir(folder)
for number in range(600):
    os.close(os.open(b"%d" % number, os.O_CREAT))
"""


def test_a_command_that_prints_too_much_is_ended_with_all_it_started(ssh_host: SshHost, place: PurePosixPath) -> None:
    prints = "echo $$ >$0; yes & while :; do echo complaint >&2; done"
    with pytest.raises(TargetError, match=r"sh on .* printed more than 16 MB"):
        ssh_host.run(["sh", "-c", prints, str(place / "pid")])
    group = ssh_host.read(place / "pid").decode().strip()
    wait_until(lambda: ssh_host.run(["pgrep", "-g", group]).exit_code == 1)


def test_a_file_that_grows_while_it_is_read_has_no_gap(ssh_host: SshHost, place: PurePosixPath) -> None:
    content = random.Random(1).randbytes(2 * ssh_stream.BLOCK + 100)
    more = random.Random(2).randbytes(20 * ssh_stream.BLOCK)
    ssh_host.write(place / "log", content)
    with ssh_host.open(place, "log") as stream:
        found = stream.read(ssh_stream.FIRST_BLOCK + 1)
        ssh_host.run(["sh", "-c", 'cat >>"$0"', str(place / "log")], input=more[: 12 << 20])
        found += stream.read()
    assert len(found) >= len(content)
    assert (content + more).startswith(found)


def test_a_file_that_is_too_large_to_be_read_whole_is_a_sentence(
    ssh_host: SshHost, place: PurePosixPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "LARGEST_FILE", 1 << 20)
    ssh_host.write(place / "most", bytes(1 << 20))
    ssh_host.write(place / "more", bytes((1 << 20) + 1))
    assert len(ssh_host.read(place / "most")) == 1 << 20
    with pytest.raises(TargetError, match=r"/more on .* has more than 1 MB"):
        ssh_host.read(place / "more")


def test_more_files_than_a_folder_may_have_are_a_sentence(
    ssh_host: SshHost, place: PurePosixPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "MOST_FILES", 700)
    ssh_host.run(["sh", "-c", 'cd "$0" && seq 700 | xargs touch', str(place)])
    assert len(list(ssh_host.walk(place))) == 700
    ssh_host.run(["touch", str(place / "one more")])
    with pytest.raises(TargetError, match="holds more than 700 files"):
        list(ssh_host.walk(place))


def test_files_with_the_longest_names_are_all_told(ssh_host: SshHost, place: PurePosixPath) -> None:
    assert ssh_host.run(["python3", "-c", DEEP, str(place)]).exit_code == 0
    assert len(list(ssh_host.walk(place))) == 614
