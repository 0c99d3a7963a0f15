"""Whatever a script logs becomes strict JSON, and a number stays a number."""

from __future__ import annotations

import datetime
import enum
import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.tracking.values import described, plain, scalar, text, words_in

TEXTS = st.text(st.characters(exclude_categories=()))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.binary()
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.datetimes()
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(TEXTS | st.integers() | st.none(), max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_any_value_becomes_strict_json_in_utf_8(value: Any) -> None:
    encoded = json.dumps(plain(value), allow_nan=False, ensure_ascii=False).encode("utf-8")

    assert json.loads(encoded) == plain(value)


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**62), 2**62))
def test_a_number_is_kept_exactly(value: float) -> None:
    assert plain(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (True, True),
        (2**63, "9223372036854775808"),
        (Decimal("0.97"), 0.97),
        (Decimal("NaN"), "NaN"),
        (Decimal("1e400"), "1E+400"),
        (Fraction(1, 4), 0.25),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (datetime.datetime(2026, 11, 21, 8, 15), "2026-11-21T08:15:00"),
        (b"caf\xc3\xa9\xff", "café\\xff"),
        ("a\udc80b", "a\\udc80b"),
        ("nul\0 and\nnewline\u2028", "nul\0 and\nnewline\u2028"),
        ((1, 2.5), [1, 2.5]),
        (range(3), [0, 1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_values_of_the_language(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert isinstance(plain(value), type(expected))


def test_sets_of_unlike_things_come_in_one_order() -> None:
    assert plain({"b", 1, "a"}) == ["a", "b", 1]


def test_enumerations_that_are_numbers_or_texts_are_what_they_stand_for() -> None:
    class Colour(str, enum.Enum):
        RED = "red"

    class Number(enum.IntEnum):
        ONE = 1

    assert json.dumps([plain(Colour.RED), plain(Number.ONE)]) == '["red", 1]'


def test_numpy_values() -> None:
    numpy = pytest.importorskip("numpy")

    assert plain(numpy.float32(0.5)) == 0.5
    assert plain(numpy.int64(7)) == 7
    assert plain(numpy.bool_(True)) is True
    assert plain(numpy.array([[1.0, numpy.nan], [numpy.inf, 2.0]])) == [[1.0, "NaN"], ["Infinity", 2.0]]
    assert plain(numpy.array(3)) == 3
    assert plain(numpy.longdouble("0.5")) == 0.5
    assert plain(numpy.str_("text")) == "text"
    assert plain({"column": numpy.arange(3)}) == {"column": [0, 1, 2]}
    assert scalar(numpy.float64(0.5)) == 0.5
    assert scalar(numpy.arange(3)) == "array([0, 1, 2])"


@given(at=st.integers(0, 1999), by=st.sampled_from([1, 1e-7, 1e-12]))
@settings(deadline=None, max_examples=20)
def test_two_arrays_that_differ_in_one_value_are_two_texts(at: int, by: float) -> None:
    numpy = pytest.importorskip("numpy")
    other = numpy.linspace(0, 1, 2000)
    other[at] += by

    assert scalar(other) != scalar(numpy.linspace(0, 1, 2000))


def test_two_data_frames_that_differ_in_one_value_are_two_texts() -> None:
    class Frame:
        columns = ("a",)

        def __init__(self, value: int) -> None:
            self.value = value

        def __repr__(self) -> str:
            return "     a\n0    0\n..  ...\n99  99"

        def to_dict(self, orient: str) -> dict[str, list[int]]:
            assert orient == "list"
            return {"a": [self.value]}

    assert scalar(Frame(1)) == "Frame({'a': [1]})" != scalar(Frame(2))


def test_a_set_is_told_in_one_order() -> None:
    assert scalar({"b", "a", "c"}) == "{'a', 'b', 'c'}"
    assert scalar(set()) == "set()"


def test_values_are_known_by_what_they_can_do() -> None:
    class Tensor:
        def tolist(self) -> list[float]:
            return [1.0, 2.0]

    class Eager:
        def numpy(self) -> Tensor:
            return Tensor()

    class Frame:
        columns = ("a",)

        def to_dict(self, form: str) -> dict[str, list[str]]:
            return {"a": [form]}

    assert plain([Tensor(), Eager(), Frame()]) == [[1.0, 2.0], [1.0, 2.0], {"a": ["list"]}]


class Broken:
    def tolist(self) -> Any:
        raise RuntimeError("on another device")

    def __repr__(self) -> str:
        raise RuntimeError("not even this")

    __str__ = __repr__


def test_a_value_whose_own_code_fails_is_named_by_its_type() -> None:
    assert plain(Broken()) == scalar(Broken()) == text(Broken()) == described(Broken()) == "<Broken>"
    assert plain({"ok": 1, "bad": Broken()}) == {"ok": 1, "bad": "<Broken>"}


def test_a_list_that_holds_itself_ends() -> None:
    loop: list[Any] = [1]
    loop.append(loop)

    assert plain(loop) == [1, "[1, [...]]"]


def test_very_deep_values_end() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]

    json.dumps(plain(deep))


def test_a_class_is_not_asked_what_its_values_are() -> None:
    assert plain(Broken).startswith("<class ")


@pytest.mark.parametrize("value", [[1], {"a": 1}, (1, 2), datetime.date(2026, 1, 1), object])
def test_a_scalar_that_is_none_is_its_repr(value: Any) -> None:
    assert scalar(value) == repr(value)


@pytest.mark.parametrize(
    ("value", "places"),
    [
        (math.nan, []),
        ("NaN", [0]),
        ([math.inf, "Infinity", "x", "-Infinity"], [1, 2]),
        ({"a": ["NaN"], "b": math.nan}, [0]),
        ({"a": [math.nan], "b": "NaN"}, [1]),
        ((Decimal("NaN"), "nan"), []),
    ],
)
def test_texts_that_read_like_numbers_are_known_by_their_places(value: Any, places: list[int]) -> None:
    assert words_in(plain(plain(value))) == places
