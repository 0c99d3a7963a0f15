from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest

from amltool.environments.base import Prepared
from amltool.errors import ConfigurationError, UserError
from amltool.history.journal import RunRequest
from amltool.run import ProjectNames
from amltool.targets.command import RunCommand, SeenByRun, check_spark_dependencies, command_of_run, spark_settings

SEEN = SeenByRun(PurePosixPath("/lib/path"), PurePosixPath("/runs/a run/work"))
SPARK_FILE = "aml_config/spark_dependencies.yml"
DEFAULTS = ["--conf", "spark.master=local[*]", "--conf", "spark.app.name=train.py", "--conf", "spark.log.level=WARN"]


def request(*command: str, **changes: Any) -> RunRequest:
    words = command or ("train.py",)
    fields: dict[str, Any] = {
        "run_id": "20261121T081502-3f9c2ab-k4qd", "run_number": 1, "created": "", "user": "ada",
        "project": ProjectNames("a", "b", "c"), "prefix": "", "source_directory": "", "profile": "sdk",
        "commit": "3f9c2ab" + "0" * 33, "tree": "", "base_commit": "", "dirty": False, "script": words[0],
        "command": [word.encode("utf-8", "surrogateescape") for word in words], "arguments": [],
        "run_configuration": "local", "run_configuration_content": {}, "framework": "Python", "target": "local",
        "target_type": "local", "compute": "", "max_artifact_size": 0,
    }  # fmt: skip
    return RunRequest(**{**fields, **changes})


def prepared(**changes: Any) -> Prepared:
    return Prepared(**{"python": ["/env/bin/python"], "key": "k", "lock": b"", **changes})


def command(asked: RunRequest, files: dict[str, bytes] | None = None, **changes: Any) -> RunCommand:
    return command_of_run(asked, prepared(**changes), SEEN, (files or {}).get)


def spark_command(asked: RunRequest, files: dict[str, bytes] | None = None) -> RunCommand:
    return command(asked, files, spark_submit=["/env/bin/spark-submit"])


def options(content: str) -> list[str]:
    return spark_settings(request(framework="PySpark"), SEEN.work, {SPARK_FILE: content.encode()}.get).options


def test_a_script_is_run_by_the_environments_python() -> None:
    assert command(request("train.py", "--lr", "a b\udcff")) == RunCommand(
        command=["/env/bin/python", "train.py", "--lr", "a b\udcff"]
    )


def test_a_script_whose_name_begins_with_a_dash_is_no_option() -> None:
    assert command(request("-x.py", "-v")).command == ["/env/bin/python", "./-x.py", "-v"]
    assert command(request("-x.ipynb")).command[-1] == "./-x.ipynb"
    assert spark_command(request("-x.py", framework="PySpark")).command[-1] == "./-x.py"


def test_an_executable_runs_as_itself_whatever_the_framework() -> None:
    for framework in ("Python", "PySpark"):
        asked = request("bin/run.sh", "-x", interpreted=False, framework=framework)
        assert command(asked) == RunCommand(command=["./bin/run.sh", "-x"])


def test_a_notebook_is_run_by_what_travels() -> None:
    found = command(request("notes/a.ipynb", "rate=0.1"))
    assert found.command == ["/env/bin/python", "/lib/path/amltool/tracking/notebook.py", "notes/a.ipynb", "rate=0.1"]


def test_a_pyspark_script_goes_through_spark_submit() -> None:
    found = spark_command(request("train.py", "--", "x", framework="PySpark"))
    assert found.command == [
        "/env/bin/python", "/lib/path/amltool/tracking/spark_run.py",
        "/env/bin/spark-submit", *DEFAULTS, "--", "train.py", "--", "x",
    ]  # fmt: skip


def test_spark_uses_the_environments_python_for_driver_and_workers() -> None:
    assert spark_command(request(framework="PySpark")).variables == {
        "PYSPARK_PYTHON": "/env/bin/python",
        "PYSPARK_DRIVER_PYTHON": "/env/bin/python",
    }


def test_a_notebook_gets_the_spark_that_spark_submit_starts() -> None:
    found = spark_command(request("a.ipynb", framework="PySpark")).command
    assert found[-3:] == ["--", "/lib/path/amltool/tracking/notebook.py", "a.ipynb"]
    assert "spark.app.name=a.ipynb" in found


def test_an_environment_without_spark_is_told_how_to_get_it() -> None:
    with pytest.raises(UserError, match=r"no spark-submit\.\nAdd pyspark under pip in conda_dependencies\.yml"):
        command(request(framework="PySpark"))


def test_the_dependency_file_says_the_options() -> None:
    assert options(
        "configuration:\n  spark.executor.memory: 2g\n"
        "repositories: [https://repository.example.org/maven]\n"
        "packages:\n- {group: org.example, artifact: part_2.13, version: '1.0'}\n"
    ) == [
        *DEFAULTS, "--conf", "spark.executor.memory=2g",
        "--repositories", "https://repository.example.org/maven", "--packages", "org.example:part_2.13:1.0",
    ]  # fmt: skip


def test_what_the_file_says_replaces_ours() -> None:
    written = "{spark.app.name: mine, spark.master: 'local[2]', spark.log.level: INFO}"
    assert options(f"configuration: {written}") == [
        "--conf", "spark.master=local[2]", "--conf", "spark.app.name=mine", "--conf", "spark.log.level=INFO",
    ]  # fmt: skip


