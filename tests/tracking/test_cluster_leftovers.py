"""What runs left on a cluster's file system, as `hadoop fs -du` of 3.3.4 lists it and YARN knows its applications."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from amltool.layout import cluster_tag, run_of_tag
from amltool.tracking.cluster_leftovers import leftovers
from amltool.tracking.yarn import Yarn

LISTED = """\
23   46    .amltool/runs/20261130T235234-a42f7a4-aaaa
5    10    .amltool/runs/20261130T235234-a42f7a4-bbbb
100  200   .sparkStaging/application_1_0001
200  400   .sparkStaging/application_1_0002
300  600   .sparkStaging/application_1_0003
400  800   .sparkStaging/application_1_0004
"""
AAAA, BBBB = "amltool-20261130t235234-a42f7a4-aaaa", "amltool-20261130t235234-a42f7a4-bbbb"
CCCC = "amltool-20261130t235234-a42f7a4-cccc"


class FakeYarn:
    def __init__(self, *applications: tuple[str, str, str]) -> None:
        self.known = applications

    def applications_of_user(self) -> list[dict[str, Any]]:
        return [{"id": name, "state": state, "applicationTags": tags} for name, state, tags in self.known]


def _hadoop(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "hadoop"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def _found(*applications: tuple[str, str, str]) -> list[tuple[str, str, int]]:
    return leftovers(cast("Yarn", FakeYarn(*applications)), ".amltool/runs")


def test_what_no_application_under_way_needs_is_named_with_the_tag_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hadoop(tmp_path, f"cat <<'END'\n{LISTED}END", monkeypatch)

    found = _found(
        ("application_1_0001", "KILLED", CCCC),
        ("application_1_0002", "RUNNING", f"{BBBB},theirs"),
        ("application_1_0003", "FAILED", "of-somebody-else"),
    )

    assert found == [
        (AAAA, ".amltool/runs/20261130T235234-a42f7a4-aaaa", 23),
        (CCCC, ".sparkStaging/application_1_0001", 100),
    ]


def test_folders_that_are_not_there_are_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hadoop(tmp_path, 'echo "du: \\`.sparkStaging\': No such file or directory" >&2; exit 1', monkeypatch)

    assert _found() == []


def test_a_file_system_that_does_not_answer_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hadoop(tmp_path, "echo 'du: Call From hn0 to hn0:8020 failed: Connection refused' >&2; exit 1", monkeypatch)

    with pytest.raises(OSError, match="Connection refused"):
        _found()


def test_a_tag_of_ours_names_its_run() -> None:
    run_id = "20261130T235234-a42f7a4-mxoc"

    assert run_of_tag(cluster_tag(run_id)) == run_id
    assert run_of_tag("amltool-nightly") == ""
