"""``maxConcurrentRuns`` as a user sees it: runs wait as Queued and start by themselves, also those of another clone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.files import locked
from tests.amltool_command import LOCAL, amltool, make_project
from tests.repositories import git
from tests.waiting import promised

ROOT = str(Path(__file__).resolve().parents[2])
COMPUTE = LOCAL["aml_config/local.compute"]
SCRIPT = """
import os, sys, time
place = os.environ["AZUREML_NATIVE_SHARE_DIRECTORY"] + os.environ["AMLTOOL_RUN_ID"] + "." + str(os.getpid())
begun = time.time()
print("begun", flush=True)
end = time.time() + float(sys.argv[1])
while time.time() < end or (len(sys.argv) > 2 and not os.path.exists(sys.argv[2])):
    time.sleep(0.02)
with open(place + ".tmp", "w") as stream:
    stream.write("%r %r" % (begun, time.time()))
os.rename(place + ".tmp", place)
"""
KILLED_BEFORE_ITS_START = """
import os, signal, sys
from amltool.launchers.process import ProcessLauncher
ProcessLauncher.start = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from amltool.__main__ import main
sys.argv[0] = "amltool"
main()
"""


def limited(folder: Path, limit: int) -> Path:
    compute = f"{COMPUTE}maxConcurrentRuns: {limit}\n"
    return make_project(folder, {"train.py": SCRIPT, "aml_config/local.compute": compute})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Of one run at once."""
    return limited(tmp_path / "project", 1)


