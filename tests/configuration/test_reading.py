"""Bytes to a tree: what is accepted, what is refused, and where the fault is said to be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amltool.configuration.reading import MAX_BYTES, read_tree
from amltool.configuration.tree import Findings, Mapping, Scalar, plain_value
from amltool.configuration.writing import dump
from amltool.errors import ConfigurationError

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)


def read(content: bytes) -> object:
    findings = Findings("a.compute")
    tree = read_tree(content, findings)
    findings.check()
    return plain_value(tree)


def mistakes_of(content: bytes) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(content)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    "content",
    [
        b"type: local\nport: 22\n",
        b"type: local\r\nport: 22\r\n",
        b"\xef\xbb\xbftype: local\nport: 22\n",
        b"---\ntype: local\nport: 22\n...\n",
        b'{"type": "local", "port": 22}',
        b'{\n\t"type":\t"local",\n\t"port": 22\n}\n',
        b"# a comment\n'type': \"local\"\nport: 22",
    ],
    ids=["yaml", "CRLF", "BOM", "document marks", "JSON", "JSON with tabs", "quotes"],
)
def test_every_way_to_write_the_same_is_read_the_same(content: bytes) -> None:
    assert read(content) == {"type": "local", "port": 22}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b"---\n", b"null\n", b"\xef\xbb\xbf"])
def test_a_file_that_says_nothing_is_an_empty_map(content: bytes) -> None:
    assert read(content) == {}


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> theirs\n", "a.compute:2: ", "merge conflict"),
        (b"a: 1\n\tb: 2\n", "a.compute:2:", "tab"),
        (b"a:\n\t- 1\n", "a.compute:2:", "tab"),
        (b"a: 1\nb: \x00\n", "a.compute:2: ", "U+0000"),
        (b"\x89PNG\r\n\x1a\n\x00", "a.compute:1: ", "not UTF-8"),
        (b"a: 1\nb: caf\xe9\n", "a.compute:2: ", "not UTF-8"),
        ("a: 1\n".encode("utf-16"), "a.compute:1: ", "UTF-16"),
        (b"a: 1\nb: 2\na: 3\n", "a.compute:3:1: ", "twice (first in line 1)"),
        (b"a: 1\n---\nb: 2\n", "a.compute:2:1: ", "second document"),
        (b"- a\n- b\n", "a.compute:1:1: ", "`key: value`"),
        (b"just words\n", "a.compute:1:1: ", "`key: value`"),
        (b'{"a": 1\n "b": 2}\n', "a.compute:2:", "a comma or a closing '}' is missing"),
        (b'{"a": [1 2}\n', "a.compute:1:", "a comma or a closing ']' is missing"),
        (b"a: 'x\n", "a.compute:2:1: ", "never closed"),
        (b"a: b: c\n", "a.compute:1:5: ", "out of place"),
        (b"a:\n  - 1\n b: 2\n", "a.compute:3:", "indented"),
        (b"a: &x [*x]\n", "a.compute:1:8: ", "contains itself"),
        (b"a: *x\n", "a.compute:1:4: ", "names nothing"),
        (b"a: !!python/object:os.system x\n", "a.compute:1:4: ", "tag"),
        (b"a: !secret x\n", "a.compute:1:4: ", "tag"),
        (b"? [a, b]\n: 1\n", "a.compute:1:3: ", "cannot be a key"),
        (b'a: "\\0"\n', "a.compute:1:4: ", "no character"),
        (b"a: " + b"[" * 100, "a.compute:1:", "nested more than 40 deep"),
        (b"a: 1\n" * 20_000, "a.compute:", "more than 20,000 values"),
        (b"a" * (MAX_BYTES + 1), "a.compute: ", "1,048,577 bytes"),
    ],
)
def test_a_broken_file_is_named_with_line_and_fault(content: bytes, place: str, words: str) -> None:
    first = mistakes_of(content)[0]

    assert first.startswith(place)
    assert words in first


def test_every_conflict_in_a_file_is_named() -> None:
    conflict = b"<<<<<<< a\nx: 1\n=======\nx: 2\n>>>>>>> b\n"

    assert [mistake.split(":")[1] for mistake in mistakes_of(conflict * 2)] == ["1", "5", "6", "10"]


def test_an_alias_bomb_is_not_unfolded() -> None:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 40)]

    assert "unfolds to more than" in mistakes_of(b"\n".join(lines))[0]


def test_aliases_that_deepen_step_by_step_are_refused() -> None:
    lines = [b"a0: &a0 " + b"[" * 30 + b"]" * 30]
    lines += [b"a%d: &a%d " % (i, i) + b"[" * 30 + b"*a%d" % (i - 1) + b"]" * 30 for i in range(1, 40)]

    assert "nested more than" in mistakes_of(b"\n".join(lines))[0]


def test_aliases_and_merge_keys_work_as_yaml_says() -> None:
    content = b"base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  b: 3\n  c: *base\n"

    assert read(content) == {"base": {"a": 1, "b": 2}, "other": {"a": 1, "b": 3, "c": {"a": 1, "b": 2}}}


def test_numbers_that_json_could_not_hold_stay_text() -> None:
    huge = "9" * 400
    content = f"a: {huge}\nb: .inf\nc: .nan\nd: 1:30\ne: 0x1f\nf: 2018-01-01\ng: 1.5\nh: -7\ni: 1.0e999\n"

    expected = {"a": huge, "b": ".inf", "c": ".nan", "d": "1:30", "e": "0x1f", "f": "2018-01-01", "g": 1.5, "h": -7}
    assert read(content.encode()) == {**expected, "i": "1.0e999"}


def test_only_yaml_booleans_and_nulls_are_such() -> None:
    content = b"a: yes\nb: Off\nc: true.\nd: 'true'\ne: ~\nf:\ng: 'null'\nh: tRUE\n"

    expected = {"a": True, "b": False, "c": "true.", "d": "true", "e": None, "f": None, "g": "null", "h": "tRUE"}
    assert read(content) == expected


def test_values_know_their_place() -> None:
    tree = read_tree(b"a: 1\nb:\n  - x\n  - y: z\n", Findings("f"))

    inner = tree.get("b")
    assert (inner.line, inner.column) == (3, 3)
    assert inner.items[1].get("y") == Scalar("z", True, 4, 8)


def test_both_yaml_parsers_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    content = b'{\n\t"type": "local",\n\t"names": ["a", 1, null]\n}\n'
    with_library = read(content)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)

    assert read(content) == with_library == {"type": "local", "names": ["a", 1, None]}
    assert "missing before this" in mistakes_of(b'{"a": 1\n "b": 2}\n')[0]
    assert "tab" in mistakes_of(b"a: 1\n\tb: 2\n")[0]


def test_a_file_with_very_many_faults_shows_fifty() -> None:
    shown = mistakes_of(b"".join(b"key: 1\n" for _ in range(300)))

    assert len(shown) == 51
    assert shown[-1] == "a.compute: and 249 more mistakes"


@given(st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-(10**17), 10**17), st.booleans(), st.none()), max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_we_write_is_read_back(content: dict[str, object]) -> None:
    assert read(dump(content).encode()) == content


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_map_or_a_named_fault(content: bytes) -> None:
    findings = Findings("f")
    try:
        tree = read_tree(content, findings)
    except ConfigurationError:
        tree = None

    assert isinstance(tree, Mapping) or findings.mistakes
    assert all(str(mistake).startswith("f:") for mistake in findings.mistakes)
