"""The suite itself: its two tiers, and what it says when something that tests share was full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.components import order, room

TOP = Path(__file__).parents[1]
FIRST_TIER = ("-m", "not torture and not component")


def collected(*words: str) -> str:
    """What pytest says of the tests that it would run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words],
        cwd=TOP,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode in (0, 5), done.stdout + done.stderr
    return done.stdout


def test_the_first_tier_leaves_out_what_needs_a_service_and_says_how_much() -> None:
    said = collected(*FIRST_TIER, "tests/hosts/test_local.py", "tests/hosts/test_ssh_stream.py")
    assert "test_local.py::" in said
    assert "test_ssh_stream.py::" not in said
    assert "need a machine over SSH" in said
    assert "make test-all" in said


def test_what_lies_among_the_components_counts_as_one_without_a_fixture_that_says_so() -> None:
    said = collected(*FIRST_TIER, "tests/components/test_docker_mistakes.py")
    assert "::" not in said
    assert "need a Docker daemon" in said


def test_the_whole_suite_leaves_nothing_out_for_a_service() -> None:
    said = collected("tests/hosts/test_ssh_stream.py")
    assert "test_ssh_stream.py::" in said
    assert "not run" not in said


def test_a_failure_names_the_disk_that_was_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LITTLE_BYTES", 1 << 62)
    [sentence] = room.full({"the disk of Docker": tmp_path, "the same disk": tmp_path})
    assert sentence.startswith(f"the disk of Docker ({tmp_path}) has ")
    assert "may say nothing about the code" in room.explanation("AssertionError", [sentence])


def test_a_failure_that_speaks_of_no_space_is_explained_where_there_is_room_again() -> None:
    assert "it may have been full then" in room.explanation("write x: no space left on device", [])
    assert room.explanation("AssertionError: 1 != 2", []) == ""


AT_FIRST = """
import os, pathlib, pytest
from tests.conftest import (
    pytest_collection_modifyitems, pytest_configure, pytest_runtest_setup, pytest_timeout_set_timer
)

def fail_at_first(name):
    mark = pathlib.Path(__file__).parent / name
    if not mark.exists():
        mark.touch()
        pytest.fail("not at first")
"""
TESTS_OF_RERUNS = """
import time, pytest
from conftest import fail_at_first

@pytest.mark.component("docker")
def test_a_service_that_fails_once():
    fail_at_first("once")

@pytest.mark.component("docker")
def test_a_service_that_fails_twice():
    assert 0, "at any time"

@pytest.mark.component("docker")
@pytest.mark.timeout(1)
def test_a_service_that_hangs_at_last():
    fail_at_first("hanging")
    time.sleep(60)

def test_the_code_fails_once():
    fail_at_first("code")
"""


def test_only_a_test_of_a_service_runs_again_once_within_its_time_and_is_told(tmp_path: Path) -> None:
    pytest.importorskip("pytest_rerunfailures")
    (tmp_path / "conftest.py").write_text(AT_FIRST)
    (tmp_path / "test_reruns.py").write_text(TESTS_OF_RERUNS)
    options = ["-n", "2", "--durations-min=0", f"--rootdir={tmp_path}", f"-c{TOP / 'pyproject.toml'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": "--import-mode=prepend", "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "3 failed, 1 passed, 3 rerun" in done.stdout, done.stdout + done.stderr
    assert "RERUN test_reruns.py::test_a_service_that_fails_once" in done.stdout
    assert "not at first" in done.stdout.partition("rerun test summary info")[2]
    assert "FAILED test_reruns.py::test_a_service_that_hangs_at_last" in done.stdout
    assert "Failed: Timeout (>1.0s)" in done.stdout
    assert "FAILED test_reruns.py::test_the_code_fails_once" in done.stdout


class AnyTest:
    """What the order of tests sees of one."""

    fixturenames = ()

    def __init__(self, path: str) -> None:
        self.path = Path(path)


@pytest.mark.parametrize("workers", [2, 3, 6])
def test_long_modules_come_first_on_different_workers_and_no_test_is_lost(workers: int) -> None:
    long = list(order.LONG_S)[1:3]
    tests: list[Any] = [AnyTest(f"tests/{name}") for name in [*(f"a/{n}.py" for n in range(40)), *long, *long]]
    found = order.long_first(tests, workers)
    assert sorted(map(id, found)) == sorted(map(id, tests))
    heads = [found[at * len(tests) // workers] for at in range(workers)]
    assert {str(head.path) for head in heads} >= {f"tests/{name}" for name in long}
    assert order.long_first(tests, 1) == tests
