"""The words of `attach`: the ancestor's first form is understood, and a password among them is refused unrepeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from invoke.exceptions import ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program

from amltool.tasks import ns
from amltool.tasks.parsing import TaskContext, TaskParser
from tests.amltool_command import amltool, make_project

SECRET = "hunter2-Xyzzy"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", {"train.py": ""})


FORMS = [
    ["attach", "vm", "--address", "h.invalid", "--username", "ada", "--password", SECRET],
    ["attach", "vm", "--address", "h.invalid", f"--password={SECRET}"],
    ["attach", "vm", "--password", SECRET, "--address", "h.invalid"],
    ["attach", "--name", "vm", "--password", SECRET, "--address", "h.invalid"],
    ["attach", "--password", SECRET, "--name", "vm", "--address", "h.invalid"],
    ["attach", "--password", SECRET, "--name=vm", "--address", "h.invalid"],
    ["attach", "vm", "--address", "h.invalid", "--password", f"-{SECRET}"],
    ["attach", "vm", "--address", "h.invalid", "--password", f"--{SECRET}"],
    ["attach", "--password", SECRET, "vm", "--address", "h.invalid"],
    ["attach", "--address", "h.invalid", "--password", SECRET, "vm", "more"],
]


@pytest.mark.parametrize("words", FORMS, ids=" ".join)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(project: Path, words: list[str]) -> None:
    done = amltool(project, *words, check=False)

    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    assert "--password-reference" in done.stderr
    for path in project.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_word_behind_an_option_that_is_not_ours_is_not_repeated(project: Path) -> None:
    for option in ("-p", "-w"):
        done = amltool(project, "attach", "vm", "--address", "h.invalid", option, SECRET, check=False)

        assert done.returncode == 1
        assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "train.py", "--password", SECRET],
        ["submit", f"--password={SECRET}", "train.py"],
        ["submit", "train.py", "--api-token", SECRET, "--lr", "1"],
        ["submit", "train.py", "--lr", "1", "--password", f"-{SECRET}"],
        ["submit", "train.py", "more", "--db-password", SECRET],
        ["runs", "--password", SECRET],
        [f"--password={SECRET}", "submit", "train.py"],
        ["--password", SECRET, "submit", "train.py"],
    ],
    ids=" ".join,
)
def test_no_task_repeats_a_password(project: Path, words: list[str]) -> None:
    done = amltool(project, *words, check=False)

    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr


def test_a_password_for_the_script_goes_after_the_dashes(project: Path) -> None:
    done = amltool(project, "submit", "train.py", "--password", SECRET, "--lr", "1", check=False)

    assert "amltool submit train.py -- --password ... --lr 1\n" in done.stderr
    assert "A secret on a command line can be read by others" in done.stderr


def read(words: list[str]) -> dict[str, Any]:
    tasks = [TaskContext("attach", (), ns["attach"]), TaskContext("submit", (), ns["submit"])]
    values: dict[str, Any] = (
        TaskParser(tasks, ParserContext(args=Program().core_args()), "amltool").parse_argv(words)[1].as_kwargs
    )
    return values


@given(secret=some.text(alphabet="abcXYZ0129-_=.$ ", min_size=3, max_size=20).filter(lambda text: text.strip("-=")))
@settings(deadline=None, max_examples=100)
def test_no_secret_is_repeated_wherever_it_stands(secret: str) -> None:
    secret = f"{secret}Qq7"
    for words in (["--address", "h", "--password", secret], ["--password", secret, "--address", "h"]):
        with pytest.raises(ParseError) as refused:
            read(["attach", "vm", *words])
        assert "a secret on a command line" in str(refused.value)
        assert "Qq7" not in str(refused.value)


def test_without_a_type_it_is_a_machine_with_docker(project: Path) -> None:
    done = amltool(project, "attach", "vm", "--address", "h.invalid", "--base-docker-image", "x", check=False)

    assert "There is no machine of type" not in done.stderr
    assert "--base-docker-image is for" not in done.stderr
    assert "h.invalid" in done.stderr


def test_a_cluster_is_asked_for_in_either_form(project: Path) -> None:
    for words in (["--cluster"], ["--type", "cluster"]):
        done = amltool(project, "attach", "c", "--address", "c.azurehdinsight.net", *words, check=False)
        assert done.returncode == 1
        assert "c-ssh.azurehdinsight.net" in done.stderr


def test_runconfig_is_the_option_c() -> None:
    assert read(["submit", "--runconfig", "x"])["run_configuration"] == "x"
    assert read(["submit", "-c", "x"])["run_configuration"] == "x"
