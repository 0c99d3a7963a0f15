"""Text from elsewhere: whatever is in it, nothing harmful is left, and JSON keeps its value."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.files import safe_text
from amltool.tasks.output import HarmlessStream, harmless_output, unguarded
from amltool.text import harmless, harmless_json, harmless_lines

HARMFUL = (
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
    *"\u200e\u200f\u061c\u2028\u2029\ufeff\U000e0041",
    *map(chr, (0xD800, 0xDCFF, 0xDFFF)),
)
texts = st.text(st.one_of(st.characters(), st.sampled_from(HARMFUL), st.sampled_from("ab\u00fc\u6570")))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text(st.sampled_from(HARMFUL[:-3])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def is_harmful(character: str) -> bool:
    return character in HARMFUL or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(texts)
@settings(deadline=None)
def test_no_text_keeps_anything_harmful(text: str) -> None:
    assert not any(map(is_harmful, harmless(text)))
    assert not any(is_harmful(each) for each in harmless_lines(text) if each not in "\n\t")
    safe_text(text).encode()


@given(texts)
@settings(deadline=None)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    once = harmless_lines(text)

    assert harmless_lines(once) == once
    assert text != once or text.replace("\n", "").replace("\t", "").isprintable()


@given(json_values)
@settings(deadline=None)
def test_json_is_harmless_and_of_equal_value(value: object) -> None:
    for document in (json.dumps(value, ensure_ascii=False, indent=2), json.dumps(value, ensure_ascii=False)):
        made = harmless_json(document.encode()).decode()

        assert json.loads(made) == value
        assert not any(is_harmful(each) for each in made if each != "\n")


def test_a_long_text_is_cut_where_it_is_shown() -> None:
    assert harmless("x" * 5_000_000, 20) == "x" * 19 + "…"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_colours_pass_to_a_terminal_and_nothing_to_a_pipe() -> None:
    said = "\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x9b31m\u202e"
    terminal, pipe = Terminal(), io.StringIO()

    HarmlessStream(terminal).write(said)
    HarmlessStream(pipe).writelines([said])

    assert terminal.getvalue() == "\x1b[31mred\x1b[0m \\x1b]0;owned\\x07 \\x9b31m\\u202e"
    assert pipe.getvalue() == "\\x1b[31mred\\x1b[0m \\x1b]0;owned\\x07 \\x9b31m\\u202e"


def test_what_a_task_prints_is_made_harmless_and_bytes_are_left_alone(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    import sys

    with harmless_output(), harmless_output():
        sys.stdout.write("a\x1bb\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(b"c\x1bd\n")
        sys.stdout.flush()
        assert not isinstance(unguarded(sys.stdout), HarmlessStream)

    assert capfdbinary.readouterr().out == b"a\\x1bb\nc\x1bd\n"
