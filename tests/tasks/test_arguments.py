from __future__ import annotations

import copy
from enum import Enum

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from amltool.errors import UserError
from amltool.tasks.arguments import ScriptArguments, remainder_arguments, task
from amltool.tasks.failures import Outcome


class Colour(Enum):
    RED = "red"


@task(short={"target": "t"}, help={"target": "where", "words": "what"})
def sample(
    context: Context,
    first: str,
    second: int = 2,
    *words: str,
    target: str | None = None,
    colour: Colour | None = None,
    from_: str = "here",
    param: tuple[str, ...] = (),
    fast: bool = False,
    download: str | bool | None = None,
) -> object:
    """Return what was given."""
    return first, second, words, target, param, from_


def arguments() -> dict[str, object]:
    return {argument.name or "": argument for argument in sample.get_arguments()}


def test_parameters_before_the_star_are_words_and_the_others_are_not() -> None:
    positional = [argument.name for argument in sample.get_arguments() if argument.positional]

    assert positional == ["first", "second", "words"]


def test_only_what_has_no_default_is_required() -> None:
    assert sample.required == {"first"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("second", int), ("target", str), ("colour", Colour), ("param", list), ("words", list), ("fast", bool)],
)
def test_the_annotation_says_how_text_becomes_a_value(name: str, kind: type) -> None:
    assert arguments()[name].kind is kind  # type: ignore[attr-defined]


def test_a_text_or_flag_annotation_makes_the_value_optional() -> None:
    assert arguments()["download"].optional  # type: ignore[attr-defined]


def test_a_keyword_of_python_can_be_an_option() -> None:
    assert arguments()["from_"].names == ("from",)  # type: ignore[attr-defined]


def test_help_is_still_there_at_the_second_asking() -> None:
    sample.get_arguments()

    assert arguments()["target"].help == "where"  # type: ignore[attr-defined]


def test_only_declared_options_are_short() -> None:
    short = [name for argument in sample.get_arguments() for name in argument.nicknames]

    assert short == ["t"]


def test_a_parameter_without_annotation_is_refused_where_it_is_declared() -> None:
    with pytest.raises(TypeError, match="thing needs an annotation"):
        task()(lambda context, thing: None)


def test_an_annotation_that_cannot_be_read_is_refused_where_it_is_declared() -> None:
    def body(context: Context, *, thing: dict[str, int]) -> None: ...

    with pytest.raises(TypeError, match="nothing says how to read that"):
        task()(body)


def test_a_flag_that_would_be_a_word_is_refused_where_it_is_declared() -> None:
    def body(context: Context, fast: bool = False) -> None: ...

    with pytest.raises(TypeError, match="fast is a flag"):
        task()(body)


def test_help_for_a_parameter_that_is_not_there_is_refused() -> None:
    def body(context: Context) -> None: ...

    with pytest.raises(TypeError, match="no parameter thing"):
        task(help={"thing": "?"})(body)


def test_a_task_is_called_from_python_as_its_signature_says() -> None:
    assert sample(Context(), "a", 3, "b", "c", target="t") == ("a", 3, ("b", "c"), "t", (), "here")


def test_a_task_takes_what_the_parser_gives_it() -> None:
    given = {"first": "a", "second": 3, "words": ["b"], "param": ["x=1"]}

    assert sample(Context(), **given) == ("a", 3, ("b",), None, ("x=1",), "here")


def test_a_wrong_call_from_python_is_a_type_error_and_no_bug_report() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        sample(Context(), "a", wrong=1)


def test_a_call_without_context_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="Context first"):
        sample("a")


def test_a_mistake_in_a_task_called_from_another_ends_both() -> None:
    @task()
    def inner(context: Context) -> None:
        raise UserError("No.", "Do yes.")

    with pytest.raises(Exit) as caught:
        inner(Context())

    assert (caught.value.message, caught.value.code) == ("No.\nDo yes.", 1)


def test_an_outcome_of_zero_is_returned_and_any_other_ends_the_program() -> None:
    @task()
    def ending(context: Context, code: int) -> Outcome:
        return Outcome(code)

    assert ending(Context(), 0) == Outcome(0)
    with pytest.raises(Exit) as caught:
        ending(Context(), 7)
    assert caught.value.code == 7


def test_the_words_after_the_dashes_survive_copies_of_the_context() -> None:
    context = Context(remainder=copy.deepcopy(ScriptArguments(["a b", "", "--"])))

    assert remainder_arguments(context) == ["a b", "", "--"]


def test_a_context_made_by_hand_has_its_remainder_split_as_a_shell_would() -> None:
    assert remainder_arguments(Context(remainder="a 'b c'")) == ["a", "b c"]


def test_without_dashes_there_are_no_script_arguments() -> None:
    assert remainder_arguments(Context()) == []
