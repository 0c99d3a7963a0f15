"""JSON as the bootstrap reads and writes it, against the standard library's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking.quick_json import dumps, loads

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.dictionaries(st.text(), values, max_size=5),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain))
def test_what_is_written_as_json_is_read_alike_by_anybody(value: dict[str, Any]) -> None:
    text = dumps(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert loads(text.encode()) == value
    assert loads(json.dumps(value, indent=1).encode()) == value


@given(st.binary(max_size=50))
def test_what_is_no_json_is_refused(content: bytes) -> None:
    try:
        expected = json.loads(content.decode())
    except ValueError:
        with pytest.raises(ValueError):
            loads(content)
    else:
        assert loads(content) == expected or expected != expected
