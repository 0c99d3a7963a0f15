"""Runs whose home folder is another one later, or cannot be used at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.amltool_command import amltool, make_project, submit

SLOW = "import time\ntime.sleep(2)\nopen('outputs/x', 'w').write('x')\n"


def test_a_run_is_found_where_it_was_started_whatever_home_a_later_command_has(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": SLOW})
    root = str(Path(__file__).resolve().parents[2])
    client = subprocess.Popen(
        [sys.executable, "-m", "amltool", "submit", "train.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while time.monotonic() < end and not list(Path(os.environ["HOME"]).glob(".amltool/runs/*/start.json")):
        time.sleep(0.02)
    client.send_signal(signal.SIGKILL)
    client.wait()
    (tmp_path / "other").mkdir()
    run = json.loads(amltool(folder, "wait", "@", "--json", HOME=str(tmp_path / "other")).stdout)
    assert run["status"] == "Completed"
    assert "outputs/x" in {artifact["path"] for artifact in run["artifacts"]}
    assert run["shared_folder"]["host_path"].startswith(os.environ["HOME"])


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": SLOW})
    (tmp_path / "file").write_text("")
    done = amltool(folder, "submit", "train.py", check=False, HOME=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "Cannot write" in done.stderr
    journal = folder / ".git/amltool/runs"
    assert not journal.exists() or list(journal.iterdir()) == []


def test_a_detached_run_is_recorded_though_somebody_looked_at_it_at_once(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": SLOW})
    run_id = json.loads(amltool(folder, "submit", "train.py", "--detach", "--json").stdout)["run_id"]
    for _ in range(5):
        amltool(folder, "runs")
    end = time.monotonic() + 120
    while time.monotonic() < end and (folder / ".git/amltool/runs" / run_id).exists():
        time.sleep(0.05)
    assert json.loads(amltool(folder, "show", run_id, "--json").stdout)["status"] == "Completed"


def test_the_only_copy_of_a_file_goes_only_when_asked_for(tmp_path: Path, isolated_home: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "open('outputs/x', 'w').write('x' * 99)\n"})
    (folder / "aml_config/project.yml").write_text("max_artifact_size: 50\n")
    submit(folder)
    submit(folder, "train.py", "--untracked")
    amltool(folder, "clean", "--yes")
    runs = isolated_home / ".amltool/runs"
    assert len(list(runs.iterdir())) == 2
    assert "the only copy of files that were not collected" in amltool(folder, "clean", "--only-copies").stdout
    amltool(folder, "clean", "--only-copies", "--yes")
    assert list(runs.iterdir()) == []


def test_characters_the_terminal_has_not_and_a_closed_output_are_no_bugs(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": "open('outputs/ü', 'w').write('x')\n"})
    submit(folder)
    assert "outputs/\\xfc" in amltool(folder, "outputs", "@", PYTHONIOENCODING="ascii").stdout
    root = str(Path(__file__).resolve().parents[2])
    command = f"{sys.executable} -m amltool runs >&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True
    )
    assert done.returncode in (0, 1)
    assert b"bug of its own" not in done.stderr


def test_above_a_project_it_says_where_the_project_is(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project", {"train.py": SLOW})
    from tests.repositories import commit_all

    (folder / "part").mkdir()
    (folder / "aml_config").rename(folder / "part" / "aml_config")
    commit_all(folder)
    done = amltool(folder, "submit", "train.py", check=False)
    assert (done.returncode, "Change to one of: part" in done.stderr) == (1, True)
