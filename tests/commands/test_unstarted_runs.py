"""A run whose id was printed and that never began is in the history once, whatever stopped it and wherever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amltool.commands.looking import cancel_run, console_of, shown
from amltool.commands.opening import Opened, open_project
from amltool.commands.submit import Interrupted, Submission, submit
from amltool.errors import TargetError, UserError
from amltool.history.history import History
from amltool.history.journal import Step
from amltool.run import Run
from amltool.targets import base
from amltool.targets.watcher import Silent
from tests.amltool_command import LOCAL, amltool, make_project

STEPS = [Step.REQUESTED, Step.PREPARED, Step.PLACED]
REASONS = [
    UserError("The package index\nsaid no.", "Ask again."),
    TargetError("Docker refused it."),
    OSError(28, "No space left on device"),
    RuntimeError("x" * 5000),
]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    project = make_project(tmp_path / "project", {"train.py": "print('ran')\n"})
    monkeypatch.chdir(project)
    return open_project(project)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: Step, why: BaseException) -> None:
    def fail(_: object) -> None:
        raise why

    monkeypatch.setitem(base._STEPS, step, fail)


def the_only_run(opened: Opened) -> Run:
    assert opened.journal.entries() == []
    [run] = open_project(opened.project.root).history.runs()
    return run


@pytest.mark.parametrize("why", REASONS, ids=lambda why: type(why).__name__)
@pytest.mark.parametrize("step", STEPS)
def test_it_is_recorded_as_failed_with_the_reason(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, step: Step, why: Exception
) -> None:
    stop_at(monkeypatch, step, why)
    with pytest.raises(type(why)):
        submit(opened, Submission(script="train.py"), Silent())
    run = the_only_run(opened)
    assert run.record.status.value == "Failed"
    assert run.record.exit_code is None
    assert str(run.record.reason).startswith("not started: ")
    assert len(str(run.record.reason)) < 400
    assert not list((Path.home() / ".amltool/runs").glob("2*"))


@pytest.mark.parametrize("step", STEPS[:2])
def test_a_ctrl_c_before_its_start_is_recorded_as_canceled(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    stop_at(monkeypatch, step, KeyboardInterrupt())
    with pytest.raises(Interrupted):
        submit(opened, Submission(script="train.py"), Silent())
    run = the_only_run(opened)
    assert (run.record.status.value, run.record.reason) == ("Canceled", "interrupted before it started")


def test_one_whose_id_was_never_printed_leaves_nothing(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, Step.PREPARED, UserError("No.", "Yes."))
    with pytest.raises(UserError):
        submit(opened, Submission(script="train.py"), Silent(), detach=True)
    assert opened.journal.entries() == []
    assert list(opened.history.runs()) == []


def test_what_cannot_be_recorded_now_is_recorded_by_the_next_command(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, Step.PREPARED, UserError("No.", "Yes."))
    with monkeypatch.context() as full:
        full.setattr(History, "record", lambda *_, **__: (_ for _ in ()).throw(UserError("The disk is full.", "")))
        with pytest.raises(UserError, match="No"):
            submit(opened, Submission(script="train.py"), Silent())
    [entry] = opened.journal.entries()
    [run] = json.loads(amltool(opened.project.root, "runs", "--json").stdout)
    assert (run["run_id"], run["status"], run["reason"]) == (entry.run_id, "Failed", "not started: No")


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(what=st.text(max_size=400), step=st.sampled_from(STEPS))
def test_whatever_the_reason_says_every_command_finds_it(
    tmp_path_factory: pytest.TempPathFactory, what: str, step: Step
) -> None:
    project = make_project(tmp_path_factory.mktemp("any") / "project", {"train.py": "print('ran')\n"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        opened = open_project(project)
        stop_at(patch, step, UserError(what, "x"))
        with pytest.raises(UserError):
            submit(opened, Submission(script="train.py"), Silent())
        run = the_only_run(opened)
        found = shown(open_project(project), run.run_id)
        assert isinstance(found, Run)
        with pytest.raises(UserError, match="is over: Failed"):
            cancel_run(open_project(project), run.run_id)
        with pytest.raises(UserError, match="left no console: it is Failed"):
            list(console_of(open_project(project), run.run_id, follow=False))


def test_a_user_finds_it_by_the_id_that_was_printed(tmp_path: Path) -> None:
    """Its environment is not there, and may not be built."""
    own = f"{LOCAL['aml_config/local.compute']}userManagedEnvironment: false\n"
    needs = "name: e\ndependencies:\n- python\n- pip:\n  - no-such-package==1.0\n"
    files = {"train.py": "print(1)\n", "aml_config/local.compute": own, "aml_config/conda_dependencies.yml": needs}
    local = LOCAL["aml_config/local.runconfig"] + "CondaDependenciesFile: aml_config/conda_dependencies.yml\n"
    project = make_project(tmp_path / "project", {**files, "aml_config/local.runconfig": local})
    done = amltool(project, "submit", "train.py", "--target", "local", check=False)
    assert done.returncode == 1
    assert "is not prepared" in done.stderr
    run_id = next(line.split()[1] for line in done.stderr.splitlines() if line.startswith("RunId: "))
    assert f"Run {run_id} did not start; it is recorded as Failed." in done.stderr
    assert "not started: The compute target is not prepared" in amltool(project, "show", run_id).stdout
    waited = amltool(project, "wait", run_id, check=False)
    assert waited.returncode == 1
    assert "not started" in waited.stderr
    assert "not started" in amltool(project, "logs", run_id, check=False).stderr
    assert "is over: Failed" in amltool(project, "cancel", run_id, check=False).stderr
