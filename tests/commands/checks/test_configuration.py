from __future__ import annotations

from amltool.commands.checks.configuration import configuration_problems
from amltool.configuration.folder import Files
from amltool.limits import Level, Problem

LOCAL = 'type: "local"\n'
RUN = 'ArgumentVector:\n- "$file"\nTarget: "local"\nFramework: "Python"\n'


def files_of(files: dict[str, str]) -> Files:
    content = {f"aml_config/{name}": text.encode() for name, text in files.items()}
    return Files(content.get, lambda: sorted(files))


def found(files: dict[str, str], *others: str, working: dict[str, str] | None = None) -> list[Problem]:
    paths = {*(f"aml_config/{name}" for name in files), *others}
    return configuration_problems(files_of(files), paths, files_of(working or {}))


def messages(files: dict[str, str], *others: str) -> list[str]:
    return [problem.message for problem in found(files, *others)]


def test_configuration_that_is_right_has_no_problem() -> None:
    assert found({"local.compute": LOCAL, "local.runconfig": RUN}) == []


def test_every_mistake_of_every_file_is_told_with_its_line() -> None:
    said = messages({"a.compute": "type: lokal\n", "a.runconfig": "Framework: Pyton\nTarget: a\n"})
    assert any(each.startswith("aml_config/a.compute:1") for each in said)
    assert any(each.startswith("aml_config/a.runconfig:1") and "Python" in each for each in said)


def test_an_unknown_key_is_a_warning() -> None:
    (problem,) = found({"local.compute": f"{LOCAL}zzz: 1\n"})
    assert problem.level is Level.WARNING


def test_a_target_that_is_not_there_is_refused_and_those_that_are_there_named() -> None:
    (problem,) = found({"docker.compute": "type: localdocker\n", "local.runconfig": RUN})
    assert problem.level is Level.ERROR
    assert "there is no compute target local" in problem.message
    assert "docker" in problem.remedy


def test_a_compute_target_that_lies_only_in_the_working_folder_will_do() -> None:
    assert found({"local.runconfig": RUN}, working={"local.compute": LOCAL}) == []


def test_a_dependency_file_that_is_named_has_to_be_there() -> None:
    run = f"{RUN}CondaDependenciesFile: aml_config/conda_dependencies.yml\n"
    assert "CondaDependenciesFile" in messages({"local.compute": LOCAL, "local.runconfig": run})[0]
    there = {"local.compute": LOCAL, "local.runconfig": run, "conda_dependencies.yml": "dependencies:\n- python=3.11\n"}
    assert messages(there) == []


def test_a_dependency_file_with_mistakes_is_refused_also_elsewhere() -> None:
    run = f"{RUN}CondaDependenciesFile: environments/a.yml\n"
    files = {
        "aml_config/local.compute": LOCAL,
        "aml_config/local.runconfig": run,
        "environments/a.yml": "dependencies: 3\n",
    }
    content = {path: text.encode() for path, text in files.items()}
    working = Files(content.get, lambda: ["local.compute", "local.runconfig"])
    said = configuration_problems(working, files, working)
    assert [each.message.partition(":")[0] for each in said] == ["environments/a.yml"]


def test_a_script_that_is_not_in_the_commit_is_a_warning() -> None:
    run = RUN.replace("$file", "train.py")
    (problem,) = found({"local.compute": LOCAL, "local.runconfig": run})
    assert (problem.level, "train.py" in problem.message) == (Level.WARNING, True)
    assert messages({"local.compute": LOCAL, "local.runconfig": run}, "train.py") == []