def start(folder: Path, *words: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(amltool(folder, "submit", "train.py", "--detach", "--json", *words).stdout)
    return said


def client(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until_it_says(process: subprocess.Popen[str], words: str) -> str:
    """What it said up to a line with these words."""
    assert process.stderr is not None
    said = ""
    while words not in said:
        line = process.stderr.readline()
        assert line, f"it ended without {words!r}: {said}"
        said += line
    return said


def finished(folder: Path) -> list[dict[str, Any]]:
    """The finished runs, in the order they were submitted in."""
    runs: list[dict[str, Any]] = json.loads(amltool(folder, "runs", "--json").stdout)
    return sorted((run for run in runs if run.get("ended")), key=lambda run: int(run["run_number"]))


def status(folder: Path, run_id: str) -> str:
    return str(json.loads(amltool(folder, "show", run_id, "--json").stdout)["status"])


def spans() -> list[tuple[float, float, str]]:
    """When scripts began and ended, and of which run."""
    places = (Path.home() / ".azureml/share").rglob("*-*-*.*")
    found = [(*map(float, place.read_text().split()), place.name.split(".")[0]) for place in places]
    return sorted(found)  # type: ignore[arg-type]


def most_at_once(found: list[tuple[float, float, str]]) -> int:
    return max(sum(begun <= moment < end for begun, end, _ in found) for moment, _, _ in found)


def it_starts_by_itself(run_id: str) -> None:
    """Without a command that looks at it, which would go on with a run that nobody drives."""
    until = time.monotonic() + 120
    while run_id not in [found for _, _, found in spans()]:
        assert time.monotonic() < until, "it never started"
        time.sleep(0.1)


def turns() -> Path:
    return Path.home() / ".amltool/turns/local/turns.json"


def long_ago(run_id: str) -> None:
    """Let the client of a run not be heard of for longer than any other waits for it."""
    with locked(turns().with_name("lock")):
        kept = json.loads(turns().read_text())
        kept[run_id]["asked"] -= 120
        turns().write_text(json.dumps(kept))


def test_two_clones_never_have_more_than_the_limit_at_once_and_each_run_runs_once(tmp_path: Path) -> None:
    first = limited(tmp_path / "first", 2)
    second = tmp_path / "second"
    git(tmp_path, "clone", "-q", str(first), str(second))

    words = ("-m", "amltool", "submit", "train.py", "--detach", "--json", "--", "1.2")
    clients = [(folder, client(folder, *words)) for _ in range(4) for folder in (first, second)]
    runs = [(folder, json.loads(each.communicate(timeout=240)[0])["run_id"]) for folder, each in clients]

    for folder, run_id in runs:
        amltool(folder, "wait", run_id)
    found = spans()
    assert sorted(run_id for _, _, run_id in found) == sorted(run_id for _, run_id in runs)
    assert most_at_once(found) == 2
    assert [run["status"] for folder in (first, second) for run in finished(folder)] == ["Completed"] * 8
    assert not turns().exists()


def test_runs_start_in_the_order_they_were_submitted_in_whichever_clone_it_was(tmp_path: Path) -> None:
    first = limited(tmp_path / "first", 1)
    second = tmp_path / "second"
    git(tmp_path, "clone", "-q", str(first), str(second))

    submitted = [start(folder, "--", "0.2")["run_id"] for folder in (first, second, second, first)]

    for folder, run_id in zip((first, second, second, first), submitted, strict=True):
        amltool(folder, "wait", run_id)
    assert [run_id for _, _, run_id in spans()] == submitted


def test_a_run_that_has_to_wait_is_queued_for_everybody_who_looks(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = start(project, "--", "0", str(go))
    assert running["status"] == "Running"

    done = amltool(project, "submit", "train.py", "--detach", "--json", "--", "0")
    queued = json.loads(done.stdout)

    assert queued["status"] == "Queued"
    assert "Queued: 1 of 1 runs of local are under way (maxConcurrentRuns)." in done.stderr
    assert "starts by itself" in done.stderr
    assert status(project, queued["run_id"]) == "Queued"
    listed = amltool(project, "runs", "--status", "Queued").stdout
    assert queued["run_id"] in listed
    assert running["run_id"] not in listed
    assert "interrupted" not in listed
    followers = [client(project, "-m", "amltool", *words, queued["run_id"]) for words in (("wait",), ("logs", "-f"))]
    for follower in followers:
        until_it_says(follower, f"Run {queued['run_id']} is Queued")
    go.touch()
    assert [follower.communicate(timeout=240)[0] for follower in followers] == ["begun\n", "begun\n"]
    assert status(project, queued["run_id"]) == "Completed"


def test_a_submit_that_is_followed_waits_and_then_shows_the_console(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    start(project, "--", "0", str(go))
    process = client(project, "-m", "amltool", "submit", "train.py", "--", "0")
    until_it_says(process, "Queued: 1 of 1")
    go.touch()
    assert process.communicate(timeout=240)[0] == "begun\n"
    assert process.returncode == 0
    assert most_at_once(spans()) == 1


def test_those_that_wait_before_it_are_told(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    for _ in range(3):
        start(project, "--", "0", str(go))
    done = amltool(project, "submit", "train.py", "--detach", "--", "0")
    assert "Queued: 1 of 1 runs of local are under way, and 2 wait before this one" in done.stderr
    go.touch()
    for number in ("@", "@"):
        amltool(project, "wait", number)


def test_a_queued_run_that_is_canceled_never_starts(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = start(project, "--", "0", str(go))["run_id"]
    queued = start(project, "--", "0")["run_id"]

    begun = time.monotonic()
    amltool(project, "cancel", queued)

    assert time.monotonic() - begun < promised(10)
    [record] = finished(project)
    assert (record["status"], record["started"]) == ("Canceled", None)
    assert list(json.loads(turns().read_text())) == [running]
    go.touch()
    amltool(project, "wait", running)
    assert [run_id for _, _, run_id in spans()] == [running]


def test_a_canceled_run_makes_way(project: Path, tmp_path: Path) -> None:
    running = start(project, "--", "0", str(tmp_path / "never"))["run_id"]
    queued = start(project, "--", "0")["run_id"]
    amltool(project, "cancel", running)
    amltool(project, "wait", queued)
    assert [run_id for _, _, run_id in spans()] == [queued]


def test_ctrl_c_leaves_a_run_queued_and_it_starts_by_itself(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    start(project, "--", "0", str(go))
    process = client(project, "-m", "amltool", "submit", "train.py", "--", "0")
    queued = until_it_says(process, "Queued: 1 of 1").split()[1]

    os.killpg(process.pid, signal.SIGINT)

    said = process.communicate(timeout=240)[1]
    assert process.returncode == 130
    assert f"Run {queued} stays queued and starts by itself" in said
    assert list(json.loads(turns().read_text()))[-1] == queued
    go.touch()
    it_starts_by_itself(queued)


def test_ctrl_c_while_waiting_for_a_run_that_nobody_else_drives_leaves_it_queued(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    start(project, "--", "0", str(go))
    submitting = client(project, "-m", "amltool", "submit", "train.py", "--", "0")
    queued = until_it_says(submitting, "Queued: 1 of 1").split()[1]
    submitting.kill()
    submitting.communicate()
    waiting = client(project, "-m", "amltool", "wait", queued)
    until_it_says(waiting, "Queued: 1 of 1")

    os.killpg(waiting.pid, signal.SIGINT)

    assert "stays queued and starts by itself" in waiting.communicate(timeout=240)[1]
    go.touch()
    it_starts_by_itself(queued)


def test_a_client_that_is_killed_while_its_run_waits_holds_up_nobody_and_its_run_can_be_gone_on_with(
    project: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    start(project, "--", "0", str(go))
    process = client(project, "-m", "amltool", "submit", "train.py", "--", "0")
    queued = until_it_says(process, "Queued: 1 of 1").split()[1]
    process.kill()
    process.communicate()
    assert f"interrupted; go on with: amltool wait {queued}" in amltool(project, "runs").stdout
    behind = start(project, "--", "0")["run_id"]
    long_ago(queued)

    go.touch()

    amltool(project, "wait", behind)
    assert queued not in [run_id for _, _, run_id in spans()]
    amltool(project, "wait", queued)
    assert [run_id for _, _, run_id in spans()][1:] == [behind, queued]


def test_a_client_that_is_killed_before_it_started_its_run_gives_the_turn_back_after_a_time(project: Path) -> None:
    killed = client(project, "-c", KILLED_BEFORE_ITS_START, "submit", "train.py", "--", "0")
    said = killed.communicate(timeout=240)[1]
    assert killed.returncode == -signal.SIGKILL, said
    [(run_id, turn)] = json.loads(turns().read_text()).items()
    assert turn["has_turn"]
    queued = start(project, "--", "0")
    assert queued["status"] == "Queued"

    long_ago(run_id)

    amltool(project, "wait", queued["run_id"])
    amltool(project, "wait", run_id)
    assert [run_id for _, _, run_id in spans()] == [queued["run_id"], run_id]


def test_a_run_that_goes_on_after_its_client_was_killed_keeps_its_turn_until_it_ends(
    project: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    process = client(project, "-m", "amltool", "submit", "train.py", "--", "0", str(go))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.communicate()
    [running] = json.loads(turns().read_text())
    queued = start(project, "--", "0")
    long_ago(running)
    time.sleep(1.5)
    assert status(project, queued["run_id"]) == "Queued"

    go.touch()

    amltool(project, "wait", queued["run_id"])
    assert most_at_once(spans()) == 1


def test_the_time_of_a_run_begins_with_its_start(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    start(project, "--", "0", str(go))
    queued = start(project, "--timeout", "6", "--", "0.1")
    assert queued["status"] == "Queued"
    time.sleep(6.5)
    go.touch()
    amltool(project, "wait", queued["run_id"])
    assert status(project, queued["run_id"]) == "Completed"


def test_a_higher_limit_counts_for_the_runs_that_are_submitted_with_it(project: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    start(project, "--", "0", str(go))
    assert start(project, "--", "0", str(go))["status"] == "Queued"
    (project / "aml_config/local.compute").write_text(f"{COMPUTE}maxConcurrentRuns: 3\n")
    assert start(project, "--", "0", str(go))["status"] == "Running"
    go.touch()
    for _ in range(3):
        amltool(project, "wait", "@")


def test_without_a_limit_nobody_asks_whose_turn_it_is(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", {"train.py": SCRIPT})
    amltool(project, "submit", "train.py", "--", "0")
    assert len(spans()) == 1
    assert not turns().parent.parent.exists()
