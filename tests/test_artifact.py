"""What a run logged, read line by line: a script may write anything there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.artifact import DEEPEST, LONGEST_LINE, LONGEST_NAME, MOST_NAMES, fold_lines

GOOD = b'{"v":1,"kind":"metric","name":"loss","value":0.5}'
DEEP = b'{"kind":"metric","name":"x","value":' + b"[" * 5000 + b"]" * 5000 + b"}"
ODD = [
    DEEP,
    b'{"kind":"metric","name":"x","value":' + b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1) + b"}",
    b'{"kind":"metric","name":"x","value":1' + b"0" * 400 + b"}",
    b'{"kind":"table","name":"x","value":{"a":[1' + b"0" * 30 + b"]}}",
    b'{"kind":"metric","name":"x","value":NaN}',
    b'{"kind":"metric","name":"x","value":1e999}',
    b'{"kind":"metric","name":"' + b"n" * (LONGEST_NAME + 1) + b'","value":1}',
    b'{"kind":"metric","name":"x","value":"\\ud800"}',
    b'{"kind":"metric","name":"\xff","value":1}',
    b'{"kind":"metric","value":1}',
    b"not JSON",
    b"[]",
    b"[" * 100_000,
    b"\0" * 1000,
]
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
LINES = st.one_of(
    st.sampled_from([GOOD, *ODD]),
    st.binary(max_size=100),
    st.builds(
        lambda kind, name, value: json.dumps({"kind": kind, "name": name, "value": value}).encode(),
        st.sampled_from(["metric", "list", "row", "table", "image", "parameter", "tag", "new"]),
        st.text(max_size=20),
        VALUES,
    ),
)


def in_blocks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=12), st.integers(1, 300))
def test_each_line_is_judged_alone_and_what_is_kept_can_be_recorded(lines: list[bytes], size: int) -> None:
    content = b"\n".join([GOOD, *lines, GOOD])
    found = fold_lines(in_blocks(content, size))
    assert found.metrics["loss"].last == 0.5
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) is not None
    assert found == fold_lines([content])


def test_odd_lines_are_counted_and_the_others_kept() -> None:
    found = fold_lines([b"\n".join([GOOD, *ODD, GOOD])])
    assert (list(found.metrics), found.metrics["loss"].count, found.damaged_lines) == (["loss"], 2, len(ODD))


def test_a_line_without_an_end_is_not_held() -> None:
    blocks = (b"x" * (1 << 20) for _ in range(3 * LONGEST_LINE >> 20))
    found = fold_lines([GOOD, b"\n", *blocks, b"\n", GOOD])
    assert (found.metrics["loss"].count, found.damaged_lines) == (2, 1)


def test_names_without_number_are_bounded() -> None:
    content = b"".join(b'{"kind":"tag","name":"%d","value":1}\n' % number for number in range(MOST_NAMES + 5))
    found = fold_lines([content])
    assert (len(found.tags), found.damaged_lines) == (MOST_NAMES, 5)
