"""Dependency files: what an execution environment is made of."""

from __future__ import annotations

import pytest

from amltool.configuration.dependencies import (
    CondaDependencies,
    SparkDependencies,
    SparkPackage,
    read_conda_dependencies,
    read_spark_dependencies,
)
from amltool.errors import ConfigurationError


def conda(text: str) -> CondaDependencies:
    return read_conda_dependencies(text.encode(), "c.yml")


def spark(text: str) -> SparkDependencies:
    return read_spark_dependencies(text.encode(), "s.yml")


def test_the_workbenchs_template_is_read() -> None:
    found = conda(
        "name: project_environment\ndependencies:\n  - python=3.5.2\n  - ipykernel=4.6.1\n  - pip:\n"
        "    - https://example.org/a-1.0-py3-none-any.whl\n    - numpy==1.13\n    - assets/b.whl\n"
    )

    assert found.name == "project_environment"
    assert found.python_version == "3.5.2"
    assert found.pip == ("https://example.org/a-1.0-py3-none-any.whl", "numpy==1.13", "assets/b.whl")
    assert found.needs_conda == ("ipykernel",)


@pytest.mark.parametrize("text", ["", "name: x\n", "dependencies:\n", "dependencies: []\n", "dependencies:\n- pip:\n"])
def test_name_python_and_pip_may_be_absent(text: str) -> None:
    found = conda(text)

    assert (found.packages, found.pip, found.python_version, found.needs_conda) == ((), (), None, ())


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("python", None),
        ("python=3.11", "3.11"),
        ("python==3.11.4", "3.11.4"),
        ("python 3.6", "3.6"),
        ("python >=3.8,<4", ">=3.8,<4"),
        ("conda-forge::python=3.9", "3.9"),
        ("Python=3.9", "3.9"),
    ],
)
def test_pythons_version_is_found_in_every_way_conda_writes_it(package: str, version: str | None) -> None:
    assert conda(f"dependencies:\n- '{package}'\n").python_version == version


def test_only_packages_beside_python_and_pip_need_conda_each_named_once() -> None:
    found = conda("dependencies: [python=3.11, pip=23, setuptools, wheel, conda-forge::NumPy >=1.13, numpy, r-base]\n")

    assert found.needs_conda == ("numpy", "r-base")


def test_all_mistakes_of_a_conda_file_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        conda("dependencys: x\ndependencies:\n- numpy: 1\n- [a]\n- Pip: [x]\n- '=1'\n- pip: numpy\n")

    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "c.yml:1:1: unknown key 'dependencys': did you mean 'dependencies'?",
        "c.yml:3:3: dependencies: 'numpy' does not open a list; only `- pip:` does (write `- name=version`)",
        "c.yml:4:3: dependencies: expected a package (`- numpy=1.13`) or `- pip:`, found a list",
        "c.yml:5:3: dependencies: 'Pip' does not open a list; only `- pip:` does (did you mean 'pip'?)",
        "c.yml:6:3: dependencies: '=1' is not a conda package such as numpy=1.13",
        "c.yml:7:8: pip: expected a list (lines that begin with '- '), found 'numpy'",
    ]


def test_sparks_template_becomes_the_options_of_spark_submit() -> None:
    found = spark(
        'version: 2\nconfiguration:\n  "spark.app.name": "Azure ML Experiment"\n  "spark.yarn.maxAppAttempts": 1\n'
        '  spark.ui.enabled: false\nrepositories:\n  - "https://example.org/maven"\n  - https://b.example.org\n'
        'packages:\n  - group: "com.microsoft.ml.spark"\n    artifact: "mmlspark_2.11"\n    version: "0.10"\n'
        "  - org.example:a_2.11:1.0\n"
    )

    assert found.packages[0] == SparkPackage("com.microsoft.ml.spark", "mmlspark_2.11", "0.10")
    assert found.spark_submit_options() == [
        "--conf",
        "spark.app.name=Azure ML Experiment",
        "--conf",
        "spark.yarn.maxAppAttempts=1",
        "--conf",
        "spark.ui.enabled=false",
        "--repositories",
        "https://example.org/maven,https://b.example.org",
        "--packages",
        "com.microsoft.ml.spark:mmlspark_2.11:0.10,org.example:a_2.11:1.0",
    ]


def test_a_version_that_looks_like_a_number_keeps_its_digits() -> None:
    assert spark("packages:\n- {group: a, artifact: b, version: 0.10}\n").packages[0].version == "0.10"


@pytest.mark.parametrize("text", ["", "configuration: {}\n", "configuration:\nrepositories:\npackages:\n"])
def test_every_part_of_sparks_file_may_be_empty(text: str) -> None:
    assert spark(text).spark_submit_options() == []


def test_all_mistakes_of_a_spark_file_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        spark(
            "configuration: {'a b': 1}\nrepositories: ['x,y']\npackages:\n- {group: g}\n- g:a\n- {grp: g}\n"
            "- {group: g, artifact: 'a,b', version: 1}\n"
        )

    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "s.yml:1:16: configuration: 'a b' cannot be the name of a Spark property",
        "s.yml:2:15: repositories: expected the URL of a Maven repository, found 'x,y'",
        "s.yml:4:3: packages: expected group, artifact and version of a Maven package, found no artifact or version",
        "s.yml:5:3: packages: expected group, artifact and version of a Maven package, found 'g:a'",
        "s.yml:6:4: unknown key 'grp': did you mean 'group'?",
        "s.yml:7:3: packages: 'a,b' cannot be part of a Maven package's name",
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3.6.2 h1_0", "3.6.2"), ("=3.6.2=h1_0", "3.6.2"), ("==3.6.2", "3.6.2"), ("=3.6", "3.6"),
        (" >=3.6,<4", ">=3.6,<4"), (" >=3.6, <4", ">=3.6, <4"), (" >=3.6 h1_0", ">=3.6"),
        (" 3.6.*", "3.6.*"), ("", None),
    ],
)  # fmt: skip
def test_a_build_after_a_version_is_no_part_of_the_version(written: str, meant: str | None) -> None:
    space = " " if written[:1].isdigit() else ""
    content = f"dependencies:\n- 'python{space}{written}'\n".encode()
    assert read_conda_dependencies(content, "c.yml").python_version == meant
