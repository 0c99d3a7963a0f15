"""Secrets in ``aml_config``, ``.compute`` and ``.runconfig``: what is named like one and is not a reference."""

from __future__ import annotations

import re
from collections.abc import Iterator

from amltool.configuration.folder import FOLDER
from amltool.configuration.secrets import parse_reference, references_in
from amltool.configuration.tree import Findings, Mapping, Node, Scalar, Sequence
from amltool.errors import ConfigurationError

_NAME = (
    r"(?:passw(?:or)?d|pwd|passphrase|secret|token|credentials?|connection[_-]?string"
    r"|(?:account|access|api|storage|shared|private|subscription|client|secret)[_-]?(?:access[_-]?)?key)"
)
_SECRET_NAME = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
_OPTION = re.compile(rf"--?[\w-]*{_NAME}(?:=(.+))?\Z", re.IGNORECASE | re.DOTALL)
_LINE = re.compile(
    rf"""^\s*(?:#\s*|-\s*)*["']?[\w.-]*{_NAME}["']?\s*[:=]\s*["']?([^\s"'#][^\s"']*)["']?,?\s*\Z""", re.I
)
_WITHIN = re.compile(
    r"(?:password|pwd|(?:account|access)[_-]?key|(?<!AzureMl)secret)\s*=\s*([^;\s\"'&]{3,})|[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\$\{?\w+\}?|\$\(.*\)|<.*>|\{\{.*\}\}|%\w+%|\*+|\.\.\.|null|~|true|false|none", re.I)


def is_configuration(path: str) -> bool:
    """Whether a path in a project is one of the files this is about."""
    return path.endswith((".compute", ".runconfig")) or FOLDER in path.split("/")[:-1]


def secrets_in_configuration(text: bytes) -> set[int]:
    """The lines (from 1) of a configuration file on which a secret stands in plain text; also when it is broken."""
    lines = text.decode("utf-8", "replace").split("\n")
    try:
        from amltool.configuration.reading import read_tree

        found = set(_in_tree(read_tree(text, Findings(""))))
        readable = True
    except ConfigurationError:
        found, readable = set(), False
    for number, line in enumerate(lines, 1):
        if not readable or line.lstrip().startswith("#"):
            on_line = _LINE.match(line)
            if (on_line and _is_plain(on_line[1])) or _has_within(line):
                found.add(number)
    return found


def _in_tree(node: Node, key: str = "") -> Iterator[int]:
    if isinstance(node, Scalar):
        if (_SECRET_NAME.search(key) and _is_secret_value(key, node)) or _has_within(node.text):
            yield node.line or 1
    elif isinstance(node, Mapping):
        for name, value in node.entries:
            yield from _in_tree(value, name.text)
    else:
        yield from _in_arguments(node)
        for item in node.items:
            yield from _in_tree(item, key)


def _in_arguments(sequence: Sequence) -> Iterator[int]:
    """``--password X`` and ``--password=X`` in an ArgumentVector."""
    option = False
    for item in sequence.items:
        if not isinstance(item, Scalar):
            option = False
            continue
        if option and not item.text.startswith("-") and _is_plain(item.text):
            yield item.line or 1
        found = _OPTION.match(item.text)
        if found and found[1] and _is_plain(found[1]):
            yield item.line or 1
        option = bool(found and not found[1])


def _is_secret_value(key: str, value: Scalar) -> bool:
    # MAX_TOKEN: 512 counts tokens
    if isinstance(value.value, int | float) and key.lower().endswith("token"):
        return False
    return _is_plain(value.text)


def _is_plain(text: str) -> bool:
    """Whether a text may be a secret: not empty, no reference and nothing that only stands for one."""
    text = text.strip()
    return bool(text) and parse_reference(text) is None and not references_in(text) and not _PLACEHOLDER.fullmatch(text)


def _has_within(text: str) -> bool:
    """Whether a connection string or an address in a text holds a secret."""
    return any(_is_plain(found[1] or found[2]) for found in _WITHIN.finditer(text))
