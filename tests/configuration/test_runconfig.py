"""Run configurations in every form they were written, and what runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.configuration.runconfig import (
    Framework,
    RunConfiguration,
    command_of,
    dependency_paths,
    read_run_configuration,
    write_run_configuration,
)
from amltool.configuration.successor import ContainerWishes
from amltool.errors import ConfigurationError, UserError

PATH = "aml_config/docker.runconfig"


def read(text: str) -> RunConfiguration:
    return read_run_configuration("docker", text.encode(), PATH)


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return [str(mistake) for mistake in caught.value.mistakes]


ATTACHED = """\
ArgumentVector:
- $file
CondaDependenciesFile: aml_config/conda_dependencies.yml
EnvironmentVariables: null
Framework: PySpark
PrepareEnvironment: false
SparkDependenciesFile: aml_config/spark_dependencies.yml
Target: docker
TrackedRun: true
UseSampling: true
"""


def test_what_attach_wrote_is_read_and_written_back_letter_for_letter() -> None:
    configuration = read(ATTACHED)

    assert configuration == RunConfiguration(name="docker", argument_vector=("$file",), target="docker")
    assert configuration.framework is Framework.PYSPARK
    assert write_run_configuration(configuration) == ATTACHED


def test_an_empty_file_has_the_documented_defaults() -> None:
    configuration = read("")

    assert configuration == RunConfiguration(name="docker")
    assert (configuration.tracked_run, configuration.use_sampling, configuration.prepare_environment) == (
        True,
        True,
        False,
    )
    assert configuration.conda_dependencies_file == "aml_config/conda_dependencies.yml"


def test_every_key_of_the_workbench_is_read() -> None:
    configuration = read(
        "ArgumentVector: [train.py, --rate, 0.10, -1, true]\nTarget: vm\n"
        "EnvironmentVariables: {A: 1, B: , C: '${env:C}'}\n"
        "Framework: Python\nCondaDependenciesFile: Config/conda.yml\nSparkDependenciesFile: Config\\spark.yml\n"
        "PrepareEnvironment: true\nTrackedRun: false\nUseSampling: false\n"
        "DataSourceSettings: {x.dsource: {Sampling: {Sample: Top 10}}}\n"
        "DataSourceSubstitutions: {a.dsource: b.dsource}\n"
        "MaxRunDurationSeconds: 3600\n"
    )

    assert configuration.argument_vector == ("train.py", "--rate", "0.10", "-1", "true")
    assert configuration.environment_variables == {"A": "1", "B": "", "C": "${env:C}"}
    assert configuration.framework is Framework.PYTHON
    assert configuration.conda_dependencies_file == "Config/conda.yml"
    assert configuration.spark_dependencies_file == "Config/spark.yml"
    assert (configuration.prepare_environment, configuration.tracked_run, configuration.use_sampling) == (
        True,
        False,
        False,
    )
    assert configuration.data_source_settings == {"x.dsource": {"Sampling": {"Sample": "Top 10"}}}
    assert configuration.data_source_substitutions == {"a.dsource": "b.dsource"}
    assert configuration.max_run_duration_seconds == 3600


def test_the_json_of_mid_2017_is_read_and_its_old_keys_passed_over() -> None:
    configuration = read(
        '{"ArgumentVector": ["$file"], "Target": "local", "EnvironmentVariables": null, "Framework": "PySpark",\n'
        ' "Description": "x", "CondaFile": null, "ManagedEnvironment": true, "SparkDependenciesFile": null}'
    )

    assert configuration == RunConfiguration(name="docker", argument_vector=("$file",), target="local")
    assert configuration.warnings == ()


SUCCESSOR = """\
# The script to run.
script: train.py
arguments: [--rate, 0.1]
target: local
framework: {framework}
communicator: None
autoPrepareEnvironment: true
maxRunDurationSeconds:
nodeCount: 1
environment:
  environmentVariables:
    EXAMPLE_ENV_VAR: EXAMPLE_VALUE
  python:
    userManagedDependencies: false
    interpreterPath: python
    condaDependenciesFile: aml_config/conda.yml
  docker:
    enabled: {docker}
    baseImage: python:3.11
    sharedVolumes: true
    gpuSupport: false
    arguments: []
    baseImageRegistry:
      address:
      username:
      password: {password}
  spark:
    repositories: []
    packages: []
    precachePackages: true
