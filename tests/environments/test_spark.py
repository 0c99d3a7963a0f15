from __future__ import annotations

from pathlib import Path

import pytest

from amltool.environments.recipe import Recipe
from amltool.environments.spark import spark_submit_of, spark_version, without_spark


def program(folder: Path, name: str = "spark-submit") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    return Path(program(tmp_path / "venv" / "bin", "python"))


def test_the_spark_beside_the_interpreter_comes_before_that_of_the_search_path(
    tmp_path: Path, interpreter: Path
) -> None:
    on_path, beside = program(tmp_path / "path"), program(interpreter.parent)
    assert spark_submit_of(interpreter, "spark-submit", str(tmp_path / "path")) == [beside]
    Path(beside).unlink()
    assert spark_submit_of(interpreter, "spark-submit", str(tmp_path / "path")) == [on_path]


def test_a_location_that_is_given_is_the_one(tmp_path: Path, interpreter: Path) -> None:
    program(interpreter.parent)
    named, placed = program(tmp_path / "path", "spark2-submit"), program(tmp_path / "spark")
    assert spark_submit_of(interpreter, "spark2-submit", str(tmp_path / "path")) == [named]
    assert spark_submit_of(interpreter, placed, None) == [placed]


def test_a_location_may_begin_with_the_home_folder(
    tmp_path: Path, interpreter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    placed = program(tmp_path / "spark" / "bin")
    assert spark_submit_of(interpreter, "~/spark/bin/spark-submit", None) == [placed]


def test_where_there_is_none_nothing_is_made_up(tmp_path: Path, interpreter: Path) -> None:
    assert spark_submit_of(interpreter, "spark-submit", str(tmp_path)) == []
    assert spark_submit_of(interpreter, "/no/spark-submit", str(tmp_path)) == []


def test_a_cluster_has_spark_and_java_of_its_own() -> None:
    written = Recipe(
        packages=("python=3.11", "conda-forge::openjdk=17", "lightgbm"),
        pip=(
            "pyspark==3.5.*",
            "PySpark[sql]>=3 ; python_version > '3'",
            "pyspark-extension==2",
            "./wheels/a.whl",
            "numpy",
        ),
        needs_conda=("openjdk", "lightgbm"),
    )
    found = without_spark(written)
    assert found.packages == ("python=3.11", "lightgbm")
    assert found.pip == ("pyspark-extension==2", "./wheels/a.whl", "numpy")
    assert found.needs_conda == ("lightgbm",)


def test_the_version_of_spark_stands_in_the_lock() -> None:
    lock = b'{"v": 1, "python": {"version": "3.11.2"}, "packages": [{"name": "pyspark", "version": "3.5.9"}]}'
    assert spark_version(lock) == "3.5.9"
    assert spark_version(lock.replace(b"pyspark", b"numpy")) is None
    assert spark_version(b"no lock") is None
