"""The variables of a run: its own, ours, and nothing that points at the user's folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from amltool.layout import RunFolder
from amltool.targets.variables import inherited_variables, run_variables
from tests.history.test_journal import request


def test_nothing_points_at_the_users_own_folder(tmp_path: Path) -> None:
    project = tmp_path / "project"
    found = inherited_variables(
        project,
        {
            "PWD": str(project), "OLDPWD": str(project), "GIT_DIR": str(project / ".git"), "PATH": "/bin",
            "PYTHONPATH": f"{project}/src:/opt/lib:", "HOME": "/home/ada",
        },
    )  # fmt: skip
    assert found == {"PATH": "/bin", "PYTHONPATH": "/opt/lib", "HOME": "/home/ada"}


def variables(share: PurePosixPath | None, **own: str) -> dict[str, str]:
    folder = RunFolder(PurePosixPath("/r/runs/x"))
    return run_variables({"PYTHONPATH": "/opt/lib"}, request(), own, folder, PurePosixPath("/r/lib/site"), share)


def test_the_share_ends_in_a_separator_and_is_unset_without_one() -> None:
    assert variables(PurePosixPath("/share/p"))["AZUREML_NATIVE_SHARE_DIRECTORY"] == "/share/p/"
    assert "AZUREML_NATIVE_SHARE_DIRECTORY" not in variables(None)


def test_tracking_stands_before_the_users_python_path_so_that_its_sitecustomize_is_found() -> None:
    assert variables(None)["PYTHONPATH"] == "/r/lib/site:/opt/lib"
    assert variables(None, PYTHONPATH="/own")["PYTHONPATH"] == "/r/lib/site:/own"


def test_ours_cannot_be_overridden_by_the_run_configuration() -> None:
    assert variables(None, AMLTOOL_RUN_ID="forged")["AMLTOOL_RUN_ID"] == request().run_id
    assert variables(None, OMP_NUM_THREADS="2")["OMP_NUM_THREADS"] == "2"
