"""The nodes of a cluster must have the Python that an environment is made with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, cast

import pytest

from amltool.environments.cluster_nodes import ClusterNodes
from amltool.environments.folder import Choice
from amltool.environments.login import Login
from amltool.errors import UserError
from amltool.hosts.base import CommandResult, Host

CHOICE = Choice("venv and pip", "/usr/bin/python3", ("3.11.2", "build", "archive"))


class Head:
    """A head node whose program gives one answer; it is the login there, too."""

    name = "hn0"
    root = PurePosixPath("/home/ada/.amltool")

    def __init__(self, answer: bytes, stderr: bytes = b"") -> None:
        self.answer, self.stderr = answer, stderr
        self.asked: list[list[str]] = []

    def seen(self, host: Host) -> Host:
        return host

    def run(self, command: Sequence[str], **_: Any) -> CommandResult:
        self.asked.append(list(command))
        return CommandResult(0, self.answer, self.stderr)


def check(head: Head) -> str:
    nodes = ClusterNodes(cast("Login", head), lambda: PurePosixPath("/lib/bootstrap.py"))
    return nodes.check(cast("Host", head), CHOICE)


def answer(pythons: dict[str, str] | None, why: str = "") -> bytes:
    return json.dumps({"pythons": pythons, "why": why}).encode()


def test_the_same_interpreter_there_will_do_whatever_its_last_number() -> None:
    head = Head(answer({"/usr/bin/python3": "3.11.9"}))

    assert check(head) == ""
    answers = "/home/ada/.amltool/cache/pythons-of-nodes.json"
    assert head.asked == [["python3", "/lib/cluster_pythons.py", "/usr/bin/python3", answers]]


@pytest.mark.parametrize(
    ("pythons", "had"),
    [
        ({"/usr/bin/python3": "3.8.10"}, "They have Python 3.8.10 (/usr/bin/python3)."),
        (
            {"/usr/bin/python3": "3.8.10", "/usr/bin/python3.8": "3.8.10", "/opt/py/bin/python": "3.11.2"},
            "They have Python 3.8.10 (/usr/bin/python3), Python 3.11.2 (/opt/py/bin/python).",
        ),
        ({}, "They have none at the usual places."),
    ],
)
def test_one_that_they_do_not_have_is_refused_with_what_they_have(pythons: dict[str, str], had: str) -> None:
    with pytest.raises(UserError) as refused:
        check(Head(answer(pythons)))

    assert refused.value.what == (
        "The environment would be made with /usr/bin/python3 of hn0 (Python 3.11.2), which the nodes of the cluster "
        f"do not have. {had}"
    )


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (Head(answer(None, "YARN gave it no container in 60 s")), "YARN gave it no container in 60 s"),
        (Head(b"", b"Traceback\nValueError: odd\n"), "ValueError: odd"),
        (Head(b'{"pythons": 3}'), "no answer"),
    ],
)
def test_nodes_that_cannot_be_asked_are_a_sentence_and_no_refusal(head: Head, why: str) -> None:
    assert check(head) == f"The nodes of the cluster were not asked for their Python ({why})."
