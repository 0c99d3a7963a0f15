"""`clean` on a host that others use as well: what a run under way there needs is seen there, and stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from amltool.targets.what_lies import NEVER_STARTED_S
from tests.amltool_command import amltool, make_project
from tests.repositories import make_repository
from tests.terminal import at_terminal

BUILT = '{"type": "local", "userManagedEnvironment": false}\n'
RUN = "ArgumentVector: [train.py]\nTarget: local\nFramework: Python\n"
KEY = "e" * 32
SECOND_RUN = "20261121T000000-0000000-k4qd"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {"train.py": "print(1)\n", "aml_config/local.compute": BUILT, "aml_config/local.runconfig": RUN}
    return make_repository(tmp_path / "project", files)


@pytest.fixture
def root(isolated_home: Path) -> Path:
    return isolated_home / ".amltool"


@pytest.fixture
def environment(root: Path) -> Path:
    """One that was built here, whole."""
    made = root / "environments" / KEY
    made.mkdir(parents=True)
    (made / "environment.json").write_text("{}" * 500)
    return made


def run_of_another_clone(root: Path, *marks: str, name: str = SECOND_RUN, **uses: str) -> Path:
    folder, own = root / "runs" / name, root / "marks" / name
    for made in (folder, own):
        made.mkdir(parents=True)
    if uses:
        (own / "uses.json").write_text(json.dumps(uses))
    for mark in marks:
        place = folder if mark in ("start", "exit") else own
        (place / f"{mark}.json").write_text('{"project": "/elsewhere/.git:", "at": "2026"}')
    return folder


def marks_of(folder: Path) -> Path:
    return folder.parents[1] / "marks" / folder.name


def found(project: Path, *options: str) -> list[tuple[str, str]]:
    items: list[dict[str, Any]] = json.loads(amltool(project, "clean", "--json", "--environments", *options).stdout)
    return [(item["kind"], Path(item["place"]).name) for item in items]


def age(place: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(place, (then, then))


@pytest.mark.parametrize("marks", [(), ("start",)])
def test_an_environment_stays_that_a_run_of_another_clone_needs(
    project: Path, root: Path, environment: Path, marks: tuple[str, ...]
) -> None:
    assert found(project) == [("environment", KEY)]
    run_of_another_clone(root, *marks, environment=KEY)
    assert found(project, "--yes") == []
    assert environment.exists()


@pytest.mark.parametrize("mark", ["exit", "released", "untracked"])
def test_a_run_that_is_over_needs_no_environment(project: Path, root: Path, environment: Path, mark: str) -> None:
    run_of_another_clone(root, "start", mark, environment=KEY)
    assert found(project, "--yes") == [("environment", KEY)]
    assert not environment.exists()


def test_a_run_that_never_started_does_not_hold_an_environment_for_good(
    project: Path, root: Path, environment: Path
) -> None:
    folder = run_of_another_clone(root, environment=KEY)
    assert found(project) == []
    age(marks_of(folder) / "uses.json", NEVER_STARTED_S + 60)
    assert found(project) == [("environment", KEY)]


def test_folders_of_other_clones_and_damaged_marks_are_left_alone(project: Path, root: Path) -> None:
    run_of_another_clone(root, "start", "exit", "released")
    odd = run_of_another_clone(root, name=os.fsdecode(b"odd\xff"))
    (marks_of(odd) / "released.json").write_bytes(b"\xff{")
    (marks_of(odd) / "uses.json").write_text("[]")
    (root / "runs" / "file").write_text("")
    assert found(project, "--only-copies", "--yes") == []
    assert len(list((root / "runs").iterdir())) == 3


def test_a_recorded_run_whose_folder_could_not_be_marked_goes_too(tmp_path: Path, root: Path) -> None:
    project = make_project(tmp_path / "plain", {"train.py": "print(1)\n"})
    run_id = json.loads(amltool(project, "submit", "train.py", "--json").stdout)["run_id"]
    mark = root / "marks" / run_id / "released.json"
    mark.unlink()
    run_of_another_clone(root)  # not recorded here, and without a mark as well

    assert [name for kind, name in found(project) if kind == "run folder"] == [run_id]


def test_a_library_goes_when_no_run_can_need_it(project: Path, root: Path) -> None:
    amltool(project, "targets", "--check", check=False)
    old, fresh = root / "lib" / "0123456789abcdef", root / "lib" / "fedcba9876543210"
    for library in (old, fresh):
        library.mkdir(parents=True)
    age(old, 7200)
    run = run_of_another_clone(root, "start", environment=KEY, library=old.name)
    assert found(project) == [], "a run goes on with it"
    (marks_of(run) / "uses.json").write_text(json.dumps({"environment": KEY, "library": fresh.name}))
    assert found(project) == [("library", old.name)]
    (marks_of(run) / "uses.json").unlink()
    assert found(project) == [], "it may be this one's"
    (run / "exit.json").write_text("{}")
    assert found(project, "--yes") == [("library", old.name)]
    assert [library.name for library in (root / "lib").iterdir() if library == fresh] == [fresh.name]
    assert not old.exists()


def test_the_settings_of_a_build_stay_while_anything_is_built(project: Path, root: Path) -> None:
    import fcntl

    settings, lock = root / "environments" / "settings-00", root / "environments" / "locks" / KEY
    settings.mkdir(parents=True)
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert found(project) == []
    assert found(project) == [("environment", "settings-00")]


def test_a_machine_that_is_away_is_a_sentence_and_the_rest_is_cleaned(
    project: Path, environment: Path, tmp_path: Path
) -> None:
    away = {"type": "remote", "address": "127.0.0.1", "port": 9, "username": "ada"}
    for name in ("one", "two"):
        (project / f"aml_config/{name}.compute").write_text(json.dumps(away))
    done = amltool(project, "clean", "--environments", "--yes")
    assert not environment.exists()
    assert "Removed" in done.stdout
    for name in ("one", "two"):
        assert f"What {name} has is not all known: " in done.stderr
    named = amltool(project, "clean", "--target", "one", check=False)
    assert (named.returncode, "Traceback" in named.stderr) == (1, False)


def test_each_kind_has_its_sum(project: Path, root: Path, environment: Path) -> None:
    (root / "lib" / "0123456789abcdef").mkdir(parents=True)
    (root / "lib" / "0123456789abcdef" / "file").write_text("x" * 3000)
    age(root / "lib" / "0123456789abcdef", 7200)
    said = amltool(project, "clean", "--environments").stdout.splitlines()
    assert [line.partition("  ")[2] for line in said[-3:-1]] == ["library (1)", "environment (1)"]
    assert "can go. Remove it with the same command and --yes." in said[-1]


def test_at_a_terminal_it_asks_before_anything_goes(project: Path, environment: Path) -> None:
    words = ("clean", "--environments")
    refused = at_terminal(project, *words, answers=(("Remove it? [yes/no]", "no"),))
    assert (refused.exit_code, environment.exists()) == (0, True)
    assert refused.screen.index("can go") < refused.screen.index("Remove it? [yes/no]")
    agreed = at_terminal(project, *words, answers=(("Remove it? [yes/no]", "yes"),))
    assert (agreed.exit_code, environment.exists()) == (0, False)
    assert "Removed" in agreed.screen
