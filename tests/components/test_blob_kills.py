"""Fifty runs whose client or whose Azurite is killed while artifacts are sent: each record names what is there."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project
from tests.components.azurite import ACCOUNT, Azurite, connection_string, make_container, url_of
from tests.components.docker_projects import client
from tests.components.faulty_proxy import Fault, FaultyProxy, Request
from tests.repositories import git

CONTAINER = "kills"
VARIABLE = "KILLS_OF_THE_TEST"
KILLS = 50
WITHIN_S = 600.0
SCRIPT = """
import random, sys
chance = random.Random(sys.argv[1])
open("outputs/large.bin", "wb").write(chance.randbytes(chance.randint(9 << 20, 25 << 20)))
for number in range(20):
    open(f"outputs/{number}.txt", "w").write(f"{sys.argv[1]} {number}")
open("logs/train.log", "w").write("epoch 1")
print("trained", sys.argv[1])
"""


def unfinished(project: Path) -> list[str]:
    folder = project / ".git/amltool/runs"
    return [each.name for each in folder.iterdir() if (each / "request.json").exists()] if folder.exists() else []


def at_block(proxy: FaultyProxy, number: int, do: Callable[[], None]) -> None:
    """Do something once, when so many blocks of content came; that one is not answered before it is done."""
    lock, came = threading.Lock(), []

    def fault(request: Request) -> Fault | None:
        if not request.is_block or "/.amltool/" in request.path:  # the probe is a block, too
            return None
        with lock:
            came.append(request)
            if len(came) == number:
                do()
                return Fault(cut_request=0)
        return None

    proxy.fault = fault


def killed_once(project: Path, proxy: FaultyProxy, azurite: Azurite, seed: str, chance: random.Random) -> None:
    """Submit a run, kill one side while its artifacts are sent, and see it recorded with all that it left."""
    killed = threading.Event()
    submitting = client(project, "submit", "train.py", "--target", "local", "--", seed)

    def kill() -> None:
        if chance.random() < 0.5:
            submitting.kill()
        else:
            azurite.end(signal.SIGKILL)
        killed.set()

    at_block(proxy, chance.randint(1, 4), kill)
    # Azurite stays away meanwhile: once started again it has forgotten what it took and had not written down yet
    submitting.communicate(timeout=WITHIN_S)
    assert killed.is_set()
    proxy.fault = lambda _: None
    if azurite.process is None:
        azurite.start()
    make_container(azurite, CONTAINER)
    for run_id in unfinished(project):
        assert "Completed" in amltool(project, "wait", run_id).stderr
    assert unfinished(project) == []
    record = json.loads(amltool(project, "show", "@", "--json").stdout)
    assert (record["status"], record["arguments"]) == ("Completed", [seed])
    assert len(record["artifacts"]) >= 23
    to = project.parent / f"got-{seed}"
    amltool(project, "outputs", record["run_id"], "--download", str(to))
    for artifact in record["artifacts"]:
        assert hashlib.sha256((to / artifact["path"]).read_bytes()).hexdigest() == artifact["sha256"]


@pytest.mark.torture
def test_fifty_kills_while_artifacts_are_sent_leave_no_record_that_claims_what_is_not_there(
    own_azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_container(own_azurite, CONTAINER)
    chance = random.Random(11)
    with FaultyProxy(own_azurite.port) as proxy:
        monkeypatch.setenv(VARIABLE, connection_string(url_of(proxy.port)))
        address = f"azure://{ACCOUNT}/{CONTAINER}/{uuid.uuid4().hex}"
        settings = f"project: iris\nartifact_store: {address}\nartifact_store_credential: ${{env:{VARIABLE}}}\n"
        project = make_project(tmp_path / "first", {"train.py": SCRIPT, "aml_config/project.yml": settings})
        for number in range(KILLS):
            killed_once(project, proxy, own_azurite, f"seed-{number}", chance)
        assert len(json.loads(amltool(project, "runs", "--limit=0", "--json").stdout)) == KILLS
        git(project, "fsck")
