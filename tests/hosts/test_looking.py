"""What lies in folders of a host, told by the host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from amltool.errors import TargetError
from amltool.hosts.local import LocalHost
from amltool.hosts.looking import told, weigh
from amltool.hosts.ssh import SshHost

HOLD = "import fcntl, sys; handle = open(sys.argv[1]); fcntl.flock(handle, fcntl.LOCK_EX); print(flush=True); input()"
HELD = "def main(*locks):\n    return [is_held(raw(lock)) for lock in locks]\n"


def test_names_of_any_bytes_come_as_they_are(tmp_path: Path) -> None:
    for name in (b"a", b"\xff", "ü\n".encode()):
        (tmp_path / os.fsdecode(name)).touch()
    listing = "def main(folder):\n    return [shown(name) for name in names_in(raw(folder))]\n"

    found = told(LocalHost(), "What lies", listing, [str(tmp_path)], list[str])

    assert [os.fsencode(name) for name in found] == [b"a", "ü\n".encode(), b"\xff"]


def test_a_lock_that_somebody_holds_is_told_from_one_that_nobody_does(tmp_path: Path) -> None:
    held, free, missing = (tmp_path / name for name in ("held", "free", "missing"))
    held.touch()
    free.touch()
    holder = subprocess.Popen(["python3", "-c", HOLD, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()

    found = told(LocalHost(), "Locks", HELD, [str(held), str(free), str(missing)], list[bool])

    holder.communicate()
    assert found == [True, False, False]


def test_an_answer_that_is_none_is_a_sentence() -> None:
    with pytest.raises(TargetError, match=r"What lies on .* cannot be told"):
        told(LocalHost(), "What lies", "def main():\n    return ['x']\n", [], list[int])


def test_folders_of_another_machine_weigh_what_is_in_them_once(ssh_host: SshHost) -> None:
    top = ssh_host.root / "weighed"
    ssh_host.write(top / "ü" / "a", b"12345")
    ssh_host.run(["ln", str(top / "ü/a"), str(top / "b")])
    assert weigh(ssh_host, [top, top / "ü", top / "none"]) == [5, 5, 0]
    assert weigh(ssh_host, []) == []
