"""Questions about finished runs, asked as a user asks them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.repositories import commit_all, git, write_files
from tests.waiting import wait_until

SCRIPT = """
import sys
from amltool import tracking
tracking.log_metric("Accuracy", float(sys.argv[1]))
open("outputs/model.txt", "w").write(sys.argv[1])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("questions") / "project"


@pytest.fixture
def runs(project: Path, isolated_home: Path) -> Path:
    """Three runs, the second of another commit; made once."""
    if not project.exists():
        make_project(project, {"train.py": SCRIPT})
        submit(project, arguments=("0.5",))
        write_files(project, {"train.py": SCRIPT + "# better\n"})
        commit_all(project, "better")
        submit(project, arguments=("0.9",))
        submit(project, arguments=("not a number",))
    return project


def ask(folder: Path, *arguments: str) -> object:
    return json.loads(amltool(folder, *arguments, "--json").stdout)


def test_runs_are_listed_newest_first_with_their_metrics(runs: Path) -> None:
    listed = ask(runs, "runs")
    assert isinstance(listed, list)
    assert [run["status"] for run in listed] == ["Failed", "Completed", "Completed"]
    assert [run["run_number"] for run in listed] == [3, 2, 1]
    table = amltool(runs, "runs").stdout
    assert "Accuracy" in table
    assert "0.9" in table


def test_the_ancestors_queries_work(runs: Path) -> None:
    assert ask(runs, "runs", "--query", "@[?Accuracy != null] | max_by(@, &Accuracy).Accuracy") == 0.9
    assert ask(runs, "runs", "--query", "length([?status=='Completed'])") == 2
    assert ask(runs, "runs", "--query", "@[?Accuracy >= sum(`[1, -0.2]`)] | sort_by(@, &duration)[].run_number") == [2]


def test_status_and_best_choose_among_runs(runs: Path) -> None:
    assert len(ask(runs, "runs", "--status", "failed")) == 1  # type: ignore[arg-type]
    assert [run["run_number"] for run in ask(runs, "runs", "--best", "Accuracy")] == [2, 1]  # type: ignore[attr-defined]
    assert [run["run_number"] for run in ask(runs, "runs", "--best=-Accuracy")] == [1, 2]  # type: ignore[attr-defined]
    done = amltool(runs, "runs", "--best", "Recall", check=False)
    assert (done.returncode, "Known metrics: Accuracy" in done.stderr) == (1, True)


def test_a_run_is_found_by_prefix_suffix_and_count(runs: Path) -> None:
    newest = ask(runs, "show", "@")
    assert isinstance(newest, dict)
    run_id = newest["run_id"]
    assert ask(runs, "show", run_id[-4:]) == newest
    assert ask(runs, "show", run_id[:-1]) == newest
    assert ask(runs, "show", "@3")["run_number"] == 1  # type: ignore[index]


def test_compare_shows_code_configuration_metrics_and_outputs(runs: Path) -> None:
    made = ask(runs, "compare", "@2,@3")
    assert isinstance(made, dict)
    assert dict(made["metrics"])["Accuracy"] == [0.9, 0.5]
    assert "outputs/model.txt" in dict(made["outputs"])
    assert made["code"] == ["M train.py"]
    assert dict(made["fields"])["arguments"] == [["0.9"], ["0.5"]]
    assert "Files that differ" in amltool(runs, "compare", "@2", "@3").stdout


def test_a_rerun_of_a_commit_repeats_each_of_its_runs_with_a_verdict(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(runs, folder)
    done = amltool(folder, "rerun", "--commit", "HEAD", "--json")
    verdicts = [(item["verdict"], item["rerun_of"]) for item in json.loads(done.stdout)]
    assert [verdict for verdict, _ in verdicts] == ["reproduced", "reproduced"], "a failure that fails the same way too"
    shown = json.loads(amltool(folder, "show", verdicts[0][1], "--json").stdout)
    assert shown["verdicts"][0]["verdict"] == "reproduced"


def test_a_rerun_that_differs_says_why_and_exits_with_one(tmp_path: Path) -> None:
    script = "import random\nopen('outputs/x', 'w').write(str(random.random()))\n"
    folder = make_project(tmp_path / "project", {"train.py": script})
    submit(folder)
    done = amltool(folder, "rerun", "@", check=False)
    assert done.returncode == 1
    assert "Verdict: differs" in done.stdout
    assert "seed" in done.stdout
    assert amltool(folder, "rerun", "@2", "--ignore-output", "outputs/x").returncode == 0


def test_a_metric_within_the_tolerance_is_said_so(tmp_path: Path) -> None:
    script = (
        "import os\nfrom amltool import tracking\ntracking.log_metric('m', 1 + len(os.environ['AMLTOOL_X']) / 1000)\n"
    )
    folder = make_project(tmp_path / "project", {"train.py": script})
    submit(folder, "train.py", AMLTOOL_X="a")
    loose = json.loads(amltool(folder, "rerun", "@", "--rtol", "0.01", "--json", AMLTOOL_X="aaa").stdout)
    assert loose["verdict"] == "within-tolerance"
    strict = json.loads(amltool(folder, "rerun", "@2", "--json", check=False, AMLTOOL_X="aaa").stdout)
    assert strict["verdict"] == "differs"


def test_a_run_of_uncommitted_work_can_be_run_again_after_it_is_gone(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "print('old')\n"})
    write_files(folder, {"train.py": "open('outputs/x', 'w').write('new')\n"})
    record = submit(folder)
    assert record["dirty"]
    git(folder, "checkout", "-q", "--", "train.py")
    git(folder, "commit", "-q", "--amend", "-m", "amended")
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "gc", "-q", "--prune=now")
    again = json.loads(amltool(folder, "rerun", record["run_id"], "--json").stdout)
    assert again["verdict"] == "reproduced"
    shown = json.loads(amltool(folder, "show", again["run_id"], "--json").stdout)
    assert (shown["dirty"], shown["base_commit"]) == (True, record["base_commit"])


