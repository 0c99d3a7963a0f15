"""Bytes of a configuration file to a tree whose every value knows its line (YAML; JSON is YAML).

The tree is composed from the parser's events, without recursion and within bounds, so that no file can cost much
time or memory: aliases are shared and what they would unfold to is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from amltool.configuration.tree import MAX_FINDINGS, Findings, Mapping, Node, Scalar, Sequence, quoted, shorten

if TYPE_CHECKING:
    from yaml.events import Event

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
"""Of one file, counted with aliases unfolded."""
MAX_DEPTH = 40

_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_CONFLICT = re.compile(r"^(?:<{7}|>{7})(?:[ \r].*)?$", re.MULTILINE)
_INDENTATION = re.compile(r"^[ \t]*\t[ \t]*", re.MULTILINE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "timestamp"))

_PLAINER = (
    ("tab character that violates", "a tab indents this line; YAML is indented with blanks, never tabs"),
    ("did not find expected key", "this line is indented differently from its neighbours, or a ':' is missing"),
    ("did not find expected '-' indicator", "this line is indented differently from the list above it"),
    ("cannot start any token", "a tab or a reserved character stands here; YAML is indented with blanks, never tabs"),
    ("expected ',' or '}'", "a comma or a closing '}' is missing before this"),
    ("expected ',' or ']'", "a comma or a closing ']' is missing before this"),
    ("mapping values are not allowed", "a ':' is out of place: is a quote missing, or the indentation wrong?"),
    ("could not find expected ':'", "expected `key: value`: a ':' is missing in the lines before this"),
    ("expected <block end>", "this line is indented differently from its neighbours, or a '-' or ':' is missing"),
    ("found unexpected end of stream", "a quote is opened and never closed"),
)


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """The file cannot be read on from here."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def read_tree(content: bytes, findings: Findings) -> Mapping:
    """The top mapping of a file; an empty file is an empty mapping.

    Duplicate keys and the like are added to ``findings``.

    Raises:
        ConfigurationError: it cannot be read at all; with what was found until then.
    """
    try:
        text = _text(content)
        for conflict in islice(_CONFLICT.finditer(text), MAX_FINDINGS):
            found = f"a merge conflict is left in the file ({shorten(conflict[0])}): choose a side"
            findings.add(found, _line(text, conflict.start()))
        findings.check()
        root = _compose(text, findings)
    except _Broken as broken:
        findings.add(broken.message, broken.line, broken.column)
        findings.check()
        raise AssertionError("unreachable") from broken
    if isinstance(root, Scalar) and root.value is None:
        return Mapping((), root.line, root.column)
    if not isinstance(root, Mapping):
        findings.mistake("expected `key: value` lines at the top of the file", root)
        findings.check()
        raise AssertionError("unreachable")
    return root


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Broken(f"the file has {len(content):,} bytes; a configuration file has at most {MAX_BYTES:,}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Broken("the file is UTF-16: save it as UTF-8", 1)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Broken(f"byte 0x{content[error.start]:02x} is not UTF-8 text: save the file as UTF-8", line) from None
    if found := _NOT_TEXT.search(text):
        line = _line(text, found.start())
        raise _Broken(f"character U+{ord(found[0]):04X} does not belong in a text file (is this file binary?)", line)
    # JSON may be indented with tabs, and of YAML's two parsers only one takes that
    if text.lstrip().startswith(("{", "[")):
        text = _INDENTATION.sub(lambda match: " " * len(match[0]), text)
    return text


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def _events(text: str) -> Iterator[Event]:
    import yaml

    try:
        yield from yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        problem = error.problem or "it cannot be read"
        message = next((plain for technical, plain in _PLAINER if technical in problem), problem)
        if error.context_mark is not None:
            message = f"{message} ({error.context}, line {error.context_mark.line + 1})"
        place = _place(error.problem_mark or error.context_mark)
        raise _Broken(f"not valid YAML: {message}", *place) from None
    except yaml.YAMLError as error:
        raise _Broken(f"not valid YAML: {shorten(str(error), 200)}") from None


def _place(mark: Any) -> tuple[int | None, int | None]:
    return (mark.line + 1, mark.column + 1) if mark is not None else (None, None)


class _Open:
    """A list or map that is being read; weight counts its values, height its levels, aliases unfolded."""

    __slots__ = ("anchor", "column", "height", "is_map", "items", "line", "weight")

    def __init__(self, is_map: bool, anchor: str | None, line: int | None, column: int | None) -> None:
        self.is_map, self.anchor, self.line, self.column = is_map, anchor, line, column
        self.items: list[Node] = []
        self.weight = 1
        self.height = 0


def _compose(text: str, findings: Findings) -> Node:
    """One tree from the events of one document."""
    import yaml

    top = _Open(False, None, 1, 1)
    stack = [top]
    anchors: dict[str, tuple[Node, int, int]] = {}

    def add(node: Node, weight: int, height: int, anchor: str | None = None) -> None:
        parent = stack[-1]
        parent.items.append(node)
        parent.weight += weight
        parent.height = max(parent.height, height + 1)
        if parent.weight > MAX_VALUES:
            raise _Broken(f"the file unfolds to more than {MAX_VALUES:,} values", node.line)
        if len(stack) + height > MAX_DEPTH + 1:
            raise _Broken(f"values are nested more than {MAX_DEPTH} deep", node.line, node.column)
        if anchor is not None:
            anchors[anchor] = (node, weight, height)

    documents = 0
    for event in _events(text):
        line, column = _place(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            add(_scalar(event, findings, line, column), 1, 0, event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            if any(each.anchor == event.anchor for each in stack):
                raise _Broken(f"the alias *{shorten(str(event.anchor))} contains itself", line, column)
            if event.anchor not in anchors:
                raise _Broken(f"the alias *{shorten(str(event.anchor))} names nothing above it", line, column)
            add(*anchors[event.anchor])
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(stack) > MAX_DEPTH:
                raise _Broken(f"values are nested more than {MAX_DEPTH} deep", line, column)
            is_map = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", f"{_TAG}map" if is_map else f"{_TAG}seq"):
                findings.add(f"the tag {shorten(event.tag)} means nothing here", line, column)
            stack.append(_Open(is_map, event.anchor, line, column))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = stack.pop()
            add(_close(done, findings), done.weight, done.height, done.anchor)
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Broken("a second document starts here (`---`); one file holds one", line, column)
    return top.items[0] if top.items else Scalar("", True, 1, 1)


def _scalar(event: Any, findings: Findings, line: int | None, column: int | None) -> Scalar:
    if "\0" in event.value or _SURROGATE.search(event.value):
        findings.add("an escape in this text stands for no character (NUL or half a pair)", line, column)
        return Scalar("", False, line, column)
    plain = event.style in (None, "")
    if event.tag is not None and event.tag not in _SCALAR_TAGS:
        plain = False
        if event.tag not in ("!", f"{_TAG}str"):
            findings.add(f"the tag {shorten(event.tag)} means nothing here", line, column)
    return Scalar(event.value, plain, line, column)


def _close(done: _Open, findings: Findings) -> Node:
    if not done.is_map:
        return Sequence(tuple(done.items), done.line, done.column)
    entries: dict[str, tuple[Scalar, Node]] = {}
    merged: list[Node] = []
    for key, value in zip(done.items[::2], done.items[1::2], strict=True):
        if not isinstance(key, Scalar):
            findings.mistake("a list or map cannot be a key", key)
        elif key.plain and key.text == "<<":
            merged += value.items if isinstance(value, Sequence) else [value]
        elif key.text in entries:
            first = entries[key.text][0].line
            findings.mistake(f"{quoted(key.text)} is given twice (first in line {first})", key)
        else:
            entries[key.text] = (key, value)
    for source in merged:
        if not isinstance(source, Mapping):
            findings.mistake("`<<` takes a map (or a list of maps)", source)
            continue
        for key, value in source.entries:
            entries.setdefault(key.text, (key, value))
    return Mapping(tuple(entries.values()), done.line, done.column)
