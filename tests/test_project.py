"""A project: its folder and its names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from amltool.errors import ConfigurationError, UserError
from amltool.project import Names, find_project_root, load_project, safe_part

SCOPE = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningExperimentation"
    "/accounts/{}/workspaces/{}/projects/{}"
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def identity(account: str, workspace: str, project: str) -> str:
    return f'{{"Id": "0f", "Scope": "{SCOPE.format(account, workspace, project)}"}}'


def test_the_root_is_the_nearest_folder_upwards_with_aml_config(tmp_path: Path) -> None:
    inner = tmp_path / "a/b"
    (inner / "src/deep").mkdir(parents=True)
    (inner / "aml_config").mkdir()
    (tmp_path / "aml_config").mkdir()

    assert find_project_root(inner / "src/deep", tmp_path) == inner
    assert find_project_root(inner / "aml_config", tmp_path) == inner
    assert find_project_root(tmp_path / "a", tmp_path) == tmp_path


def test_the_search_stops_at_the_top_of_the_repository(tmp_path: Path) -> None:
    top = tmp_path / "repository"
    (top / "src").mkdir(parents=True)
    (tmp_path / "aml_config").mkdir()

    assert find_project_root(top / "src", top) == top
    assert find_project_root(tmp_path, top) == top


def test_without_aml_config_the_repository_is_a_project_with_defaults(tmp_path: Path) -> None:
    root = tmp_path / "My experiment"
    root.mkdir()

    project = load_project(root)

    assert not project.has_aml_config
    assert project.names == Names("local", "default", "My-experiment")


@pytest.mark.parametrize("place", [".azureml/project.json", "aml_config/project.json"])
def test_the_ancestors_project_json_gives_the_names(tmp_path: Path, place: str) -> None:
    write(tmp_path / place, identity("acct", "ws", "iris"))

    assert load_project(tmp_path).names == Names("acct", "ws", "iris")


def test_of_the_ancestors_two_files_the_one_in_azureml_counts(tmp_path: Path) -> None:
    write(tmp_path / ".azureml/project.json", identity("new", "new", "new"))
    write(tmp_path / "aml_config/project.json", identity("old", "old", "old"))

    assert load_project(tmp_path).names == Names("new", "new", "new")


def test_what_project_yml_says_counts_before_what_the_ancestor_left(tmp_path: Path) -> None:
    write(tmp_path / ".azureml/project.json", identity("acct", "ws", "iris"))
    write(tmp_path / "aml_config/project.yml", "project: flowers\n")

    assert load_project(tmp_path).names == Names("acct", "ws", "flowers")


def test_the_scope_of_the_later_service_has_workspace_and_experiment(tmp_path: Path) -> None:
    scope = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/ws/experiments/iris"
    )
    write(tmp_path / ".azureml/project.json", f'{{"Scope": "{scope}"}}')

    assert load_project(tmp_path).names == Names("local", "ws", "iris")


@pytest.mark.parametrize(
    ("text", "place"),
    [('{"Scope": "x"\n "Id": 1}', ":2:"), ('{"Scope": ["x"]}', ":1:11: Scope: expected text"), ("\x00", ":1: ")],
)
def test_a_broken_project_json_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    write(tmp_path / ".azureml/project.json", text)

    with pytest.raises(ConfigurationError) as caught:
        load_project(tmp_path)

    assert str(caught.value).startswith(f".azureml/project.json{place}")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc", "etc"),
        ("a/b", "a-b"),
        ("..", "default"),
        ("", "default"),
        ("a b\nc", "a-b-c"),
        ("Überblick_1.2", "Überblick_1.2"),
        ("x" * 300, "x" * 100),
        ("\udcff", "default"),
    ],
)
def test_a_name_is_safe_as_one_part_of_a_path(name: str, safe: str) -> None:
    assert safe_part(name, "default") == safe


def test_a_settings_file_that_is_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "aml_config").mkdir()
    os.mkfifo(tmp_path / "aml_config/project.yml")

    with pytest.raises(UserError, match="not a regular file"):
        load_project(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "")
    (tmp_path / "pyproject.toml").chmod(0)

    with pytest.raises(UserError, match="cannot be read"):
        load_project(tmp_path)