def test_clean_says_sizes_first_and_removes_only_when_asked(tmp_path: Path, isolated_home: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "print(1)\n"})
    submit(folder)
    (released,) = (isolated_home / ".amltool/runs").iterdir()
    assert "can go" in amltool(folder, "clean").stdout
    assert released.exists()
    assert "Removed" in amltool(folder, "clean", "--yes").stdout
    assert not released.exists()
    assert json.loads(amltool(folder, "history.check", "--json").stdout)["ok"]
    assert amltool(folder, "clean", "--store").stdout.startswith("Nothing to clean")


def test_only_the_newest_run_folders_are_kept(tmp_path: Path, isolated_home: Path, hold: Path) -> None:
    script = "import os, sys, time\nwhile os.path.exists(sys.argv[1]):\n    time.sleep(0.05)\n"
    files = {"train.py": script, "aml_config/project.yml": "keep_run_folders: 2\n"}
    folder = make_project(tmp_path / "project", files)  # type: ignore[arg-type]
    for _ in range(4):  # all at once, or one takes over the folder of another that has ended
        amltool(folder, "submit", "train.py", "--detach", "--", str(hold))
    hold.unlink()
    for row in list((folder / ".git/amltool/runs").iterdir()):
        amltool(folder, "wait", row.name)
    wait_until(lambda: len(list((isolated_home / ".amltool/runs").iterdir())) == 2)  # whoever drives one tidies up last


def test_targets_and_run_configurations_can_be_listed_made_and_deleted(runs: Path, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "print(1)\n"})
    assert (
        amltool(folder, "runconfig", "fast", "--target", "local").stderr.strip().endswith("aml_config/fast.runconfig")
    )
    (target,) = json.loads(amltool(folder, "targets", "--json").stdout)
    assert target["run_configurations"] == ["fast", "local"]
    assert json.loads(amltool(folder, "runconfig", "--json").stdout) == ["fast.runconfig", "local.runconfig"]
    commit_all(folder)
    assert submit(folder, "train.py", "-c", "fast")["run_configuration"] == "fast"
    amltool(folder, "runconfig", "fast", "--delete")
    assert amltool(folder, "runconfig").stdout == "local\n"


def test_the_doctor_names_what_is_missing(tmp_path: Path, runs: Path) -> None:
    assert "ok" in amltool(runs, "doctor").stdout
    done = amltool(tmp_path, "doctor", check=False)
    assert (done.returncode, "not in a Git repository" in done.stdout) == (1, True)


def test_the_doctor_looks_for_the_interpreter(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": ""})
    assert "local, with /" in amltool(folder, "doctor").stdout
    compute = folder / "aml_config/local.compute"
    compute.write_text(compute.read_text() + 'pythonLocation: "/nowhere/python"\n')

    done = amltool(folder, "doctor", check=False)

    assert (done.returncode, "no interpreter '/nowhere/python'" in done.stdout) == (1, True)


def test_history_is_shown_beside_commits_by_plain_git(runs: Path) -> None:
    shown = git(runs, "log", "--notes=amltool/runs", "--format=%N")
    assert sum('"event":"run"' in line for line in shown.splitlines()) == 3


def test_an_untracked_run_leaves_no_record_and_keeps_its_folder(tmp_path: Path, isolated_home: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "open('outputs/x', 'w').write('x')\n"})
    said = amltool(folder, "submit", "train.py", "--untracked", "--json")
    record = json.loads(said.stdout)
    assert json.loads(amltool(folder, "runs", "--json").stdout) == []
    work = isolated_home / ".amltool/runs" / record["run_id"] / "work"
    assert (work / "outputs/x").read_text() == "x"
    assert f"its files: {work}" in said.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_makefile_that_includes_ours_first_keeps_its_default_target(tmp_path: Path) -> None:
    amltool(make_project(tmp_path / "project", {"train.py": ""}), "init")
    (tmp_path / "project/Makefile").write_text("include amltool.mk\nmine:\n\t@echo mine\n")

    done = subprocess.run(["make", "-s"], cwd=tmp_path / "project", capture_output=True, text=True, check=True)

    assert done.stdout == "mine\n"


def test_init_makes_a_project_that_runs_at_once(tmp_path: Path) -> None:
    from tests.repositories import make_repository

    folder = make_repository(tmp_path / "fresh", {"train.py": "open('outputs/x', 'w').write('x')\n"})
    amltool(folder, "init")
    commit_all(folder)
    assert submit(folder)["status"] == "Completed"
    assert json.loads(amltool(folder, "submit", "--json").stdout)["script"] == "train.py", "its own script setting"
    assert "kept" in amltool(folder, "init").stdout
    assert git(folder, "status", "--porcelain") == ""
