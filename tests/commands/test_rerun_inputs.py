"""What took effect on a run is in its record, and a rerun uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.amltool_command import amltool, make_project

SCRIPT = """
import os, pathlib
text = " ".join(f"{name}={os.environ.get(name)}" for name in ("RATE", "API_TOKEN", "FROM_FILE"))
pathlib.Path("outputs/seen.txt").write_text(text)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": SCRIPT})


def record(project: Path, run: str = "@") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(amltool(project, "show", run, "--json").stdout)
    return found


def write_variable(project: Path, name: str, value: str) -> None:
    compute = project / "aml_config" / "local.compute"
    kept = compute.read_text().partition("environmentVariables")[0]
    compute.write_text(f"{kept}environmentVariables:\n  {name}: '{value}'\n")


def test_variables_and_limits_are_recorded_and_hold_in_a_rerun(project: Path) -> None:
    write_variable(project, "FROM_FILE", "then")
    amltool(project, "submit", "--set", "RATE=0.5", "--timeout", "77", "train.py")
    write_variable(project, "FROM_FILE", "now")

    done = amltool(project, "rerun")

    assert "Verdict: reproduced" in done.stdout
    for each in (record(project, "@2"), record(project)):
        assert each["environment_variables"] == {"FROM_FILE": "then", "RATE": "0.5"}
        assert (each["settings"]["timeout_s"], each["compute"]["pythonLocation"]) == (77.0, "python")


def test_a_secret_is_recorded_as_a_reference_and_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    amltool(project, "submit", "--set", "API_TOKEN=canary-1234", "train.py")
    original = record(project)
    assert original["environment_variables"] == {"API_TOKEN": "${env:API_TOKEN}"}

    refused = amltool(project, "rerun", original["run_id"], check=False)
    assert (refused.returncode, "The environment variable API_TOKEN is not set" in refused.stderr) == (1, True)
    assert "RunId" not in refused.stderr
    assert [run["run_id"] for run in json.loads(amltool(project, "runs", "--json").stdout)] == [original["run_id"]]

    monkeypatch.setenv("API_TOKEN", "canary-1234")
    assert "Verdict: reproduced" in amltool(project, "rerun", original["run_id"]).stdout


def test_another_setting_of_the_target_is_said_before_and_named_as_a_cause(project: Path) -> None:
    amltool(project, "submit", "train.py")
    compute = project / "aml_config" / "local.compute"
    compute.write_text(compute.read_text() + "maxConcurrentRuns: 3\n")
    (project / "train.py").write_text("")  # the snapshot of the run counts

    done = amltool(project, "rerun", "--json")
    assert "local.compute is used as it is now" in done.stderr
    assert "maxConcurrentRuns none -> 3" in done.stderr

    compared = amltool(project, "compare", "@,@2").stdout
    assert "maxConcurrentRuns" in compared


def test_a_rerun_on_another_target_is_not_told_what_its_compute_says_otherwise(project: Path) -> None:
    amltool(project, "submit", "train.py")
    compute = project / "aml_config" / "local.compute"
    compute.with_name("other.compute").write_text(compute.read_text() + "maxConcurrentRuns: 3\n")

    done = amltool(project, "rerun", "--target", "other", "--json")

    assert "is used as it is now" not in done.stderr


@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_a_submit_whose_secret_is_not_there_is_refused_before_it_names_a_run(
    project: Path, options: tuple[str, ...]
) -> None:
    write_variable(project, "API_TOKEN", "${env:CANARY_THAT_IS_NOT_SET}")
    refused = amltool(project, "submit", *options, "train.py", check=False)
    assert (refused.returncode, "CANARY_THAT_IS_NOT_SET is not set" in refused.stderr) == (1, True)
    assert "RunId" not in refused.stderr
    assert json.loads(amltool(project, "runs", "--json").stdout) == []


@pytest.mark.parametrize("folder", ["", "./", "src/..", "src/", "./src"])
def test_a_source_directory_is_recorded_in_one_form(project: Path, folder: str) -> None:
    (project / "src").mkdir()
    (project / "src" / "train.py").write_text(SCRIPT)
    done = amltool(project, "submit", "train.py", "--source-directory", folder)
    assert done.returncode == 0
    assert record(project)["source_directory"] == ("src" if "src" in folder and ".." not in folder else ".")


def test_a_source_directory_that_no_record_can_hold_is_a_sentence(project: Path) -> None:
    folder = project / "\udcff"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    refused = amltool(project, "submit", "train.py", "--source-directory", folder.name, check=False)
    assert (refused.returncode, "is not UTF-8, and no record can hold it" in refused.stderr) == (1, True)
    assert "RunId" not in refused.stderr
