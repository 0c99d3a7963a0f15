"""Lines of metrics.jsonl are whole, whoever writes them, and no fault of the file reaches the script."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from amltool import tracking
from amltool.tracking import recording
from amltool.tracking.recording import Kind, entry, record
from tests.tracking.run_folder import RunFolder, python_of, strict
from tests.tracking.test_values import ANYTHING, TEXTS

MANY = """
import sys
from amltool import tracking
for number in range(200):
    tracking.log_metric("writer " + sys.argv[1], number, step=number)
"""

FORKS = """
import os, sys
from amltool import tracking
tracking.log_metric("before", 0)
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        for number in range(50):
            tracking.log_metric("child %d" % child, "x" * 3000)
        os._exit(0)
    children.append(pid)
for number in range(50):
    tracking.log_metric("parent", number)
sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))
"""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXTS | ANYTHING, value=ANYTHING, step=ANYTHING)
def test_every_entry_is_one_strict_line(inside: RunFolder, name: Any, value: Any, step: Any) -> None:
    before = inside.metrics.read_bytes() if inside.metrics.exists() else b""

    assert record([entry(Kind.METRIC, name, value, step)])

    added = inside.metrics.read_bytes()[len(before) :]
    assert added.count(b"\n") == 1
    assert len(added.splitlines()) == 1
    assert strict(added)["kind"] == "metric"
    msgspec.json.decode(added)


def test_the_time_is_utc_to_the_millisecond(inside: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amltool.tracking.recording.time.time", lambda: 1795334400.9999)

    tracking.log_metric("accuracy", 1)

    assert inside.entries()[0]["at"] == "2026-11-22T08:00:00.999Z"


def test_processes_at_once_tear_no_line(run: RunFolder) -> None:
    (run.work / "many.py").write_text(MANY)
    command = [sys.executable, "many.py"]
    writers = [
        subprocess.Popen([*command, str(number)], cwd=run.work, env=run.environment(), stderr=subprocess.PIPE)
        for number in range(8)
    ]

    for writer in writers:
        assert writer.communicate(timeout=240)[1] == b""

    logged = run.logged()
    assert len(logged) == 8 * 200
    for number in range(8):
        assert [step for _, name, _, step in logged if name == f"writer {number}"] == list(range(200))


def test_threads_at_once_tear_no_line(inside: RunFolder) -> None:
    def write() -> None:
        for number in range(50):
            tracking.log_list("numbers", [number] * 1000)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(inside.entries()) == 400


def test_a_script_that_forks_logs_from_all_its_processes(run: RunFolder) -> None:
    run.says(FORKS)

    names = [name for _, name, _, _ in run.logged()]
    assert len(names) == 251
    assert names.count("child 3") == 50


def test_a_script_that_closes_all_files_logs_on_and_into_no_other_file(run: RunFolder) -> None:
    run.says(
        "import os\nfrom amltool import tracking\ntracking.log_metric('a', 1)\nos.closerange(3, 100)\n"
        "mine = open('mine.txt', 'w')\ntracking.log_metric('a', 2)\nmine.close()"
    )

    assert [value for _, _, value, _ in run.logged()] == [1, 2]
    assert (run.work / "mine.txt").read_text() == ""


def test_a_list_of_a_million_numbers_is_one_line(inside: RunFolder) -> None:
    tracking.log_list("numbers", range(1_000_000))

    assert inside.logged() == [("list", "numbers", list(range(1_000_000)), None)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_warning_and_the_script_goes_on(run: RunFolder) -> None:
    ended = run.python(
        "from amltool import tracking\nfor n in range(9):\n  tracking.log_metric('a', n)\nprint('done')",
        AMLTOOL_METRICS_FILE="/dev/full",
    )

    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert ended.stderr.count("\n") == 1
    assert "cannot be written to /dev/full" in ended.stderr
    assert "No space left on device" in ended.stderr


def test_a_missing_folder_is_one_warning_and_the_script_goes_on(
    inside: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMLTOOL_METRICS_FILE", str(inside.path / "gone" / "metrics.jsonl"))

    tracking.log_metric("a", 1)
    tracking.log_metric("a", 2)

    assert capsys.readouterr().err.count("cannot be written") == 1


def test_a_line_after_a_torn_one_is_whole(inside: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    left = [10]

    def fills_up(descriptor: int, content: bytes) -> int:
        if not left:
            raise OSError(28, "No space left on device")
        return real(descriptor, content[: left.pop()])

    monkeypatch.setattr("amltool.tracking.recording.os.write", fills_up)
    tracking.log_metric("lost", 1)
    monkeypatch.setattr("amltool.tracking.recording.os.write", real)
    tracking.log_metric("kept", 2)
    tracking.log_metric("kept", 3)

    torn, *whole = inside.metrics.read_bytes().splitlines()
    assert torn == b'{"v":1,"at'
    assert [strict(line)["value"] for line in whole] == [2, 3]
    assert [found["value"] for found in recording.entries_so_far()] == [2, 3]


def test_no_standard_error_is_no_fault(inside: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMLTOOL_METRICS_FILE", str(inside.path))
    monkeypatch.setattr(sys, "stderr", None)

    tracking.log_metric("a", 1)


def test_outside_a_run_it_says_so_once(run: RunFolder) -> None:
    ended = run.python(
        "from amltool import tracking\nfor n in range(9):\n  tracking.log_metric('a', n)\ntracking.tag('b')",
        AMLTOOL_METRICS_FILE=None,
    )

    assert ended.returncode == 0
    assert ended.stderr == (
        "amltool: this is no run of amltool, so what it logs is not kept; `amltool submit` makes it one.\n"
    )
    assert not run.metrics.exists()


def test_what_others_wrote_into_the_file_is_skipped(inside: RunFolder) -> None:
    inside.metrics.write_bytes(
        b'hello\n{"kind": 1, "name": 2}\n[]\n\xff\n{"v":1,"kind":"metric","name":"a","value":1}\n'
    )

    assert recording.entries_so_far() == [{"v": 1, "kind": "metric", "name": "a", "value": 1}]


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_it_works_in_every_python(run: RunFolder, version: str) -> None:
    python = python_of(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")

    printed = run.says(
        """
from amltool import tracking
import azureml.core.run, azureml.dataprep.package
from azureml.core import Run
from azureml.logging import get_azureml_logger
from azureml.sdk import data_collector
tracking.log_metric("accuracy", float("nan"), step=3)
tracking.log_row("row", name="x", value=1)
tracking.log_parameters({"lr": 0.1})
get_azureml_logger().log("recall", [1, 0.5]).wait()
data_collector.current_run().log("f1", 0.5)
run = Run.get_context()
run.log("loss", 2)
run.log_image("picture", plot=type("Plot", (), {"savefig": lambda self, to, format: to.write(b"PNG")})())
run.upload_file("model.bin", "script.py")
print(run.get_metrics("loss"), run.id)
""",
        python=python,
    )

    assert printed == "{'loss': 2} 20261121T081502-3f9c2ab-k4qd\n"
    kinds = [kind for kind, _, _, _ in run.logged()]
    assert kinds == ["metric", "row", "parameter", "list", "metric", "metric", "image"]
    assert (run.work / "outputs" / "model.bin").exists()
