"""Which run configuration and compute target a user means."""

from __future__ import annotations

from pathlib import Path

import pytest

from amltool.configuration.choosing import Chosen, choose, list_compute_targets, list_run_configurations
from amltool.configuration.folder import Files, working_files
from amltool.errors import ConfigurationError, UserError


def files(**content: str) -> Files:
    """Files by name, `__` for the dot: ``local__compute="type: local"``."""
    stored = {f"aml_config/{name.replace('__', '.')}": text.encode() for name, text in content.items()}
    return Files(stored.get, lambda: [path.split("/")[1] for path in stored])


WORKING = files(
    local__compute="type: local\n",
    docker__compute="type: localdocker\n",
    vm__compute="type: remote\naddress: h\nusername: u\n",
)


def chosen_from(snapshot: Files, **asked: str) -> tuple[str, str]:
    chosen = choose(snapshot, WORKING, **asked)
    return chosen.run_configuration.name, chosen.compute.name


def refusal(snapshot: Files, **asked: str) -> str:
    with pytest.raises(UserError) as caught:
        choose(snapshot, WORKING, **asked)
    return str(caught.value)


BOTH = files(local__runconfig="Target: local\n", docker__runconfig="Target: docker\n")
SPARK = files(docker_python__runconfig="Target: docker\n", docker_spark__runconfig="Target: docker\n")


def test_a_run_configuration_is_named_and_brings_its_target() -> None:
    assert chosen_from(BOTH, run_configuration="docker") == ("docker", "docker")


def test_a_target_beside_it_replaces_its_target() -> None:
    assert chosen_from(BOTH, run_configuration="docker", target="vm") == ("docker", "vm")


def test_a_target_alone_means_the_run_configuration_of_its_name() -> None:
    assert chosen_from(BOTH, target="docker") == ("docker", "docker")


def test_or_the_only_one_that_targets_it() -> None:
    assert chosen_from(
        files(mine__runconfig="Target: docker\n", local__runconfig="Target: local\n"), target="docker"
    ) == (
        "mine",
        "docker",
    )


def test_the_name_counts_before_the_target() -> None:
    snapshot = files(docker__runconfig="Target: vm\n", other__runconfig="Target: docker\n")

    assert chosen_from(snapshot, target="docker") == ("docker", "docker")


def test_when_several_target_it_all_are_named() -> None:
    assert refusal(SPARK, target="docker") == (
        "Several run configurations use compute target docker.\nSay which: -c docker_python or -c docker_spark"
    )


def test_when_none_targets_it_the_way_to_make_one_is_named() -> None:
    text = refusal(BOTH, target="vm")

    assert "No run configuration of the snapshot uses compute target vm." in text
    assert "amltool runconfig vm --target vm" in text


def test_a_broken_run_configuration_does_not_hide_the_one_that_is_meant() -> None:
    snapshot = files(broken__runconfig="<<<<<<< HEAD\n", mine__runconfig="Target: docker\n")

    assert chosen_from(snapshot, target="docker") == ("mine", "docker")
    assert "(broken cannot be read: amltool check)" in refusal(snapshot, target="vm")


def test_with_neither_it_is_local() -> None:
    assert chosen_from(BOTH) == ("local", "local")


def test_with_neither_and_no_local_it_is_the_only_one() -> None:
    assert chosen_from(files(mine__runconfig="Target: vm\n")) == ("mine", "vm")


def test_with_neither_and_several_all_are_named() -> None:
    assert refusal(SPARK).endswith("Say which: -c docker_python or -c docker_spark")


def test_a_project_without_run_configurations_is_told_to_init() -> None:
    assert "amltool init" in refusal(files())
    assert "amltool init" in refusal(files(), run_configuration="local")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"run_configuration": "dokcer"}, "Run config with name = dokcer doesn't exist in the aml_config folder\n"),
        ({"run_configuration": "docker.runconfig"}, "Run config name should not be suffixed with .runconfig\n"),
        ({"run_configuration": "../docker"}, "Run config with name = ../docker doesn't exist"),
        ({"target": "dokcer"}, "Compute target = dokcer doesn't exist at aml_config\nDid you mean docker?"),
        ({"target": "../docker"}, "Compute target = ../docker doesn't exist at aml_config"),
        ({"target": "localdocker"}, "Compute target = localdocker doesn't exist at aml_config"),
        ({"run_configuration": "local", "target": "nowhere"}, "Compute target = nowhere doesn't exist"),
    ],
)
def test_what_is_not_there_is_said_in_the_ancestors_words_and_what_to_do(asked: dict[str, str], sentence: str) -> None:
    assert refusal(BOTH, **asked).startswith(sentence)


def test_a_name_that_is_nearly_right_is_guessed() -> None:
    assert refusal(BOTH, run_configuration="dokcer").endswith("Did you mean docker? There are: docker, local.")
    assert refusal(BOTH, run_configuration="docker.runconfig").endswith("Write: -c docker")


def test_a_run_configuration_without_a_target_needs_one() -> None:
    snapshot = files(bare__runconfig="TrackedRun: true\n")

    assert "names no Target" in refusal(snapshot, run_configuration="bare")
    assert chosen_from(snapshot, run_configuration="bare", target="vm") == ("bare", "vm")


def test_the_compute_target_comes_from_the_working_folder_and_its_text_is_what_took_effect() -> None:
    snapshot = files(vm__runconfig="Target: vm\n", vm__compute="type: local\n")
    working = files(vm__compute="type: remote\naddress: h:2222\nusername: u\npassword: ${env:P}\nUnknown: 1\n")

    chosen = choose(snapshot, working, target="vm")

    assert isinstance(chosen, Chosen)
    assert chosen.compute.address == "h"
    assert "address: h:2222" in chosen.compute_text
    assert "password: ${env:P}" in chosen.compute_text
    assert "Unknown" not in chosen.compute_text
    assert "unknown key 'Unknown' is ignored" in chosen.compute.warnings[0]


def test_a_mistake_in_a_chosen_file_is_told_with_its_path() -> None:
    with pytest.raises(ConfigurationError, match=r"aml_config/vm.compute:1:7: type: expected"):
        choose(files(vm__runconfig="Target: vm\n"), files(vm__compute="type: nothing\n"))


def test_the_working_folder_lists_and_reads_what_is_there(tmp_path: Path) -> None:
    working = working_files(tmp_path)
    assert (list_run_configurations(working), list_compute_targets(working)) == ([], [])

    (tmp_path / "aml_config/folder.compute").mkdir(parents=True)
    (tmp_path / "aml_config/vm.compute").write_text("type: local\n")
    (tmp_path / "aml_config/.hidden.runconfig").write_text("")
    (tmp_path / "aml_config/docker-spark.runconfig").write_text("")

    assert list_compute_targets(working) == ["vm"]
    assert list_run_configurations(working) == ["docker-spark"]
    assert working.read("aml_config/vm.compute") == b"type: local\n"
    assert working.read("aml_config/none.compute") is None
    with pytest.raises(UserError, match="not a regular file"):
        working.read("aml_config/folder.compute")
