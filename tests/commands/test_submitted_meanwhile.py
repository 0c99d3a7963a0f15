"""`clean` of what a run came to need between the look and the removal: it stays, and that is told."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from amltool.commands.cleaning import Wanted, _left_behind, find_removable, remove
from amltool.commands.opening import Opened, open_project
from amltool.history.journal import Journal
from amltool.layout import NOTES_REF
from amltool.targets.drive import Target
from tests.amltool_command import amltool, make_project, submit
from tests.repositories import git

TRAIN = "open('outputs/model', 'w').write('the same each time')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": TRAIN})


def forget_history(project: Path) -> None:
    """What somebody does who wants the history gone (docs/history-format.md)."""
    for ref in (NOTES_REF, "refs/amltool/history"):
        git(project, "update-ref", "-d", ref)


def test_artifacts_of_a_run_that_was_recorded_meanwhile_stay(project: Path, tmp_path: Path) -> None:
    submit(project)
    forget_history(project)
    opened, told = open_project(project), list[str]()
    found = find_removable(opened, Wanted(store=True))
    assert "artifact" in {item.kind for item in found}
    record = submit(project)

    gone = remove(opened, found, told.append)

    assert {item.place for item in gone}.isdisjoint(artifact["sha256"] for artifact in record["artifacts"])
    assert any("a run that was submitted meanwhile may need it" in each for each in told)
    amltool(project, "outputs", "@", "--download", str(tmp_path / "downloaded"))
    assert (tmp_path / "downloaded" / "outputs" / "model").read_text() == "the same each time"


def test_artifacts_stay_while_a_run_goes_on_that_was_submitted_meanwhile(project: Path, hold: Path) -> None:
    submit(project)
    forget_history(project)
    (project / "slow.py").write_text(f"import os, time\nwhile os.path.exists({str(hold)!r}): time.sleep(0.02)\n")
    opened, told = open_project(project), list[str]()
    found = [item for item in find_removable(opened, Wanted(store=True)) if item.kind == "artifact"]
    amltool(project, "submit", "slow.py", "--target", "local", "--detach")

    assert remove(opened, found, told.append) == []
    assert len(told) == len(found)
    hold.unlink()
    amltool(project, "wait", "@")


def test_no_run_is_added_while_artifacts_are_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(project)
    opened = open_project(project)
    request = json.loads(amltool(project, "runs", "--json").stdout)[0]
    with opened.journal.closed():
        monkeypatch.setattr("amltool.locks.LOCKED_S", 0.1)
        monkeypatch.setattr("amltool.files.LOCKED_S", 0.1)
        with pytest.raises(Exception, match="kept locked"):
            Journal(opened.git.layout).add(cast(Any, SimpleNamespace(run_id=request["run_id"])))


def test_the_container_of_a_run_that_began_while_they_were_listed_is_none_that_was_left(
    project: Path, hold: Path
) -> None:
    opened = open_project(project)
    (project / "slow.py").write_text(f"import os, time\nwhile os.path.exists({str(hold)!r}): time.sleep(0.02)\n")

    def left_behind(host: object, clone: str) -> list[Any]:
        said = amltool(project, "submit", "slow.py", "--target", "local", "--detach", "--json").stdout
        return [SimpleNamespace(kind="container", place="c", size=1, run_id=json.loads(said)["run_id"])]

    target = SimpleNamespace(name="docker", host=None, launcher=SimpleNamespace(left_behind=left_behind))
    assert _left_behind(cast(Opened, opened), cast(Target, target)) == []
    hold.unlink()
    amltool(project, "wait", "@")


def test_whoever_cleans_the_store_again_and_again_beside_runs_takes_nothing_of_theirs(
    project: Path, tmp_path: Path
) -> None:
    written = project / "written.py"
    written.write_text("import sys\nopen('outputs/model', 'w').write(sys.argv[1])\n")
    is_over, told = threading.Event(), list[str]()

    def clean() -> None:
        while not is_over.is_set():
            done = amltool(project, "clean", "--store", "--yes", check=False)
            told.append(done.stdout + done.stderr)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        runs = {text: submit(project, "written.py", arguments=(text,)) for text in ("first", "second", "third")}
    finally:
        is_over.set()
        cleaner.join()
    assert told
    assert not [each for each in told if "bug of its own" in each]
    for text, record in runs.items():
        assert record["status"] == "Completed", record
        amltool(project, "outputs", record["run_id"], "--download", str(tmp_path / text))
        assert (tmp_path / text / "outputs" / "model").read_text() == text
