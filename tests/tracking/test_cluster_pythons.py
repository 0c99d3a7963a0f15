"""The nodes are asked for their Pythons by one small application, whose diagnostics have the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amltool.tracking import cluster_pythons
from amltool.tracking.cluster_pythons import ask
from tests.tracking.test_yarn import Server

APPS = "/ws/v1/cluster/apps"
ID = "application_1_0007"
SAID = (
    "Application failed 1 times due to AM Container exited with exitCode: 3\n"
    "Last 4096 bytes of stderr :\namltool-python /usr/bin/python3 3.11.2\namltool-python /opt/odd/python 3.8.1+\n"
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    served = Server()
    (tmp_path / "yarn-site.xml").write_text(
        "<configuration><property><name>yarn.resourcemanager.webapp.address</name>"
        f"<value>{served.address[len('http://') :]}</value></property></configuration>"
    )
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    monkeypatch.setattr(cluster_pythons, "LOOK_S", 0.01)
    served.answers = {
        f"{APPS}/new-application": {"application-id": ID},
        APPS: {},
        f"{APPS}/{ID}": {"app": {"state": "FAILED", "diagnostics": SAID}},
        f"{APPS}/{ID}/state": {"state": "KILLED"},
    }
    yield served
    served.server.shutdown()
    served.server.server_close()


def paths(server: Server) -> list[str]:
    return [f"{verb} {path.partition('?')[0]}" for verb, path, _ in server.asked]


def submitted(server: Server) -> dict[str, Any]:
    [body] = [body for verb, path, body in server.asked if verb == "POST" and path.partition("?")[0] == APPS]
    found: dict[str, Any] = json.loads(body)
    return found


def test_the_answer_is_what_a_container_listed(server: Server, tmp_path: Path) -> None:
    found = ask("/usr/bin/python3", str(tmp_path / "cache/answers.json"))

    assert found == {"pythons": {"/usr/bin/python3": "3.11.2", "/opt/odd/python": "3.8.1+"}, "why": ""}
    asked = submitted(server)
    command = asked["am-container-spec"]["commands"]["command"]
    assert (asked["application-id"], asked["max-app-attempts"]) == (ID, 1)
    assert not {*'"$`\\'} & {*command}, "YARN would let a shell read it"
    assert b"for python in '/usr/bin/python3'" in base64.b64decode(command.split()[1])


def test_an_interpreter_that_was_found_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    first = ask("/usr/bin/python3", str(tmp_path / "answers.json"))
    before = len(server.asked)
    again = ask("/usr/bin/python3", str(tmp_path / "answers.json"))

    assert len(server.asked) == before
    assert again["pythons"].items() <= first["pythons"].items()


def test_one_that_was_not_found_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    ask("/nowhere/python", str(tmp_path / "answers.json"))
    ask("/nowhere/python", str(tmp_path / "answers.json"))

    assert paths(server).count(f"POST {APPS}") == 2


def test_an_application_that_does_not_begin_is_killed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_pythons, "PATIENCE_S", 0.05)
    server.answers[f"{APPS}/{ID}"] = {"app": {"state": "ACCEPTED"}}

    found = ask("/usr/bin/python3", str(tmp_path / "answers.json"))

    assert found["pythons"] is None
    assert "no container" in found["why"]
    assert f"PUT {APPS}/{ID}/state" in paths(server)


def test_a_yarn_that_takes_no_application_is_a_reason(server: Server, tmp_path: Path) -> None:
    del server.answers[f"{APPS}/new-application"]

    found = ask("/usr/bin/python3", str(tmp_path / "answers.json"))

    assert found["pythons"] is None
    assert "answers 404" in found["why"]


def test_a_container_that_failed_by_itself_says_nothing_of_pythons(server: Server, tmp_path: Path) -> None:
    server.answers[f"{APPS}/{ID}"] = {"app": {"state": "FAILED", "diagnostics": "exitCode: -1000, disk failed"}}

    assert ask("/usr/bin/python3", str(tmp_path / "answers.json"))["why"] == "exitCode: -1000, disk failed"
