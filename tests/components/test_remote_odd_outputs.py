"""What a run on another machine leaves that is no plain file: collected, or named with the reason; never waited for."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from tests.amltool_command import amltool
from tests.components.docker_projects import artifacts, completed, submit
from tests.components.remote_projects import KINDS, make_of
from tests.components.ssh_machine import SshMachine

ODD = """
import os, random, socket
os.chdir("outputs")
for name, target in {"stolen": "/etc/passwd", "up": "..", "gone": "nowhere", "round": "round", "inner": "plain.txt",
                     "others": os.environ["HOME"] + "/.ssh", "of the run": "../../console.log"}.items():
    os.symlink(target, name)
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
os.makedirs("empty/folder")
os.makedirs("closed")
open("closed/file", "w").write("closed")
os.chmod("closed", 0)
open("unreadable", "w").write("unreadable")
os.chmod("unreadable", 0)
open("plain.txt", "w").write("plain")
chance = random.Random(200)
for number in range(190):
    characters = [chance.choice(list(range(1, 47)) + list(range(48, 256))) for _ in range(chance.choice([3, 30, 245]))]
    name = b"%03d" % number + bytes(characters)
    with open(name, "wb") as stream:
        stream.write(name)
"""
WRITER = """
import glob, time
while True:
    for folder in glob.glob("/home/*/.amltool/runs/*/work/outputs"):
        with open(folder + "/restless", "a") as stream:
            if stream.tell() == 0:  # so large that it is written to while it is read, on a busy machine too
                stream.write("x" * 20000000)
            print(time.time(), file=stream)
"""


def odd_contents() -> set[str]:
    """The SHA-256 of what the 190 files of odd names hold, made as the script makes it."""
    chance = random.Random(200)
    found = set()
    for number in range(190):
        characters = [
            chance.choice(list(range(1, 47)) + list(range(48, 256))) for _ in range(chance.choice([3, 30, 245]))
        ]
        found.add(hashlib.sha256(b"%03d" % number + bytes(characters)).hexdigest())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_odd_outputs_are_collected_or_named_with_the_reason(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path, {"train.py": ODD})
    done = submit(project, target="vm")
    found = completed(done)
    listed = json.loads(amltool(project, "outputs", "@", "--json").stdout)  # too many for the record itself
    kept, reasons = artifacts({"artifacts": listed}), {each["path"]: each["reason"] for each in found["omitted"]}
    assert odd_contents() <= {*kept.values()}
    assert kept["outputs/plain.txt"] == kept["outputs/inner"] == hashlib.sha256(b"plain").hexdigest()
    assert {f"outputs/{name}" for name in ("stolen", "up", "gone", "round", "others")} <= {*reasons}
    assert reasons["outputs/pipe"] == "it is a FIFO"
    assert reasons["outputs/socket"] == "it is a socket"
    assert reasons["outputs/unreadable"].startswith("it cannot be read")
    assert reasons["outputs/closed"] == "it is a folder that cannot be read"
    assert not {*kept} & {*reasons}
    secret = ssh_machine.execute(["sha256sum", "/etc/passwd"])[1].split()[0]
    assert secret not in kept.values()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_while_it_is_collected_is_kept_and_named(
    kind: str, request: pytest.FixtureRequest, ssh_machine: SshMachine, tmp_path: Path
) -> None:
    project = make_of(kind, request, tmp_path)
    ssh_machine.execute(["sh", "-c", 'python3 -c "$0" > /dev/null 2>&1 &', WRITER], user=ssh_machine.user)
    try:
        found = completed(submit(project, "once.py", target="vm"))
    finally:
        ssh_machine.execute(["pkill", "-f", "restless"])
    assert "outputs/restless" in artifacts(found)
    reasons = {each["path"]: each["reason"] for each in found["omitted"]}
    assert "it changed while it was read" in reasons["outputs/restless"]
