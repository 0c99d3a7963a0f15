"""Promote, download by link, use as an input: the flow of the documentation, and whoever gets in its way."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from amltool.history.validation import is_asset_name
from tests.amltool_command import amltool, make_project, submit
from tests.repositories import git

TRAIN = """
import sys
open("outputs/model.pkl", "w").write("weights " + sys.argv[1])
open("outputs/report.txt", "w").write("fine")
"""
SCORE = """
import os, pathlib
from amltool import tracking
place = pathlib.Path(tracking.input_path("model"))
assert str(place) == os.environ["AMLTOOL_INPUT_MODEL"]
print(place.name)
pathlib.Path("outputs/score.txt").write_text(f"scored with {place.read_text()}")
"""
WEIGHTS = hashlib.sha256(b"weights 1").hexdigest()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "iris", {"train.py": TRAIN, "score.py": SCORE})


def trained(project: Path, number: str = "1") -> str:
    return str(submit(project, arguments=(number,))["run_id"])


def promote(project: Path, run: str, *words: str) -> dict[str, Any]:
    made = amltool(project, "promote", run, "--path", "outputs/model.pkl", "--json", *words).stdout
    link: dict[str, Any] = json.loads(made)
    return link


def score(project: Path, source: str, *words: str) -> dict[str, Any]:
    return submit(project, "score.py", f"--input=model={source}", *words)


def test_train_promote_download_by_link_score_and_reproduce(project: Path, tmp_path: Path) -> None:
    run_id = trained(project)
    link = promote(project, run_id, "--name", "model.pkl")
    file = project / "assets/model.pkl.link"
    assert json.loads(file.read_text()) == link
    assert file.read_text().count("\n") == 1
    assert (link["assetSource"], link["name"], link["version"]) == ("azureml", "model.pkl", "1")
    git(project, "add", "assets")
    git(project, "commit", "-qm", "The model that scores")

    done = amltool(project, "asset.download", "-l", "assets/model.pkl.link", "-d", str(tmp_path / "models"))
    assert f"Artifact model.pkl has been downloaded to {tmp_path / 'models/model.pkl'}" in done.stderr
    assert (tmp_path / "models/model.pkl").read_text() == "weights 1"
    refused = amltool(
        project, "asset.download", "-l", "assets/model.pkl.link", "-d", str(tmp_path / "models"), check=False
    )
    assert refused.returncode == 1
    assert f"There is a file name model.pkl existing in {tmp_path / 'models'}" in refused.stderr

    record = score(project, "assets/model.pkl.link")
    assert record["status"] == "Completed"
    [entry] = record["inputs"]
    assert entry == {
        "name": "model",
        "variable": "AMLTOOL_INPUT_MODEL",
        "file": "model.pkl",
        "size": 9,
        "sha256": WEIGHTS,
        "store": "file",
        "run_id": run_id,
        "path": "outputs/model.pkl",
        "asset": "model.pkl",
        "version": "1",
    }
    shown = amltool(project, "show").stdout
    assert f"model: outputs/model.pkl of run {run_id}, asset model.pkl version 1, SHA-256 {WEIGHTS[:12]}" in shown
    assert "Promoted outputs/model.pkl to the asset model.pkl, version 1" in amltool(project, "show", run_id).stdout
    printed = amltool(project, "outputs", "@", "--path", "outputs/score.txt", "--stdout").stdout
    assert printed == "scored with weights 1"

    file.unlink()  # a rerun takes the same content by its SHA-256
    again = amltool(project, "rerun")
    assert "Verdict: reproduced" in again.stdout
    rerun = json.loads(amltool(project, "show", "--json").stdout)
    assert rerun["inputs"] == record["inputs"]


def test_an_artifact_of_a_run_is_an_input_without_an_asset(project: Path) -> None:
    run_id = trained(project)
    record = score(project, f"{run_id}:outputs/model.pkl")
    [entry] = record["inputs"]
    assert (entry["run_id"], entry["asset"], entry["sha256"]) == (run_id, None, WEIGHTS)


def test_the_version_of_a_name_grows_whatever_becomes_of_the_link(project: Path) -> None:
    first, second = trained(project), trained(project, "2")
    assert promote(project, first)["version"] == "1"
    assert promote(project, second)["version"] == "2"
    (project / "assets/model.pkl.link").unlink()
    assert promote(project, first)["version"] == "3"
    assert promote(project, first, "--name", "other")["version"] == "1"
    listed = json.loads(amltool(project, "show", first, "--json").stdout)["promotions"]
    assert [(each["name"], each["version"]) for each in listed] == [("model.pkl", 1), ("model.pkl", 3), ("other", 1)]
    assert json.loads(amltool(project, "show", second, "--json").stdout)["promotions"][0]["version"] == 2
    assert "whole" in amltool(project, "history.check").stdout


def test_a_link_with_the_keys_of_the_ancestor_alone_is_found_in_the_history(project: Path, tmp_path: Path) -> None:
    promote(project, trained(project))
    promote(project, trained(project, "2"))
    link = tmp_path / "model.pkl.link"
    link.write_text('{"assetSource":"azureml","name":"model.pkl","version":"1"}')
    amltool(project, "asset.download", "-l", str(link), "-d", str(tmp_path))
    assert (tmp_path / "model.pkl").read_text() == "weights 1"
    link.write_text('{"assetSource":"azureml","name":"model.pkl","version":"7"}')
    refused = amltool(project, "asset.download", "-l", str(link), "-d", str(tmp_path), check=False)
    assert refused.returncode == 1
    assert "Nothing here knows version 7 of the asset model.pkl" in refused.stderr


def test_what_was_promoted_is_not_cleaned_though_its_run_was_deleted(project: Path) -> None:
    from amltool.commands.opening import open_project

    run_id = trained(project)
    promote(project, run_id)
    open_project(project).history.delete(run_id)
    found = amltool(project, "clean", "--store", "--yes", "--json").stdout
    assert WEIGHTS not in found
    assert hashlib.sha256(b"fine").hexdigest() in found
    assert score(project, "assets/model.pkl.link")["status"] == "Completed"


def test_runs_that_read_something_else_are_told_apart(project: Path) -> None:
    first, second = trained(project), trained(project, "2")
    score(project, f"{first}:outputs/model.pkl")
    score(project, f"{second}:outputs/model.pkl")
    compared = amltool(project, "compare", "@,@2").stdout
    assert "inputs: model" in compared
    assert WEIGHTS[:12] in compared


def test_an_input_that_is_nowhere_any_more_is_a_sentence_before_there_is_a_run(project: Path) -> None:
    run_id = trained(project)
    original = score(project, f"{run_id}:outputs/model.pkl")
    kept = next((project / ".git/amltool/store/objects").rglob(WEIGHTS))
    kept.unlink()
    before = amltool(project, "runs", "--json").stdout
    for words in (("rerun",), ("submit", "score.py", f"--input=model={run_id}:outputs/model.pkl")):
        refused = amltool(project, *words, check=False)
        assert refused.returncode == 1
        assert "in no artifact store that can be reached from here" in refused.stderr
        assert f"amltool rerun {run_id}" in refused.stderr
    assert amltool(project, "runs", "--json").stdout == before
    assert original["status"] == "Completed"


def test_a_damaged_input_starts_nothing(project: Path) -> None:
    run_id = trained(project)
    kept = next((project / ".git/amltool/store/objects").rglob(WEIGHTS))
    kept.chmod(0o644)
    kept.write_text("weights 2")
    refused = amltool(project, "submit", "score.py", f"--input=model={run_id}:outputs/model.pkl", check=False)
    assert refused.returncode == 1
    assert "The input model cannot be used" in refused.stderr
    assert "scored" not in refused.stdout


NO_INPUTS = {
    "=@:outputs/model.pkl": "cannot be called ''",
    "../m=@:outputs/model.pkl": "cannot be called '../m'",
    "model": "--input takes",
    "model=": "--input takes",
    "model=outputs/model.pkl": "neither a link file nor a file of a run",
    "model=nothing.link": "cannot be read",
    "model=@:outputs": "names 2 files",
    "model=@:outputs/other": "Cannot find the artifact",
    "model=nobody:outputs/model.pkl": "No run is named",
}


def test_what_is_no_input_is_refused(project: Path) -> None:
    trained(project)
    for source, said in NO_INPUTS.items():
        refused = amltool(project, "submit", "score.py", f"--input={source}", check=False)
        assert refused.returncode == 1
        assert said in refused.stderr
        assert "RunId" not in refused.stderr


def test_two_inputs_have_variables_of_their_own(project: Path) -> None:
    run_id = trained(project)
    words = (f"--input=my-model={run_id}:outputs/model.pkl", f"--input=my_model={run_id}:outputs/model.pkl")
    refused = amltool(project, "submit", "score.py", *words, check=False)
    assert (refused.returncode, "the same variable" in refused.stderr) == (1, True)


def test_an_asset_has_a_safe_name(project: Path) -> None:
    run_id = trained(project)
    for name in ("../model", "a/b", ".hidden", "", "model.", "x" * 101, "a\nb"):
        assert not is_asset_name(name)
    refused = amltool(project, "promote", run_id, "--path", "outputs/model.pkl", "--name=../model", check=False)
    assert refused.returncode == 1
    assert not list(project.parent.rglob("*.link"))


def test_no_link_is_followed_to_where_links_are_written(project: Path, tmp_path: Path) -> None:
    run_id = trained(project)
    (tmp_path / "elsewhere").mkdir()
    (project / "assets").symlink_to(tmp_path / "elsewhere")
    refused = amltool(project, "promote", run_id, "--path", "outputs/model.pkl", check=False)
    assert refused.returncode == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_inputs_lie_read_only_beside_the_snapshot_and_go_with_the_run(project: Path) -> None:
    run_id = trained(project)
    record = score(project, f"{run_id}:outputs/model.pkl")
    place = Path.home() / ".amltool/runs" / record["run_id"] / "inputs/model/model.pkl"
    assert stat.S_IMODE(place.stat().st_mode) & 0o222 == 0
    assert stat.S_IMODE(place.parent.stat().st_mode) & 0o222 == 0
    assert "inputs" not in {each["path"].split("/")[0] for each in record["artifacts"]}
    submit(project, arguments=("1",))  # takes over its folder
    amltool(project, "clean", "--yes")
    assert not place.exists()


def test_an_input_of_the_shell_around_is_none_of_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMLTOOL_INPUT_MODEL", "/etc/passwd")
    (project / "score.py").write_text("import os\nassert 'AMLTOOL_INPUT_MODEL' not in os.environ\n")
    assert submit(project, "score.py")["status"] == "Completed"


def test_the_example_of_large_data_runs_as_its_page_says(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples/large_data"
    files: dict[str, bytes | str] = {
        str(path.relative_to(example)): path.read_bytes() for path in example.rglob("*") if path.is_file()
    }
    project = make_project(tmp_path / "large", files)
    assert submit(project, "outputs.py")["status"] == "Completed"
    assert submit(project, "score.py", "--input=numbers=@:outputs/numbers.bin")["status"] == "Completed"
    for _ in range(2):
        assert submit(project, "shared_folder.py")["status"] == "Completed"
    printed = amltool(project, "outputs", "@3", "--path", "outputs/size.txt", "--stdout").stdout
    assert printed == "10000000\n"
