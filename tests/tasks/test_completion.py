"""What ``--complete`` prints for a line so far, as the scripts for bash, zsh and fish hand it over."""

from __future__ import annotations

import subprocess

import pytest

from tests.tasks.sample_project import Project

TASKS = {"submit", "runs", "compare", "diff", "attach", "doctor", "fail", "history.push"}


def offered(project: Project, program: str, *line: str) -> set[str]:
    ended = project.run(program, "--complete", "--", program, *line)
    assert ended.code == 0, ended.err
    return set(ended.out.split())


def test_tasks_are_offered_first(project: Project, program: str) -> None:
    assert offered(project, program) >= TASKS


def test_tasks_are_offered_after_a_users_task(project: Project) -> None:
    assert offered(project, "invoke", "build", "here", "s") >= TASKS | {"build", "lint"}


def test_core_options_are_offered_before_a_task(project: Project, program: str) -> None:
    assert {"--list", "--help"} <= offered(project, program, "--l")


def test_the_options_of_a_task_of_ours_are_offered(project: Project, program: str) -> None:
    assert offered(project, program, "submit", "--") >= {"--target", "--param", "--no-clean", "--script"}


def test_only_options_that_begin_so_are_offered(project: Project, program: str) -> None:
    assert offered(project, program, "submit", "a.py", "--detach", "--p") == {"--param"}


def test_short_options_are_offered(project: Project, program: str) -> None:
    assert offered(project, program, "submit", "-") >= {"-c", "-q", "--target"}


def test_the_options_of_a_users_task_are_offered(project: Project) -> None:
    assert offered(project, "invoke", "build", "--") >= {"--where", "--fast"}


@pytest.mark.parametrize("line", [["submit"], ["submit", "s"], ["submit", "--target"], ["submit", "--target", "r"]])
def test_files_are_left_to_the_shell_after_a_task_of_ours(project: Project, program: str, line: list[str]) -> None:
    assert offered(project, program, *line) == set()


def test_nothing_of_ours_is_offered_among_the_scripts_arguments(project: Project, program: str) -> None:
    assert offered(project, program, "submit", "a.py", "--", "--ta") == set()


@pytest.mark.parametrize("line", [["--status"], ["--status", "Fa"], ["--status", "=", "Fa"]])
def test_the_values_of_a_choice_are_offered(project: Project, program: str, line: list[str]) -> None:
    assert offered(project, program, "runs", *line) == {"Completed", "Failed"}


def test_an_unfinished_quotation_is_no_crash(project: Project, program: str) -> None:
    for line in ("submit 'a b", "'sub", "build 'a"):
        assert project.run(program, "--complete", "--", f"{program} {line}").code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(project: Project, shell: str) -> None:
    script = project.run("amltool", "--print-completion-script", shell)

    assert script.code == 0
    assert "amltool --complete -- " in script.out


def test_bash_completes_a_line_with_the_script(project: Project) -> None:
    script = project.run("amltool", "--print-completion-script", "bash").out
    ask = (
        'amltool() { ' + " ".join(project.command("amltool")) + ' "$@"; }\n' + script
        + 'COMP_WORDS=(amltool submit --par); _complete_amltool amltool --par submit; echo "${COMPREPLY[@]}"'
    )  # fmt: skip

    done = subprocess.run(["bash", "-c", ask], cwd=project.folder, env=project.environment, capture_output=True)

    assert done.stdout.decode() == "--param\n"
