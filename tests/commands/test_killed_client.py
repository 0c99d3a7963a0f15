"""`kill -9` of the client at any point: a later command finishes the run, as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.amltool_command import STARTED_ANEW, amltool, make_project, submit
from tests.repositories import git, state_of

SCRIPT = """
import sys, time
for number in range(200):
    print("line", number, flush=True)
    if number % 20 == 0:
        time.sleep(0.02)
open("outputs/result.txt", "w").write("result" * 1000)
open("logs/training.log", "w").write("log")
"""
FILES = {"train.py": SCRIPT, **{f"data/{n}.txt": str(n) * 50 for n in range(60)}}


def start_and_kill(folder: Path, after_s: float) -> None:
    """A client in a session of its own, killed so many seconds after its start."""
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "amltool", "submit", "train.py", "--target", "local"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()


def essence(record: dict[str, object]) -> dict[str, object]:
    """What has to be equal in an undisturbed run."""
    artifacts = {a["path"]: a["sha256"] for a in record["artifacts"] if a["path"] != "environment.lock.json"}  # type: ignore[attr-defined]
    return {
        "status": record["status"],
        "exit_code": record["exit_code"],
        "artifacts": artifacts,
        "omitted": record["omitted"],
    }


def undisturbed(folder: Path) -> tuple[dict[str, object], float]:
    """What is right, and the seconds that a client takes which is started as those are that are killed."""
    STARTED_ANEW.add(folder)
    try:
        submit(folder)
        begun = time.monotonic()
        record = submit(folder)
        length = time.monotonic() - begun
    finally:
        STARTED_ANEW.discard(folder)
    assert record["status"] == "Completed"
    return essence(record), length


def check_points(folder: Path, points: list[float]) -> int:
    """Kill at each point (0-1 of an undisturbed run's time); gives how many of the runs had been begun."""
    expected, length = undisturbed(folder)
    before = state_of(folder)
    begun = 0
    for point in points:
        known = {run["run_id"] for run in json.loads(amltool(folder, "runs", "--limit=0", "--json").stdout)}
        start_and_kill(folder, point * length)
        journal = folder / ".git/amltool/runs"
        unfinished = [entry.name for entry in journal.iterdir() if (entry / "request.json").exists()]
        if unfinished:
            amltool(folder, "wait", unfinished[0])
        new = [
            run
            for run in json.loads(amltool(folder, "runs", "--limit=0", "--json").stdout)
            if run["run_id"] not in known
        ]
        assert len(new) == (1 if unfinished else len(new) and 1), "a run that was begun is there once"
        for run in new:
            begun += 1
            assert essence(run) == expected, f"killed at {point:.3f}"
        assert [entry for entry in journal.iterdir() if (entry / "request.json").exists()] == []
        assert state_of(folder) == before
    assert leftovers(folder) == []
    git(folder, "fsck", "--strict")
    assert json.loads(amltool(folder, "history.check", "--json").stdout)["ok"]
    return begun


def leftovers(folder: Path) -> list[str]:
    """Git's locks and half-written files of ours (our own lock files stay; the kernel holds the locks).

    A run that was never in the journal leaves a folder without a request there, which goes when it is a minute old.
    """
    ours = folder / ".git/amltool"
    locks = [path for path in (folder / ".git").rglob("*.lock") if not path.is_relative_to(ours)]
    begun = [path for path in ours.rglob("*.tmp") if path.parent.parent.name != "runs" or _has_request(path.parent)]
    return [str(path) for path in (*locks, *begun)]


def _has_request(entry: Path) -> bool:
    return (entry / "request.json").exists()


def test_a_killed_clients_run_is_finished_by_a_later_command(tmp_path: Path) -> None:
    generator = random.Random(2017)
    folder = make_project(tmp_path / "project", FILES)
    assert check_points(folder, [generator.random() for _ in range(8)]) > 0


@pytest.mark.torture
def test_fifty_random_points(tmp_path: Path) -> None:
    generator = random.Random()
    folder = make_project(tmp_path / "project", FILES)
    assert check_points(folder, [generator.uniform(0, 1.1) for _ in range(50)]) > 25


def test_a_second_driver_never_starts_the_script_again(tmp_path: Path, isolated_home: Path) -> None:
    mark = isolated_home / "starts.txt"
    script = f"import time\nopen({str(mark)!r}, 'a').write('x')\ntime.sleep(2)\n"
    folder = make_project(tmp_path / "project", {"train.py": script})
    amltool(folder, "submit", "train.py", "--detach")
    waiting = [
        subprocess.Popen(
            [sys.executable, "-m", "amltool", "wait", "@"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        for _ in range(3)
    ]
    assert [process.wait(120) for process in waiting] == [0, 0, 0]
    assert mark.read_text() == "x"
    assert len(json.loads(amltool(folder, "runs", "--json").stdout)) == 1
