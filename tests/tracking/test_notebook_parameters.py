from __future__ import annotations

import ast
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking.notebook_parameters import RefusedError, inject, is_python, literal, parameter


class Notebook(dict[str, Any]):
    """Enough of one for what needs no nbformat."""

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self["metadata"]
        return found


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("a=1", 1), ("a=-0.5", -0.5), ("a=1e3", 1000.0), ("a=True", True), ("a=None", None), ("a=", ""),
        ("a=b=c", "b=c"), ("a=[1]", "[1]"), ("a= 'x'", " 'x'"),
    ],
)  # fmt: skip
def test_a_value_is_a_number_a_constant_or_text(argument: str, value: object) -> None:
    name, found = parameter(argument)
    assert (name, found, type(found)) == ("a", value, type(value))


@pytest.mark.parametrize("argument", ["rate", "--rate=1", "1a=2", "=2", "", "class=3", "a b=1"])
def test_what_is_no_assignment_is_refused_with_an_example(argument: str) -> None:
    with pytest.raises(RefusedError, match=r"takes NAME=VALUE only\.\nWrite for example: amltool submit a\.ipynb"):
        parameter(argument, "a.ipynb")


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_value_as_source_is_that_value(value: object) -> None:
    assert ast.literal_eval(literal(value)) == value


def test_numbers_without_a_literal_are_calls() -> None:
    assert literal(math.inf) == "float('inf')"
    assert literal(math.nan) == "float('nan')"


@pytest.mark.parametrize(
    ("metadata", "is_it"),
    [
        ({}, True),
        ({"kernelspec": {"name": "x", "language": "Python"}}, True),
        ({"language_info": {"name": "ipython"}}, True),
        ({"kernelspec": {"language": "pyspark"}}, True),
        ({"kernelspec": {"name": "ir", "language": "R"}}, False),
        ({"language_info": {"name": "julia"}}, False),
    ],
)
def test_the_language_of_a_notebook_is_in_its_metadata(metadata: dict[str, Any], is_it: bool) -> None:
    assert is_python(Notebook(metadata=metadata)) is is_it


def test_parameters_of_a_notebook_in_another_language_are_refused() -> None:
    with pytest.raises(RefusedError, match="is not in Python"):
        inject(Notebook(metadata={"language_info": {"name": "R"}}), {"a": 1}, "a.ipynb")