def test_the_master_of_the_compute_target_wins_over_the_files() -> None:
    asked = request(framework="PySpark", compute_effect={"master": "spark://head:7077"})
    for content in (b"", b"configuration: {spark.master: 'local[2]'}"):
        found = spark_settings(asked, SEEN.work, {SPARK_FILE: content}.get).options
        assert [option for option in found if option.startswith("spark.master=")] == ["spark.master=spark://head:7077"]


@pytest.mark.parametrize("written", ["maven", "./maven", "file:maven", "file:./maven"])
def test_a_repository_that_is_a_path_lies_in_the_work_folder(written: str) -> None:
    assert options(f"repositories: ['{written}']")[-1] == "file:///runs/a%20run/work/maven"


@pytest.mark.parametrize("written", ["file:///srv/maven", "file:/srv/maven", "https://example.org/maven"])
def test_a_repository_that_is_an_url_is_left_as_it_is(written: str) -> None:
    assert options(f"repositories: ['{written}']")[-1] == written


def test_no_dependency_file_is_no_mistake_where_none_is_named() -> None:
    for named in (None, SPARK_FILE):
        asked = request(framework="PySpark", spark_dependencies_file=named)
        assert spark_settings(asked, SEEN.work, {}.get).options == DEFAULTS
        check_spark_dependencies(asked, {}.get)


def test_a_named_file_that_is_missing_is_said_in_the_ancestors_words() -> None:
    asked = request(framework="PySpark", spark_dependencies_file="other.yml")
    with pytest.raises(
        UserError, match=r"^Spark dependencies file = other\.yml doesn't exist at commit 3f9c2ab00000\n"
    ):
        check_spark_dependencies(asked, {}.get)


def test_mistakes_of_the_file_are_said_before_anything_is_built() -> None:
    with pytest.raises(ConfigurationError, match=r"spark_dependencies\.yml:1"):
        check_spark_dependencies(request(framework="PySpark"), {SPARK_FILE: b"configuration: 5"}.get)
    check_spark_dependencies(request(framework="Python"), {SPARK_FILE: b"configuration: 5"}.get)


def test_the_driver_runs_where_the_run_does() -> None:
    with pytest.raises(UserError, match=r"spark\.submit\.deployMode is 'cluster'.*\nRemove spark\.submit\.deployMode"):
        options("configuration: {spark.submit.deployMode: cluster}")
    assert options("configuration: {spark.submit.deployMode: client}")[-1] == "spark.submit.deployMode=client"


SECRET_FILE = b"""
configuration:
  spark.hadoop.fs.azure.account.key: ${env:ACCOUNT_KEY}
  spark.hadoop.endpoint: "https://ada:${env:ACCOUNT_KEY}@example.org"
  spark.executor.memory: 2g
"""


def test_a_secret_of_spark_is_resolved_and_not_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNT_KEY", "canary-1234")
    found = spark_command(request(framework="PySpark"), {SPARK_FILE: SECRET_FILE})
    assert "canary" not in " ".join(found.command)
    assert "spark.executor.memory=2g" in found.command
    private = json.loads(found.variables["AMLTOOL_SPARK_PROPERTIES"])
    redacted = private.pop("spark.redaction.regex")
    assert redacted.endswith(r"|fs\.azure\.account\.key|endpoint"), "Hadoop's own properties have no prefix"
    assert private == {
        "spark.hadoop.fs.azure.account.key": "canary-1234",
        "spark.hadoop.endpoint": "https://ada:canary-1234@example.org",
    }
    assert found.secrets == ["canary-1234", "canary-1234"]


def test_a_repository_with_a_secret_is_a_private_property(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "canary-1234")
    written = b"repositories: ['https://u:${env:TOKEN}@example.org/maven', 'https://example.org/other']"
    found = spark_settings(request(framework="PySpark"), SEEN.work, {SPARK_FILE: written}.get)
    assert found.options == DEFAULTS
    assert found.private == {
        "spark.jars.repositories": "https://u:canary-1234@example.org/maven,https://example.org/other",
        "spark.redaction.regex": r"(?i)secret|password|token|access[.]?key|spark\.jars\.repositories",
    }


def test_a_secret_that_is_not_there_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCOUNT_KEY", raising=False)
    with pytest.raises(UserError, match="ACCOUNT_KEY is not set"):
        check_spark_dependencies(request(framework="PySpark"), {SPARK_FILE: SECRET_FILE}.get)


def test_what_spark_redacts_is_the_users_where_they_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "canary-1234")
    written = b"configuration: {spark.x: '${env:TOKEN}', spark.redaction.regex: mine}"
    found = spark_settings(request(framework="PySpark"), SEEN.work, {SPARK_FILE: written}.get)
    assert found.private == {"spark.x": "canary-1234"}
    assert "spark.redaction.regex=mine" in found.options


def test_without_a_secret_there_is_no_private_property() -> None:
    found = spark_command(request(framework="PySpark"), {SPARK_FILE: b"configuration: {spark.x: y}"})
    assert "AMLTOOL_SPARK_PROPERTIES" not in found.variables
