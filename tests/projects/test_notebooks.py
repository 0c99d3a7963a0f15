"""A notebook is submitted as a script is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.amltool_command import amltool, make_project, submit
from tests.notebooks import environment_with_notebooks, notebook, printed

MakeProject = Callable[[str], Path]


@pytest.fixture(scope="session")
def notebook_python(tmp_path_factory: pytest.TempPathFactory, package_index: None) -> Path:
    """The Python of an environment that runs notebooks."""
    return environment_with_notebooks(tmp_path_factory)


def project_with(python: Path, folder: Path, content: str) -> Path:
    compute = f'type: "local"\npythonLocation: "{python}"\nnativeSharedDirectory: "~/.azureml/share/"\n'
    return make_project(folder, {"aml_config/local.compute": compute, "notes/analysis.ipynb": content})


@pytest.fixture
def project(tmp_path: Path, notebook_python: Path) -> MakeProject:
    return lambda content: project_with(notebook_python, tmp_path / "a project", content)


def executed(folder: Path, run_id: str) -> bytes:
    download = folder.parent / "downloaded"
    amltool(folder, "outputs", run_id, "--path=outputs/notes/analysis.ipynb", f"--download={download}")
    return (download / "outputs/notes/analysis.ipynb").read_bytes()


def test_a_notebook_runs_with_its_parameters_and_is_collected_executed(project: MakeProject) -> None:
    folder = project(
        notebook(
            "from amltool import tracking\ntracking.log_metric('double', rate * 2)\nprint('rate', rate)",
            "import os; print(sorted(os.listdir('.')))",
            parameters="rate = 1",
        )
    )
    record = submit(folder, "notes/analysis.ipynb", arguments=("rate=0.25",))
    assert (record["status"], record["exit_code"]) == ("Completed", 0)
    assert record["metrics"]["double"]["last"] == 0.5
    assert [artifact["path"] for artifact in record["artifacts"] if artifact["path"].startswith("outputs/")] == [
        "outputs/notes/analysis.ipynb"
    ]
    shown = printed(executed(folder, record["run_id"]))
    assert shown == "rate 0.25\n['aml_config', 'logs', 'notes', 'outputs']\n"


def test_a_notebook_that_fails_is_collected_as_far_as_it_came(project: MakeProject) -> None:
    folder = project(notebook("print('one')", "import sys; sys.exit(3)", "print('never')"))
    record = submit(folder, "notes/analysis.ipynb")
    assert (record["status"], record["exit_code"]) == ("Failed", 3)
    assert printed(executed(folder, record["run_id"])).startswith("one\n")


def test_a_canceled_notebook_is_collected_as_far_as_it_came(project: MakeProject) -> None:
    folder = project(notebook("print('one')", "print('two'); import time; time.sleep(60)"))
    started = json.loads(
        amltool(folder, "submit", "notes/analysis.ipynb", "--target=local", "--detach", "--json").stdout
    )
    until = time.monotonic() + 120
    while "two" not in amltool(folder, "logs", started["run_id"]).stdout:
        assert time.monotonic() < until
    amltool(folder, "cancel", started["run_id"])
    record = json.loads(amltool(folder, "show", started["run_id"], "--json").stdout)
    assert record["status"] == "Canceled"
    assert printed(executed(folder, record["run_id"])) == "one\ntwo\n"


def test_an_environment_without_what_notebooks_need_is_told_what_to_add(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    folder = project_with(tmp_path / "bare/bin/python", tmp_path / "project", notebook("print(1)"))
    record = submit(folder, "notes/analysis.ipynb")
    assert (record["status"], record["exit_code"]) == ("Failed", 1)
    console = amltool(folder, "logs", record["run_id"]).stdout
    assert "Add nbclient and ipykernel under pip in conda_dependencies.yml" in console