history:
  outputCollection: true
  snapshotProject: true
spark:
  configuration: {{}}
hdi:
  yarnDeployMode: cluster
tensorflow:
  workerCount: 1
dataReferences: {{}}
"""


def successor(framework: str = "Python", docker: str = "false", password: str = "") -> str:
    return SUCCESSOR.format(framework=framework, docker=docker, password=password)


def test_the_camel_case_successor_of_2018_is_read() -> None:
    configuration = read(successor())

    assert configuration == RunConfiguration(
        name="docker",
        argument_vector=("train.py", "--rate", "0.1"),
        target="local",
        framework=Framework.PYTHON,
        environment_variables={"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
        conda_dependencies_file="aml_config/conda.yml",
        prepare_environment=True,
        container=ContainerWishes(
            base_docker_image="python:3.11", shared_volumes=True, nvidia_docker=False, user_managed_environment=False
        ),
    )
    assert configuration.warnings == ()


def test_a_framework_that_meant_a_service_is_explained() -> None:
    assert "TensorFlow was a service of Azure ML" in mistakes_of(successor(framework="TensorFlow"))[0]


def test_a_registry_password_in_the_successor_is_refused_and_not_repeated() -> None:
    (mistake,) = mistakes_of(successor(password="hunter2"))

    assert "'password' holds a secret in plain text" in mistake
    assert "hunter2" not in mistake


def test_all_mistakes_of_a_file_are_told_at_once_by_line() -> None:
    text = (
        "ArgumentVector: []\nTarget: ../x\nFramework: Pyspark\nTrackedrun: true\nCondaDependenciesFile: /etc/x\n"
        "EnvironmentVariables: [A]\nUseSampling: true.\nMaxRunDurationSeconds: soon\nNotKnown: 1\nDbPassword: hunter2\n"
    )

    forms = "${env:NAME} or ${keyring:service/user}"

    assert mistakes_of(text) == [
        f"{PATH}:1:17: ArgumentVector in runconfig cannot be empty. Write '- $file', or the script and its arguments",
        f"{PATH}:2:9: Target: expected the name of a compute target, found '../x'",
        f"{PATH}:3:12: Framework: expected Python or PySpark, found 'Pyspark' (did you mean 'PySpark'?)",
        f"{PATH}:4:1: unknown key 'Trackedrun': did you mean 'TrackedRun'?",
        f"{PATH}:5:24: CondaDependenciesFile: expected a path inside the project, found '/etc/x'",
        f"{PATH}:6:23: EnvironmentVariables: expected a map of `name: value` lines, found a list",
        f"{PATH}:7:14: UseSampling: expected true or false, found 'true.' (did you mean 'true'?)",
        f"{PATH}:8:24: MaxRunDurationSeconds: expected a whole number from 1 to 1000000000, found 'soon'",
        f"{PATH}:10:13: 'DbPassword' holds a secret in plain text: write {forms} in its place",
    ]


def test_an_unknown_key_is_only_warned_about_as_the_ancestor_ignored_it() -> None:
    assert read("Something: 1\n").warnings == (f"{PATH}:1:1: unknown key 'Something' is ignored",)


def test_the_content_is_the_file_as_it_was_read() -> None:
    configuration = read("ArgumentVector: [$file, 1]\nEnvironmentVariables: {A: '${env:A}'}\nOther: {x: [1.5, null]}\n")

    assert configuration.content == {
        "ArgumentVector": ["$file", 1],
        "EnvironmentVariables": {"A": "${env:A}"},
        "Other": {"x": [1.5, None]},
    }


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("Framework: Python\n", ("aml_config/conda_dependencies.yml",)),
        ("", ("aml_config/conda_dependencies.yml", "aml_config/spark_dependencies.yml")),
        ("SparkDependenciesFile: null\nCondaDependenciesFile: c.yml\n", ("c.yml", "aml_config/spark_dependencies.yml")),
        (successor(), ("aml_config/conda.yml",)),
    ],
)
def test_the_dependency_files_are_known_from_a_recorded_content(text: str, paths: tuple[str, ...]) -> None:
    configuration = read(text)

    assert configuration.dependency_files == paths
    assert dependency_paths(configuration.content) == paths


def vector(*arguments: str) -> RunConfiguration:
    return RunConfiguration(name="docker", argument_vector=arguments)


def test_a_script_given_replaces_the_whole_vector() -> None:
    assert command_of(vector("old.py", "--a"), "new.py", ["--b"]) == ("new.py", ("--b",))


def test_without_a_script_the_vector_runs_with_the_arguments_after_its_own() -> None:
    assert command_of(vector("train.py", "--a"), None, ["--b"], "other.py") == ("train.py", ("--a", "--b"))


def test_the_placeholder_stands_for_the_projects_script() -> None:
    assert command_of(vector("$file", "--a"), None, [], "train.py") == ("train.py", ("--a",))


def test_where_nothing_says_the_script_the_ancestors_sentence_is_followed_by_what_to_do() -> None:
    with pytest.raises(UserError) as placeholder:
        command_of(vector("$file"), None, [])
    with pytest.raises(UserError) as empty:
        command_of(vector(), None, [], "train.py")

    assert placeholder.value.what == "Please specify the script to run, with its arguments if any."
    assert "script: train.py" in placeholder.value.remedy
    assert empty.value.what == "ArgumentVector in runconfig cannot be empty."
    assert "docker.runconfig" in empty.value.remedy


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
PART = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)
PATHS = st.lists(PART, min_size=1, max_size=3).map("/".join)
VECTORS = st.lists(TEXT.filter(lambda text: text != ""), max_size=4).map(tuple)
VARIABLES = st.dictionaries(
    TEXT.filter(lambda name: name != "" and "=" not in name), TEXT.filter(lambda text: "$" not in text), max_size=4
)
CONFIGURATIONS = st.builds(
    RunConfiguration,
    name=st.just("docker"),
    argument_vector=VECTORS,
    target=st.none() | PART,
    environment_variables=VARIABLES,
    framework=st.sampled_from(Framework),
    conda_dependencies_file=PATHS,
    spark_dependencies_file=PATHS,
    prepare_environment=st.booleans(),
    tracked_run=st.booleans(),
    use_sampling=st.booleans(),
    max_run_duration_seconds=st.none() | st.integers(1, 10**9),
)
IN_CONTAINER = st.builds(
    RunConfiguration,
    name=st.just("docker"),
    argument_vector=VECTORS,
    target=st.none() | PART,
    environment_variables=VARIABLES,
    framework=st.sampled_from(Framework),
    conda_dependencies_file=PATHS,
    prepare_environment=st.booleans(),
    tracked_run=st.booleans(),
    max_run_duration_seconds=st.none() | st.integers(1, 10**9),
    container=st.builds(
        ContainerWishes,
        enabled=st.booleans(),
        base_docker_image=st.none() | PART,
        shared_volumes=st.none() | st.booleans(),
        nvidia_docker=st.none() | st.booleans(),
        shm_size=st.none() | st.integers(1, 10**15 - 1),
        user_managed_environment=st.none() | st.booleans(),
    ),
)


@given(CONFIGURATIONS | IN_CONTAINER)
@settings(max_examples=200, deadline=None)
def test_a_configuration_that_is_written_and_read_is_the_same(configuration: RunConfiguration) -> None:
    assert read(write_run_configuration(configuration)) == configuration


def test_every_template_is_read() -> None:
    import amltool.templates

    folder = Path(amltool.templates.__file__).parent
    for name in ("local", "docker"):
        configuration = read((folder / f"{name}.runconfig").read_text())
        assert (configuration.target, configuration.framework, configuration.warnings) == (name, Framework.PYTHON, ())
