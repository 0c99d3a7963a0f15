"""Init: a repository becomes a project, and nothing of the user's is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amltool.commands.init import Done, find_script, init
from amltool.configuration.choosing import choose
from amltool.configuration.compute import BASE_IMAGE_VARIABLE
from amltool.configuration.dependencies import read_conda_dependencies, read_spark_dependencies
from amltool.configuration.folder import working_files
from amltool.configuration.runconfig import Framework
from amltool.errors import UserError
from amltool.project import load_project
from amltool.templates import TEMPLATES


def written(top: Path, root: Path | None = None) -> list[str]:
    return [path for path, done in init(top, root or top).files if done is Done.WRITTEN]


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_written_and_every_one_is_sound(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")

    assert written(tmp_path) == list(TEMPLATES)

    files = working_files(tmp_path)
    for target, of_type in (("local", "local"), ("docker", "localdocker")):
        chosen = choose(files, files, target=target)
        assert (chosen.run_configuration.name, chosen.compute.type.value) == (target, of_type)
        assert chosen.run_configuration.warnings == chosen.compute.warnings == ()
    assert load_project(tmp_path).settings.script == "train.py"
    spark = read_spark_dependencies((tmp_path / "aml_config/spark_dependencies.yml").read_bytes(), "s.yml")
    assert spark.packages == ()
    conda = read_conda_dependencies((tmp_path / "aml_config/conda_dependencies.yml").read_bytes(), "c.yml")
    assert (conda.python_version, conda.needs_conda) == ("3.11", ())
    compile((tmp_path / "tasks.py").read_bytes(), "tasks.py", "exec")


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    init(tmp_path, tmp_path)
    before = everything_in(tmp_path)

    result = init(tmp_path, tmp_path)

    assert everything_in(tmp_path) == before
    assert {done for _, done in result.files} == {Done.KEPT}


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    mine = {path: f"mine: {path}".encode() for path in TEMPLATES}
    (tmp_path / "aml_config").mkdir()
    for path, content in mine.items():
        (tmp_path / path).write_bytes(content)

    init(tmp_path, tmp_path)

    assert everything_in(tmp_path) == mine


def test_even_a_broken_link_or_a_folder_in_a_files_place_is_kept(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").symlink_to("nowhere.py")
    (tmp_path / ".amlignore").mkdir()

    files = dict(init(tmp_path, tmp_path).files)

    assert (files["tasks.py"], files[".amlignore"]) == (Done.KEPT, Done.KEPT)
    assert (tmp_path / "tasks.py").is_symlink()


def test_only_what_is_missing_is_written(tmp_path: Path) -> None:
    init(tmp_path, tmp_path)
    (tmp_path / "aml_config/spark_dependencies.yml").unlink()
    (tmp_path / "aml_config/docker.runconfig").unlink()

    assert written(tmp_path) == ["aml_config/docker.runconfig", "aml_config/spark_dependencies.yml"]


def test_a_docker_target_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    init(tmp_path, tmp_path)
    (tmp_path / "aml_config/docker.runconfig").unlink()
    (tmp_path / "aml_config/docker.compute").unlink()

    assert written(tmp_path) == []


def test_a_project_of_the_ancestor_keeps_its_own_run_configurations(tmp_path: Path) -> None:
    (tmp_path / "aml_config").mkdir()
    for name in ("docker-python", "docker-spark"):
        (tmp_path / f"aml_config/{name}.runconfig").write_text("Target: docker\n")
    (tmp_path / "aml_config/docker.compute").write_text("type: localdocker\n")

    made = written(tmp_path)

    assert "aml_config/docker.runconfig" not in made
    assert "aml_config/local.runconfig" in made


def test_gitignore_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("data/\n")

    init(tmp_path, tmp_path)

    assert (tmp_path / ".gitignore").read_text() == "data/\n"


def test_a_folder_of_a_project_completes_that_project_and_says_so(tmp_path: Path) -> None:
    init(tmp_path, tmp_path)
    (tmp_path / "amltool.mk").unlink()
    (tmp_path / "src").mkdir()

    result = init(tmp_path, tmp_path / "src")

    assert result.root == tmp_path
    assert dict(result.files)["amltool.mk"] is Done.WRITTEN
    assert list((tmp_path / "src").iterdir()) == []
    assert "at the top" in result.next_steps[0]


def test_a_folder_of_a_repository_can_be_a_project(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()

    assert init(tmp_path, tmp_path / "experiments").root == tmp_path / "experiments"
    assert (tmp_path / "experiments/aml_config").is_dir()
    assert not (tmp_path / "aml_config").exists()


@pytest.mark.parametrize(
    ("names", "script"),
    [
        ([], None),
        (["train.py", "main.py", "other.py"], "train.py"),
        (["main.py", "other.py"], "main.py"),
        (["fit.py", "tasks.py", "setup.py", "test_fit.py"], "fit.py"),
        (["a.py", "b.py"], None),
        (["setup.py", "conftest.py"], None),
    ],
)
def test_the_script_is_the_one_that_is_obvious(tmp_path: Path, names: list[str], script: str | None) -> None:
    for name in names:
        (tmp_path / name).write_text("")

    assert find_script(tmp_path) == script


@pytest.mark.parametrize("name", ["a b.py", "ü.py", "#x.py", "true.py", '"q".py', "a: b.py"])
def test_an_odd_name_of_a_script_is_read_back_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")

    init(tmp_path, tmp_path)

    assert load_project(tmp_path).settings.script == name


def test_a_script_settled_in_pyproject_is_not_overruled(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "pyproject.toml").write_text('[tool.amltool]\nscript = "other.py"\n')

    init(tmp_path, tmp_path)

    assert load_project(tmp_path).settings.script == "other.py"


def test_a_tasks_file_of_the_users_is_kept_and_the_line_to_add_is_told(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("from invoke import task\n")

    steps = " ".join(init(tmp_path, tmp_path).next_steps)

    assert "from amltool.tasks import collection; ns = collection(__name__)" in steps


def test_the_line_for_an_existing_makefile_is_told_until_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n")
    assert any("add to Makefile: include amltool.mk" in step for step in init(tmp_path, tmp_path).next_steps)

    (tmp_path / "Makefile").write_text("all:\n\ninclude amltool.mk\n")
    assert not any("amltool.mk" in step for step in init(tmp_path, tmp_path).next_steps)


def test_the_base_image_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BASE_IMAGE_VARIABLE, "registry.example.org/python:3.12")

    init(tmp_path, tmp_path)

    files = working_files(tmp_path)
    assert choose(files, files, target="docker").compute.base_docker_image == "registry.example.org/python:3.12"


def test_a_file_in_the_place_of_aml_config_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "aml_config").write_text("")

    with pytest.raises(UserError, match="cannot be written"):
        init(tmp_path, tmp_path)


ECHO = "import sys; sys.stdout.write(repr(sys.argv[1:]))"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestMake:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        init(tmp_path, tmp_path)
        (tmp_path / "echo.py").write_text(ECHO)
        (tmp_path / "Makefile").write_text("TARGETS = x\ntest:\n\t@echo mine\n\ninclude amltool.mk\n")
        return tmp_path

    def make(self, project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        ours = [f"AMLTOOL={sys.executable} echo.py", f"AMLTOOL_PYTHON={sys.executable}"]
        environment = {**os.environ, **variables}
        command = ["make", "-s", *ours, *words]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=environment)

    @pytest.mark.parametrize(
        ("words", "arguments"),
        [
            (["submit"], ["submit"]),
            (["submit", "TARGET=docker", "SCRIPT=train.py"], ["submit", "--target=docker", "train.py"]),
            (["submit", "ARGS=--lr 0.1 --name 'two  words'"], ["submit", "--", "--lr", "0.1", "--name", "two  words"]),
            (["submit", "SCRIPT=it's $HOME `x`; #*.py"], ["submit", "it's $HOME `x`; #*.py"]),
            (["submit", r"ARGS='$HOME' \"q ü $(x) $$"], ["submit", "--", "$HOME", '"q', "ü", "$(x)", "$$"]),
            (["submit", "ARGS='' 'line\nend'"], ["submit", "--", "", "line\nend"]),
            (["runs", "ARGS=--limit 5"], ["runs", "--limit", "5"]),
            (["show", "RUN=@2"], ["show", "@2"]),
            (["rerun", "RUN=@", "TARGET=vm"], ["rerun", "--target=vm", "@"]),
            (["amltool", "DO=compare @ @2"], ["compare", "@", "@2"]),
            (["amltool"], ["--list"]),
        ],
    )
    def test_values_reach_amltool_exactly(self, project: Path, words: list[str], arguments: list[str]) -> None:
        done = self.make(project, *words)

        assert (done.stdout, done.returncode) == (repr(arguments), 0), done.stderr

    def test_values_may_come_from_the_environment(self, project: Path) -> None:
        assert self.make(project, "submit", SCRIPT="a $b.py").stdout == repr(["submit", "a $b.py"])

    def test_a_target_of_the_users_is_not_overridden(self, project: Path) -> None:
        assert self.make(project, "test").stdout == "mine\n"

    def test_a_quote_without_its_partner_is_a_sentence_and_no_traceback(self, project: Path) -> None:
        done = self.make(project, "submit", "ARGS='x")

        assert done.returncode != 0
        assert done.stderr.startswith("ARGS has a quote or a backslash without its partner.")

    def test_a_missing_amltool_is_a_sentence_and_no_traceback(self, project: Path) -> None:
        done = self.make(project, "runs", "AMLTOOL=/nowhere/amltool")

        assert "/nowhere/amltool cannot be run" in done.stderr
        assert "Traceback" not in done.stderr


def test_two_run_configurations_share_the_docker_target(tmp_path: Path) -> None:
    init(tmp_path, tmp_path)

    files = working_files(tmp_path)
    plain, spark = choose(files, files, target="docker"), choose(files, files, run_configuration="docker-spark")

    assert (plain.run_configuration.name, plain.run_configuration.framework) == ("docker", Framework.PYTHON)
    assert (spark.compute.name, spark.run_configuration.framework) == ("docker", Framework.PYSPARK)
    found = read_conda_dependencies(
        (tmp_path / spark.run_configuration.conda_dependencies_file).read_bytes(), "conda_dependencies_spark.yml"
    )
    assert found.needs_conda == ("openjdk",)
    assert any(line.startswith("pyspark") for line in found.pip)


def test_a_spark_run_configuration_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    init(tmp_path, tmp_path)
    (tmp_path / "aml_config/docker-spark.runconfig").unlink()

    init(tmp_path, tmp_path)

    assert not (tmp_path / "aml_config/docker-spark.runconfig").exists()
