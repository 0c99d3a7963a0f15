"""A machine over SSH whose disk is full: said as what it is, and all is well again once there is room."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from amltool.hosts.ssh import SshHost
from amltool.tracking import travel
from tests.amltool_command import amltool
from tests.components.remote_projects import KINDS, make_of
from tests.components.ssh_machine import SshMachine

ROOT = "/small"
SMALL, LARGE = "size=300k", "size=60m"
"""Room for what travels with runs, but neither for all of its compiled form nor for a snapshot; room for all."""
FILLING = """
with open("filling", "wb", buffering=0) as stream:
    while stream.write(bytes(1 << 20)):
        pass
"""

RECEIVING = """
import errno, os, subprocess, sys, tempfile
sys.path.insert(0, sys.argv[1])
from amltool.tracking.kept_blobs import PackedBlobs

def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout

source = tempfile.mkdtemp()
run("git", "init", "-q", source)
ids = [run("git", "-C", source, "hash-object", "-w", "--stdin", input=os.urandom(20000)) for _ in range(4)]
pack = run("git", "-C", source, "pack-objects", "-q", "--stdout", input=b"".join(ids))
place = sys.argv[2]
os.makedirs(place, exist_ok=True)
for pages in range(1, 100):
    run("mount", "-t", "tmpfs", "-o", "size=%dk" % (4 * pages), "tmpfs", place)
    try:
        packs = PackedBlobs(place + "/objects.git", 40)
        packs.make()
        packs.receive([pack])
        print("received")
        break
    except OSError as error:
        print(errno.errorcode[error.errno])
    except Exception as error:
        print(pages, repr(error))
    finally:
        run("umount", place)
"""
"""Lets Git take a pack of four blobs in, on disks that are a page larger each time, until it has room."""


@pytest.fixture
def disk(ssh_machine: SshMachine) -> Iterator[SshMachine]:
    ssh_machine.execute(["sh", "-c", f"mkdir -p {ROOT} && mount -t tmpfs -o {SMALL},mode=777 tmpfs {ROOT}"])
    yield ssh_machine
    ssh_machine.execute(["umount", "-l", ROOT])


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_was_full_does_no_harm_once_there_is_room(
    kind: str, request: pytest.FixtureRequest, disk: SshMachine, tmp_path: Path
) -> None:
    files = {"train.py": "print('trained')\n", "data.bin": os.urandom(500_000)}
    project = make_of(kind, request, tmp_path, files, root=ROOT)

    for _ in range(2):  # the second one finds there what the first one left
        refused = amltool(project, "submit", "--target", "vm", "train.py", check=False)
        assert refused.returncode == 1
        assert f"on {disk.address}: No space left on device" in refused.stderr
    disk.execute(["mount", "-o", f"remount,{LARGE}", ROOT])

    assert "trained" in amltool(project, "submit", "--target", "vm", "train.py").stdout


def test_that_the_disk_is_full_is_understood_wherever_git_comes_to_its_end(
    ssh_machine: SshMachine, ssh_host: SshHost
) -> None:
    library = travel.install(ssh_host)

    said = ssh_machine.execute(["python3", "-c", RECEIVING, str(library.path), "/tight"])[1].split("\n")

    *full, last = filter(None, said)
    assert last == "received"
    assert len(full) > 20
    assert set(full) == {"ENOSPC"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_fails_on_a_full_disk_says_so(
    kind: str, request: pytest.FixtureRequest, disk: SshMachine, tmp_path: Path
) -> None:
    disk.execute(["mount", "-o", f"remount,{LARGE}", ROOT])
    project = make_of(kind, request, tmp_path, {"fill.py": FILLING}, root=ROOT)

    failed = amltool(project, "submit", "--target", "vm", "fill.py", "--json", check=False)

    record = json.loads(failed.stdout)
    assert (record["status"], record["reason"]) == ("Failed", "less than 1 MB was free on its disk when it ended")
    assert record["run_id"] in amltool(project, "clean", "--target", "vm").stdout
