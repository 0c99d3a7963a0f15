"""What a cluster's file system says that runs left there, and whose of it `clean` offers."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, cast

import pytest

from amltool.commands import cleaning
from amltool.environments.login import Login
from amltool.errors import TargetError, UserError
from amltool.hosts.base import CommandResult, Host
from amltool.launchers.base import LeftBehind
from amltool.launchers.spark_submit import SparkSubmitLauncher

OURS, OTHERS = "20261130T235234-a42f7a4-aaaa", "20261130T235234-a42f7a4-bbbb"
UNDER_WAY = "20261130T235234-a42f7a4-cccc"


def _launcher(answer: CommandResult) -> tuple[SparkSubmitLauncher, Host]:
    host = cast("Host", SimpleNamespace(name="hn0", run=lambda *_, **__: answer))
    login = cast("Login", SimpleNamespace(seen=lambda _: host))
    return SparkSubmitLauncher(cast("Any", None), login, lambda: PurePosixPath("/lib/bootstrap.py")), host


def test_what_lies_on_the_cluster_is_named_by_the_run_of_its_tag() -> None:
    said = [(f"amltool-{OURS.lower()}", f".amltool/runs/{OURS}", 23), ("amltool-nightly", ".sparkStaging/a", 5)]
    launcher, host = _launcher(CommandResult(0, json.dumps(said).encode(), b""))

    [found] = launcher.left_behind(host, "clone")

    assert (found.run_id, found.place, found.size, found.is_anybodys) == (OURS, f".amltool/runs/{OURS}", 23, True)


def test_a_cluster_that_does_not_answer_is_said() -> None:
    launcher, host = _launcher(CommandResult(1, b"", b"http://hn0:8088/x does not answer\n"))

    with pytest.raises(TargetError, match="8088/x does not answer"):
        launcher.left_behind(host, "clone")


def test_what_may_be_of_another_clone_is_offered_only_if_its_run_is_recorded_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = [
        LeftBehind(kind="on the cluster", place=run_id, size=1, run_id=run_id, is_anybodys=True)
        for run_id in (OURS, OTHERS, UNDER_WAY)
    ]

    def find(run_id: str) -> object:
        if run_id == OTHERS:
            raise UserError("There is no such run.")
        return SimpleNamespace(record=SimpleNamespace(run_id=run_id))

    monkeypatch.setattr(cleaning, "project_key", lambda *_: "key")
    opened = SimpleNamespace(
        git=None,
        prefix="",
        journal=SimpleNamespace(entries=lambda: [SimpleNamespace(run_id=UNDER_WAY)]),
        history=SimpleNamespace(find=find),
    )
    launcher = SimpleNamespace(left_behind=lambda *_: left)
    target = SimpleNamespace(name="hdi", host=None, launcher=launcher)

    found = cleaning._left_behind(cast("Any", opened), cast("Any", target))

    assert [item.run_id for item in found] == [OURS]
