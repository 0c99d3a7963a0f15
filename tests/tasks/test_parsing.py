"""Command lines as they are read, by ``invoke`` and ``amltool`` alike."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invoke.context import Context
from invoke.exceptions import ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program

from amltool.tasks.arguments import task
from amltool.tasks.parsing import TaskContext, TaskParser
from tests.tasks.sample_project import Project


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@task(short={"target": "t", "fast": "f", "quiet": "q"}, script_arguments=True)
def run(
    context: Context,
    script: str | None = None,
    *,
    target: str | None = None,
    param: tuple[str, ...] = (),
    limit: int = 1,
    colour: Colour = Colour.RED,
    fast: bool = False,
    quiet: bool = False,
    clean: bool = True,
    download: str | bool | None = None,
) -> None: ...


@task(aliases=("diff",))
def compare(context: Context, first: str, *others: str, type: str = "") -> None: ...


@task()
def first(context: Context, number: int = 1) -> None: ...


def parser() -> TaskParser:
    contexts = [TaskContext("run", (), run), TaskContext("compare", ("diff",), compare)]
    contexts.append(TaskContext("first", (), first))
    return TaskParser(contexts, ParserContext(args=Program().core_args()), "amltool")


def read(*words: str) -> dict[str, Any]:
    result = parser().parse_argv(list(words))
    assert len(result) == 2
    values: dict[str, Any] = result[1].as_kwargs
    return values


def refusal(*words: str) -> str:
    with pytest.raises(ParseError) as caught:
        parser().parse_argv(list(words))
    return str(caught.value)


def test_a_word_that_may_be_left_out_has_its_default() -> None:
    assert read("run")["script"] is None


def test_a_word_fills_the_first_place() -> None:
    assert read("run", "train.py")["script"] == "train.py"


def test_a_script_named_like_a_task_is_the_script() -> None:
    assert read("run", "compare")["script"] == "compare"


@pytest.mark.parametrize("words", [("--target", "t", "a.py"), ("a.py", "--target", "t"), ("-t", "t", "a.py")])
def test_options_stand_before_or_after_words(words: tuple[str, ...]) -> None:
    values = read("run", *words)

    assert (values["script"], values["target"]) == ("a.py", "t")


def test_all_words_that_are_left_are_taken_by_the_variadic_one() -> None:
    values = read("compare", "a", "b", "--type", "x", "c")

    assert (values["first"], values["others"]) == ("a", ["b", "c"])


def test_an_alias_names_the_same_task() -> None:
    assert read("diff", "a")["first"] == "a"


def test_a_word_can_be_given_as_an_option() -> None:
    assert read("run", "--script=-odd.py")["script"] == "-odd.py"


def test_an_option_given_twice_has_its_last_value() -> None:
    assert read("run", "--target", "a", "--target", "b")["target"] == "b"


def test_a_repeatable_option_keeps_all_its_values_in_order() -> None:
    assert read("run", "--param", "a=1", "--param=b=2")["param"] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "words", [("--limit", "-5"), ("--limit=-5",), ("--limit", "-5", "--fast")], ids=["apart", "equals", "before"]
)
def test_a_negative_number_is_a_value(words: tuple[str, ...]) -> None:
    assert read("run", *words)["limit"] == -5


@pytest.mark.parametrize("value", ["--fast", "-f", "--", "-", "", "run", "a=b", "--target=x"])
def test_a_value_after_the_equals_sign_is_never_an_option(value: str) -> None:
    assert read("run", f"--target={value}")["target"] == value


def test_short_options_can_stand_together_and_the_last_may_have_a_value() -> None:
    values = read("run", "-fqtx")

    assert (values["fast"], values["quiet"], values["target"]) == (True, True, "x")


def test_a_flag_that_is_on_can_be_switched_off() -> None:
    assert read("run", "--no-clean")["clean"] is False


def test_a_choice_becomes_a_member() -> None:
    assert read("run", "--colour", "blue")["colour"] is Colour.BLUE


def test_an_option_with_a_value_that_may_be_left_out_does_not_eat_the_next_word() -> None:
    values = read("run", "--download", "a.py")

    assert (values["download"], values["script"]) == (True, "a.py")


def test_core_options_after_the_task_reach_the_core() -> None:
    core = parser().parse_argv(["run", "a.py", "--echo", "-R"])[0].args

    assert (core["echo"].value, core["dry"].value) == (True, True)


def test_help_of_a_task_does_not_ask_for_its_words() -> None:
    assert parser().parse_argv(["compare", "--help"])[0].args["help"].value == "compare"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "a.py", "runs"), "'runs' is one word too many"),
        (("run", "a.py", "b c"), "amltool run a.py -- 'b c'"),
        (("run", "--nope"), "run has no option --nope"),
        (("run", "a.py", "--lr", "0.1"), "amltool run a.py -- --lr 0.1"),
        (("run", "--targt", "x"), "Did you mean --target?"),
        (("run", "--target"), "--target needs a value"),
        (("run", "--target", "--fast"), "given as --target=VALUE"),
        (("run", "--fast=yes"), "--fast takes no value"),
        (("run", "-f=yes"), "-f takes no value"),
        (("run", "--limit", "abc"), "--limit takes a whole number, not 'abc'"),
        (("run", "--colour", "pink"), "--colour takes one of red, blue, not 'pink'"),
        (("compare",), "compare needs FIRST"),
        (("first", "abc"), "NUMBER takes a whole number, not 'abc'"),
        (("compar",), "Did you mean compare?"),
        (("--target", "x", "run"), "Options of a task come after its name"),
        (("",), "No idea what ''"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(words: tuple[str, ...], said: str) -> None:
    assert said in refusal(*words)


def test_every_refusal_is_two_lines() -> None:
    assert len(refusal("run", "--limit", "a\nb").splitlines()) == 2


# What a process can be given: any text without NUL, bytes that are no UTF-8 among it.
words_of_argv = st.lists(
    st.binary(max_size=12).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)
    | st.sampled_from(["--", "-", "", " ", "\n", "'", '"', "a b", "--help", "submit", "$HOME", "ä", "*"]),
    max_size=6,
)


@given(value=st.text(max_size=20), before=st.booleans())
def test_any_value_after_the_equals_sign_is_read_as_it_is(value: str, before: bool) -> None:
    option = [f"--target={value}"]

    values = read("run", *(option if before else []), "a.py", *([] if before else option))

    assert (values["target"], values["script"]) == (value, "a.py")


@given(st.lists(st.text(max_size=8), max_size=6))
def test_a_command_line_is_read_or_refused_and_never_crashes(words: list[str]) -> None:
    try:
        result = parser().parse_argv(["run", *words])
    except ParseError as error:
        names = [error.context.name if error.context else None]
    else:
        names = [context.name for context in result]
    assert names[-1] == "run"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=words_of_argv)
def test_the_words_after_the_dashes_arrive_byte_for_byte(project: Project, program: str, words: list[str]) -> None:
    raw = [os.fsencode(word) for word in words]

    ended = project.run(program, "submit", "train.py", "--", *raw)

    assert ended.after == words


def test_nothing_follows_bare_dashes(project: Project, program: str) -> None:
    assert project.run(program, "submit", "train.py", "--").after == []


def test_what_looks_like_our_options_after_the_dashes_is_the_scripts(project: Project, program: str) -> None:
    ended = project.run(program, "submit", "--", "--target", "x", "--help")

    assert (ended.given["target"], ended.after) == (None, ["--target", "x", "--help"])


def test_a_whole_command_line_reaches_the_task(project: Project, program: str) -> None:
    line = ["submit", "--target=docker", "check", "-c", "rc", "--param", "a=1", "--param", "b=-2", "-qn5", "--no-clean"]

    given = project.run(program, *line, "-e", "--dry").given

    assert given == {
        "script": "check", "target": "docker", "run_configuration": "rc", "param": ["a=1", "b=-2"], "detach": False,
        "quiet": True, "number": 5, "clean": False, "download": None, "dry": True, "echo": True, "after": [],
    }  # fmt: skip


def test_an_option_may_be_called_like_a_core_option(project: Project, program: str) -> None:
    assert project.run(program, "runs", "--list").given["list"] is True


@pytest.mark.parametrize("line", [["submit", "a.py", "runs"], ["runs", "submit"], ["doctor", "runs"]])
def test_a_stray_word_is_an_error_and_runs_nothing(project: Project, program: str, line: list[str]) -> None:
    ended = project.run(program, *line)

    assert (ended.code, ended.out) == (1, "")
    assert "one word too many" in ended.err


def test_a_value_that_cannot_be_is_a_sentence_and_no_traceback(project: Project, program: str) -> None:
    ended = project.run(program, "runs", "--limit", "abc")

    assert (ended.code, ended.err.splitlines()[0]) == (1, "--limit takes a whole number, not 'abc'.")


def test_a_task_that_takes_no_script_refuses_words_after_the_dashes(project: Project, program: str) -> None:
    ended = project.run(program, "doctor", "--", "x")

    assert (ended.code, ended.out) == (1, "")
    assert "takes nothing after --" in ended.err
