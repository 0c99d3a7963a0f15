"""The suite itself: its two tiers, and what it says when something that tests share was full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components import room

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
        timeout=120,
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
