"""Reruns that are let go of: whoever records the run gives its verdict, and whoever waits for it is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amltool.commands.judging import judge, judged
from amltool.commands.looking import wait_for
from amltool.commands.opening import open_project
from amltool.run import EXACTLY, LongList, Verdict
from amltool.targets.watcher import Silent
from tests.amltool_command import amltool, make_project
from tests.repositories import git
from tests.waiting import wait_until

WAIT_S = 60.0
ROOT = str(Path(__file__).resolve().parents[2])
SCRIPT = """
import os, time
print("begun", flush=True)
until = time.monotonic() + 120
while os.path.exists(os.environ["HOLD"]) and time.monotonic() < until:
    time.sleep(0.02)
open("outputs/same.txt", "w").write("same")
open("outputs/run.txt", "w").write(os.environ.get("DIFFERS", "reproduced"))
"""
DIES_BEFORE_THE_VERDICT = """
import os, sys
from amltool.commands import judging
judging.record_verdict = lambda *_: os._exit(9)
from amltool.__main__ import main
sys.argv[0] = "amltool"
main()
"""


class Project:
    """A project with a finished run; while ``hold`` is there a run of its script goes on."""

    def __init__(self, folder: Path, hold: Path) -> None:
        self.folder, self.hold = folder, hold
        self.original = str(self.json("runs")[0]["run_id"])

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A rerun that goes on, and its client."""
        self.hold.touch()
        process = self.client("-m", "amltool", "rerun", self.original, *words)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    def client(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": ROOT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def let_go(self, *words: str) -> str:
        """Ctrl-C in a rerun that goes on; its run id."""
        process = self.start(*words)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 130, said
        return next(line.split()[1] for line in said.splitlines() if line.startswith("RunId: "))

    def json(self, *words: str) -> Any:
        return json.loads(amltool(self.folder, *words, "--json", check=False).stdout)

    def verdicts(self, run_id: str) -> list[tuple[str, str, str]]:
        found = self.json("show", run_id)["verdicts"]
        return [(each["run_id"], each["rerun"], each["verdict"]) for each in found]

    def nobody_drives(self, run_id: str) -> None:
        """The process in the background dies."""
        wait_until(lambda: self._drivers(run_id) != [], WAIT_S)
        for driver in self._drivers(run_id):
            os.kill(driver, signal.SIGKILL)
        wait_until(lambda: self._drivers(run_id) == [], WAIT_S)

    def is_over(self, run_id: str) -> None:
        self.hold.unlink()
        [end] = [Path.home() / f".amltool/runs/{run_id}/exit.json"]
        wait_until(end.exists, WAIT_S)

    def is_noted(self, words: str) -> None:
        """The history has it, without a command that looks."""
        wait_until(lambda: words in git(self.folder, "log", "--notes=amltool/runs", "-1", "--format=%N"), WAIT_S)

    def _drivers(self, run_id: str) -> list[int]:
        command = f"amltool.tasks.background {self.folder} {run_id}"
        found = subprocess.run(["pgrep", "-f", command], capture_output=True, text=True, check=False)
        return [int(each) for each in found.stdout.split()]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("original") / "project"


@pytest.fixture
def project(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The original run is made once."""
    hold = tmp_path / "hold"
    monkeypatch.setenv("HOLD", str(hold))
    if not original.exists():
        make_project(original, {"train.py": SCRIPT})
        amltool(original, "submit", "train.py")
    shutil.copytree(original, tmp_path / "project")
    yield Project(tmp_path / "project", hold)
    hold.unlink(missing_ok=True)


@pytest.fixture
def differing(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Its runs do not come out the same any more."""
    monkeypatch.setenv("DIFFERS", "differs")
    return project


def test_who_waits_for_a_rerun_that_was_let_go_of_is_told_its_verdict(project: Project) -> None:
    again = project.let_go()
    waiting = project.client("-m", "amltool", "wait", again)
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "begun\n"
    project.hold.unlink()

    printed, said = waiting.communicate(timeout=240)

    assert waiting.returncode == 0, said
    assert printed.startswith("Verdict: reproduced\n")
    assert project.verdicts(again) == [(project.original, again, "reproduced")]
    assert project.verdicts(project.original) == project.verdicts(again)


def test_a_wait_for_a_rerun_exits_by_its_verdict_and_not_by_how_its_script_ended(differing: Project) -> None:
    again = differing.let_go()
    differing.hold.unlink()

    during, after = (amltool(differing.folder, "wait", again, check=False) for _ in range(2))

    assert (during.returncode, after.returncode) == (1, 1)
    assert "Verdict: differs" in during.stdout
    assert "outputs/run.txt: differs" in after.stdout
    shown = differing.json("wait", again)
    assert (shown["status"], shown["verdicts"][0]["verdict"]) == ("Completed", "differs")


def test_who_lists_runs_records_the_verdict_of_a_rerun_that_nobody_drove_to_its_end(project: Project) -> None:
    again = project.let_go()
    project.nobody_drives(again)
    project.is_over(again)

    listed = amltool(project.folder, "runs")

    assert listed.stderr == f"Run {again}, a rerun of {project.original}, is over: reproduced.\n"
    assert project.verdicts(again) == [(project.original, again, "reproduced")]


def test_who_follows_its_console_is_told_beside_it(differing: Project) -> None:
    again = differing.let_go()
    following = differing.client("-m", "amltool", "logs", "-f", again)
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    differing.hold.unlink()

    printed, said = following.communicate(timeout=240)

    assert (printed, following.returncode) == ("", 0)
    assert "Verdict: differs" in said


def test_a_detached_rerun_gives_its_verdict_by_itself(project: Project) -> None:
    done = amltool(project.folder, "rerun", project.original, "--detach", "--json")
    said = json.loads(done.stdout)

    project.is_noted('"verdict":"reproduced"')

    assert said == {"run_id": said["run_id"], "rerun_of": project.original, "status": "Running"}
    assert f"Its verdict: amltool wait {said['run_id']}" in done.stderr
    assert project.verdicts(said["run_id"]) == [(project.original, said["run_id"], "reproduced")]


def test_every_run_of_a_commit_can_be_run_again_detached(project: Project) -> None:
    amltool(project.folder, "submit", "train.py")
    started = project.json("rerun", "--commit", "HEAD", "--detach")
    assert started[0]["rerun_of"] == project.original
    assert len(started) == 2
    for each in started:
        assert amltool(project.folder, "wait", each["run_id"]).returncode == 0


def test_what_may_differ_is_kept_with_the_run_and_said_with_its_verdict(differing: Project) -> None:
    again = differing.let_go("--ignore-output", "run.txt", "--rtol", "0.5")
    differing.hold.unlink()

    done = amltool(differing.folder, "wait", again)

    assert "Verdict: within-tolerance" in done.stdout
    assert "outputs/run.txt: differs, and was to be ignored" in done.stdout
    [verdict] = differing.json("show", again)["verdicts"]
    assert verdict["tolerances"] == {
        "rtol": 0.5, "atol": 0.0, "ignored_outputs": ["run.txt"], "ignored_metrics": [],
    }  # fmt: skip


def test_a_verdict_that_was_cut_short_is_given_once_by_whoever_looks_next(project: Project) -> None:
    died = project.client("-c", DIES_BEFORE_THE_VERDICT, "rerun", project.original)
    assert (died.communicate(timeout=240)[0], died.returncode) == ("begun\n", 9)
    [again] = [path.name for path in (project.folder / ".git/amltool/runs").iterdir()]
    project.is_noted(again)

    amltool(project.folder, "runs")

    assert project.verdicts(again) == [(project.original, again, "reproduced")]
    assert git(project.folder, "log", "--notes=amltool/runs", "-1", "--format=%N").count('"event":"verdict"') == 1
    assert amltool(project.folder, "wait", again).returncode == 0
    assert not (project.folder / ".git/amltool/runs" / again).exists()


def test_a_rerun_whose_original_is_deleted_meanwhile_is_recorded_without_a_verdict(project: Project) -> None:
    again = project.let_go()
    opened = open_project(project.folder)
    opened.history.delete(project.original)
    project.hold.unlink()

    found = wait_for(opened, again, Silent())

    assert (found.record.status.value, found.verdicts) == ("Completed", ())
    assert judged(opened, found.record) is None
    assert amltool(project.folder, "wait", again).returncode == 0


def test_a_rerun_that_is_canceled_cannot_be_compared(project: Project) -> None:
    again = project.let_go()
    amltool(project.folder, "cancel", again)
    done = amltool(project.folder, "wait", again, check=False)
    assert (done.returncode, "Verdict: not-comparable" in done.stdout) == (1, True)


def test_a_list_of_artifacts_that_this_clone_does_not_keep_makes_a_run_not_comparable(project: Project) -> None:
    opened = open_project(project.folder)
    [original] = opened.history.runs()
    elsewhere = LongList(count=300, bytes=9, sha256="f" * 64, path="artifacts.json")
    long = replace(original, record=replace(original.record, artifacts=elsewhere))
    report = judge(opened, long, original, EXACTLY)
    assert report.verdict is Verdict.NOT_COMPARABLE
    assert report.causes == ("the list of the original's artifacts is not here",)


@pytest.mark.parametrize("words", [("--rtol", "nan"), ("--atol", "inf"), ("--rtol=-1",)])
def test_a_tolerance_that_is_none_is_refused_before_anything_runs(project: Project, words: tuple[str, ...]) -> None:
    refused = amltool(project.folder, "rerun", *words, check=False)
    assert (refused.returncode, "takes a number, 0 or more" in refused.stderr) == (1, True)
    assert len(project.json("runs")) == 1
