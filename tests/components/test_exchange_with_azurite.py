"""Artifacts between a folder and Azure Blob Storage: there and back, each sent once, the key nowhere."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.components.azurite import ACCOUNT, KEY, Azurite, connection_string, make_container, url_of
from tests.components.faulty_proxy import FaultyProxy
from tests.repositories import git

CONTAINER = "exchange"
VARIABLE = "EXCHANGE_STORE_OF_THE_TEST"
SIZE = 5_000_000
SCRIPT = f"""
open("outputs/model.bin", "wb").write(bytes(range(250)) * {SIZE // 250})
open("outputs/small.txt", "w").write("small")
"""


def exchange(project: Path, verb: str, address: str) -> dict[str, Any]:
    words = (f"artifacts.{verb}", "--store", address, "--credential", f"${{env:{VARIABLE}}}", "--json")
    done = amltool(project, *words)
    assert KEY not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_there_and_back(azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_container(azurite, CONTAINER)
    address = f"azure://{ACCOUNT}/{CONTAINER}/{uuid.uuid4().hex}"
    project = make_project(tmp_path / "iris", {"train.py": SCRIPT})
    contents = len({each["sha256"] for each in submit(project)["artifacts"]})
    with FaultyProxy(azurite.port) as proxy:
        monkeypatch.setenv(VARIABLE, connection_string(url_of(proxy.port)))

        sent = exchange(project, "push", address)
        proxy.forget()
        again = exchange(project, "push", address)
        sent_again = proxy.content_bytes()

        clone = tmp_path / "clone"
        git(tmp_path, "clone", "-q", str(project), str(clone))
        git(clone, "fetch", "-q", "origin", "refs/notes/amltool/*:refs/notes/amltool/*")
        brought = exchange(clone, "pull", address)
        assert exchange(clone, "pull", address)["brought"] == 0

    assert (sent["brought"], sent["missing"]) == (contents, [])
    assert (again["brought"], again["there"]) == (0, contents)
    assert sent_again < SIZE // 10
    assert brought["brought"] == contents
    amltool(clone, "outputs", "@", "--download", str(tmp_path / "got"))
    assert (tmp_path / "got/outputs/model.bin").read_bytes() == bytes(range(250)) * (SIZE // 250)
