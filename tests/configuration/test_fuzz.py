"""A seeded sample of `make fuzz` and every file made to cost much."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "fuzz_configuration.py"
sys.path.insert(0, str(SCRIPT.parent))  # it is a script beside the tests, not one of them

from fuzz_configuration import READERS, SEEDS, fuzz, mutations, read_all  # noqa: E402


@pytest.mark.parametrize("kind", READERS)
def test_the_files_that_are_mutated_are_sound(kind: str) -> None:
    assert read_all(kind, SEEDS[kind]).refused == 0


@pytest.mark.parametrize("kind", READERS)
def test_a_mutated_file_is_read_or_refused_with_its_fault(kind: str) -> None:
    outcome = fuzz(kind, 300)

    assert outcome.faults == ()
    assert 0 < outcome.refused < outcome.files


def test_the_same_seed_makes_the_same_files() -> None:
    assert list(mutations(".compute", 20, 7)) == list(mutations(".compute", 20, 7))
    assert list(mutations(".compute", 20, 7)) != list(mutations(".compute", 20, 8))


@pytest.mark.parametrize("kind", READERS)
def test_the_script_of_make_fuzz_reads_what_costs_much_within_two_seconds_and_the_memory(kind: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)}
    command = [sys.executable, SCRIPT, "--count", "20", "--kind", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "peak memory" in done.stdout


@pytest.mark.torture
@pytest.mark.parametrize("kind", READERS)
def test_ten_thousand_mutated_files_of_each_kind(kind: str) -> None:
    assert fuzz(kind, 10_000, seed=1).faults == ()
