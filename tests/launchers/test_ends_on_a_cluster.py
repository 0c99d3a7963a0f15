"""Runs on a cluster: an application whose run is over and could not end it is ended by whoever looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest

from amltool.errors import TargetError
from amltool.hosts.base import CommandResult
from amltool.launchers.base import Exit, LaunchState, Observation
from amltool.launchers.spark_submit import UNWATCHED, SparkSubmitLauncher
from amltool.layout import RunFolder
from amltool.testing.hosts import FakeHost

FOLDER = RunFolder(PurePosixPath("/runs/20261130T120000-abcdef0-AB12"))
NAME = "application_1_0001"


class HeadNode:
    """A head node that counts how often the applications of the run are ended there."""

    def __init__(self, seen: Observation, known: dict[str, Any] | None) -> None:
        self.ended: list[Sequence[str]] = []
        self.answers = True
        self.host = FakeHost(programs={"python3": self._end})
        if known is not None:
            self.host.make_folder(FOLDER.path)
            self.host.write(FOLDER.spark, json.dumps({"applications": [NAME], **known}).encode())
        process: Any = SimpleNamespace(observe=lambda *_: seen)
        login: Any = SimpleNamespace(seen=lambda host: host)
        self.launcher = SparkSubmitLauncher(process, login, lambda: PurePosixPath("/lib/bootstrap.py"))

    def look(self) -> Observation:
        return self.launcher.observe(self.host, FOLDER, {})

    def _end(self, command: Sequence[str], _: bytes) -> CommandResult:
        self.ended.append(command[2:])
        return CommandResult(0 if self.answers else 1, b"", b"no ResourceManager answers\n")


def test_a_run_that_saw_to_its_application_is_left_as_it_ended() -> None:
    node = HeadNode(Observation(LaunchState.ENDED, Exit(exit_code=7)), {"state": "FINISHED", "done": True})
    seen = node.look()
    assert (seen.application_id, seen.exit, node.ended) == (NAME, Exit(exit_code=7), [])


@pytest.mark.parametrize("state", [LaunchState.ENDED, LaunchState.LOST])
def test_the_application_of_a_run_whose_program_was_killed_is_ended_once(state: LaunchState) -> None:
    node = HeadNode(Observation(state, Exit(signal="SIGKILL")), {"state": "RUNNING"})
    seen = [node.look(), node.look()]
    run_id = FOLDER.path.name
    assert node.ended == [["end", f"amltool-{run_id.lower()}", f".amltool/runs/{run_id}"]]
    assert seen == [Observation(state, Exit(signal="SIGKILL", reason=UNWATCHED), NAME, is_queued=False)] * 2


def test_no_end_is_told_while_the_application_may_still_run() -> None:
    node = HeadNode(Observation(LaunchState.ENDED, Exit(signal="SIGTERM", canceled=True)), {"state": "RUNNING"})
    node.answers = False
    for _ in range(2):
        with pytest.raises(TargetError, match="may still run: no ResourceManager answers"):
            node.look()
    node.answers = True
    assert node.look().state is LaunchState.ENDED


def test_a_command_that_submitted_nothing_has_nothing_to_end() -> None:
    node = HeadNode(Observation(LaunchState.ENDED, Exit(exit_code=2)), None)
    assert node.look() == Observation(LaunchState.ENDED, Exit(exit_code=2))
    assert node.ended == []


def test_a_run_is_queued_while_yarn_has_no_container_for_it() -> None:
    assert HeadNode(Observation(LaunchState.RUNNING), {"state": "ACCEPTED"}).look().is_queued
    assert not HeadNode(Observation(LaunchState.RUNNING), {"state": "RUNNING"}).look().is_queued
