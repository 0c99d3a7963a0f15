"""A file's keys as a table: each key with the kind of its value and its default; one function checks a map by it.

A kind is a function: it takes a value's node, gives the checked value, or notes a mistake and gives ``None``. No
kind stops at the first mistake, so that all of a file's are found in one reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as AbstractMapping
from enum import Enum
from typing import Any

import msgspec

from amltool.configuration.secrets import (
    REFERENCE_FORMS,
    credential_service_gone,
    is_secret_name,
    parse_reference,
    references_in,
)
from amltool.configuration.tree import (
    Findings,
    Mapping,
    Node,
    Scalar,
    Sequence,
    describe,
    did_you_mean,
    is_null,
    quoted,
)

Kind = Callable[[Findings, str, Node], Any]
"""Called with the file's findings, the key, and the value's node."""

_LARGEST_SIZE = 10**15 - 1
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
_SECRET_IN_ADDRESS = re.compile(r"[?&]sig=|AccountKey=|://[^/]*@", re.IGNORECASE)


class Unknown(Enum):
    """What a key is that no table knows: the ancestor's reader ignored it, our own settings do not."""

    WARNING = "warning"
    MISTAKE = "mistake"


class Field(msgspec.Struct, frozen=True):
    """One key: how it is written, the name of the value it becomes, its kind, and what it is when absent."""

    key: str
    name: str
    kind: Kind
    default: Any = None


class Table(msgspec.Struct, frozen=True):
    """The keys of one kind of file.

    ``ignored`` ones were written by the ancestor and mean nothing any more; ``elsewhere`` says where keys belong that
    are likely to be looked for here. With ``any_style`` a key may be written in another style: ``node_count`` and
    ``NodeCount`` are ``nodeCount``.
    """

    fields: tuple[Field, ...]
    ignored: frozenset[str] = frozenset()
    unknown: Unknown = Unknown.WARNING
    elsewhere: AbstractMapping[str, str] = {}
    any_style: bool = False

    def field(self, key: str) -> Field | None:
        """The field of a key as it is written in a file; ``None`` where there is none."""
        words = self._word(key)
        return next((each for each in self.fields if self._word(each.key) == words), None)

    def ignores(self, key: str) -> bool:
        return self._word(key) in {self._word(each) for each in self.ignored}

    def _word(self, key: str) -> str:
        return without_style(key) if self.any_style else key

    def defaults(self) -> dict[str, Any]:
        return {each.name: each.default for each in self.fields}

    def known(self) -> list[str]:
        return [each.key for each in self.fields]


def without_style(key: str) -> str:
    """A key without what tells ``nodeCount``, ``NodeCount``, ``node_count`` and ``node-count`` apart."""
    return key.replace("_", "").replace("-", "").casefold()


def read_given(findings: Findings, mapping: Mapping, table: Table) -> dict[str, Any]:
    """The checked values of the keys that are given; null and empty text count as not given."""
    values: dict[str, Any] = {}
    by_key = {each.key: each for each in table.fields}
    for key, node in mapping.entries:
        wanted = by_key.get(key.text) or (table.field(key.text) if table.any_style else None)
        if wanted is None:
            _unknown(findings, key, table)
        elif not is_null(node):
            before = len(findings.mistakes)
            value = wanted.kind(findings, key.text, node)
            if value is not None and len(findings.mistakes) == before:
                values[wanted.name] = value
    return values


def read_fields(findings: Findings, mapping: Mapping, table: Table) -> dict[str, Any]:
    """The value of every key of the table: as given, else its default."""
    return {**table.defaults(), **read_given(findings, mapping, table)}


def _unknown(findings: Findings, key: Scalar, table: Table) -> None:
    if table.ignores(key.text):
        return
    likely = findings.guess(key.text, table.known())
    if key.text in table.elsewhere:
        findings.mistake(f"{quoted(key.text)} does not stand here: write {table.elsewhere[key.text]}", key)
    elif likely is not None:
        findings.mistake(f"unknown key {quoted(key.text)}: did you mean '{likely}'?", key)
    elif table.unknown is Unknown.MISTAKE:
        findings.mistake(f"unknown key {quoted(key.text)}; known are {', '.join(sorted(table.known()))}", key)
    else:
        findings.warning(f"unknown key {quoted(key.text)} is ignored", key)


def refuse_plain_secrets(findings: Findings, node: Node, skip: frozenset[str] = frozenset()) -> None:
    """A value whose key is named like a secret's has to be a reference, wherever it stands below a node.

    What is below the keys in ``skip`` is left alone: their kind looks after it.
    """
    if isinstance(node, Sequence):
        for item in node.items:
            refuse_plain_secrets(findings, item, skip)
    elif isinstance(node, Mapping):
        for key, value in node.entries:
            if key.text in skip:
                continue
            if isinstance(value, Scalar) and _is_plain_secret(key.text, value):
                what = f"{quoted(key.text)} holds a secret in plain text: write {REFERENCE_FORMS} in its place"
                findings.mistake(what, value)
            refuse_plain_secrets(findings, value, skip)


def _is_plain_secret(key: str, value: Scalar) -> bool:
    found = value.value
    return found not in (None, "", True, False) and is_secret_name(key) and parse_reference(value.text) is None


def _scalar(findings: Findings, key: str, node: Node, expected: str) -> Scalar | None:
    if isinstance(node, Scalar):
        return node
    findings.mistake(f"{key}: expected {expected}, found {describe(node)}", node)
    return None


def text(findings: Findings, key: str, node: Node) -> str | None:
    """Text, as it is written in the file (``3.10`` stays ``3.10``); empty text counts as absent."""
    scalar = _scalar(findings, key, node, "text")
    return scalar.text or None if scalar else None


def boolean(findings: Findings, key: str, node: Node) -> bool | None:
    """``true`` or ``false`` (also ``yes no on off``, and in quotes, as some tools wrote them)."""
    scalar = _scalar(findings, key, node, "true or false")
    if scalar is None:
        return None
    word = scalar.text.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    hint = did_you_mean(word, ("true", "false"))
    findings.mistake(f"{key}: expected true or false, found {describe(node)}{hint}", node)
    return None


def integer(low: int, high: int = 10**18) -> Kind:
    """A whole number within bounds."""

    def read(findings: Findings, key: str, node: Node) -> int | None:
        value = int(node.text) if isinstance(node, Scalar) and _INTEGER.fullmatch(node.text) else None
        if value is not None and low <= value <= high:
            return value
        bounds = f"from {low} to {high}" if high < 10**18 else f"of at least {low}"
        findings.mistake(f"{key}: expected a whole number {bounds}, found {describe(node)}", node)
        return None

    return read


def number(findings: Findings, key: str, node: Node) -> float | None:
    """A number greater than nought."""
    value = float(node.text) if isinstance(node, Scalar) and _NUMBER.fullmatch(node.text) else 0.0
    if value > 0:
        return value
    findings.mistake(f"{key}: expected a number greater than 0, found {describe(node)}", node)
    return None


def size(findings: Findings, key: str, node: Node) -> int | None:
    """Bytes, or a number with a unit: ``25 MB``, ``2g``; KB, MB and GB are powers of 1024."""
    from amltool.errors import UserError
    from amltool.limits import parse_size

    if isinstance(node, Scalar) and node.text.isascii():
        try:
            value = parse_size(node.text)
        except UserError:
            value = 0
        if 0 < value <= _LARGEST_SIZE:
            return value
    findings.mistake(f"{key}: expected a size such as 25 MB, 2g or 1048576 (bytes), found {describe(node)}", node)
    return None


def texts(findings: Findings, key: str, node: Node) -> tuple[str, ...] | None:
    """A list of text; numbers and the like are taken as they are written."""
    if not isinstance(node, Sequence):
        findings.mistake(f"{key}: expected a list (lines that begin with '- '), found {describe(node)}", node)
        return None
    items: list[str] = []
    for item in node.items:
        if isinstance(item, Scalar) and not is_null(item):
            items.append(item.text)
        else:
            findings.mistake(f"{key}: expected text in the list, found {describe(item)}", item)
    return tuple(items)


def text_map(findings: Findings, key: str, node: Node) -> dict[str, str] | None:
    """A map of text to text, values as they are written; a key without a value has empty text."""
    if not isinstance(node, Mapping):
        findings.mistake(f"{key}: expected a map of `name: value` lines, found {describe(node)}", node)
        return None
    values: dict[str, str] = {}
    for name, value in node.entries:
        if isinstance(value, Scalar):
            values[name.text] = "" if is_null(value) else value.text
        else:
            findings.mistake(f"{key}: expected text for {quoted(name.text)}, found {describe(value)}", value)
    return values


def variables(findings: Findings, key: str, node: Node) -> dict[str, str] | None:
    """Environment variables; values may hold references to secrets."""
    values = text_map(findings, key, node)
    if values is None or not isinstance(node, Mapping):
        return None
    for name, value in node.entries:
        if name.text == "" or "=" in name.text:
            findings.mistake(f"{key}: {quoted(name.text)} cannot be the name of an environment variable", name)
        if isinstance(value, Scalar) and "${keyring:" in value.text and not references_in(value.text):
            findings.mistake(
                f"{key}: {quoted(name.text)}: a keyring reference has the form ${{keyring:service/user}}", value
            )
    return values


def choice(values: type[Enum]) -> Kind:
    """One value of an enumeration."""
    known = [str(member.value) for member in values]

    def read(findings: Findings, key: str, node: Node) -> Enum | None:
        word = node.text if isinstance(node, Scalar) else ""
        if word in known:
            return values(word)
        hint = did_you_mean(word, known)
        findings.mistake(f"{key}: expected {one_of(known)}, found {describe(node)}{hint}", node)
        return None

    return read


def one_of(words: Iterable[str]) -> str:
    """``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def secret(findings: Findings, key: str, node: Node) -> Any:
    """A reference to a secret; a secret in plain text is a mistake that never repeats it."""
    scalar = _scalar(findings, key, node, f"a reference: {REFERENCE_FORMS}")
    if scalar is None or scalar.text == "":
        return None
    reference = parse_reference(scalar.text)
    if reference is None:
        form = "is a reference that cannot be read" if scalar.text.startswith("${") else "is plain text"
        findings.mistake(f"{key} {form}: write {REFERENCE_FORMS} in its place", node)
    elif scalar.text.startswith("AzureMlSecret="):
        findings.warning(f"{credential_service_gone(key)}: give a key file, or {REFERENCE_FORMS}", node)
    return reference


def project_path(findings: Findings, key: str, node: Node) -> str | None:
    r"""A file in the project: relative, with ``/`` (``\`` is read as ``/``), never out of the project."""
    written = text(findings, key, node)
    if written is None:
        return None
    parts = [part for part in written.replace("\\", "/").split("/") if part not in ("", ".")]
    if written.startswith(("/", "\\", "~")) or ".." in parts or not parts or parts[0].endswith(":"):
        findings.mistake(f"{key}: expected a path inside the project, found {describe(node)}", node)
        return None
    return "/".join(parts)


def store(findings: Findings, key: str, node: Node) -> str | None:
    """The address of an artifact store, without a secret in it."""
    address = text(findings, key, node)
    if address is not None and _SECRET_IN_ADDRESS.search(address):
        findings.mistake(f"{key}: it holds a secret; write a folder, or an address without one", node)
        return None
    return address


_STORAGE = re.compile(r"azure://[a-z0-9]{3,24}/[a-z0-9$][a-z0-9-]{0,62}(?:/[^\s?#]{1,300})?")


def storage(findings: Findings, key: str, node: Node) -> str | None:
    """A container in a storage account, without a secret in its address."""
    address = text(findings, key, node)
    if address is not None and not _STORAGE.fullmatch(address):  # not repeated: a signature may stand in it
        findings.mistake(f"{key}: expected azure://ACCOUNT/CONTAINER, optionally with /PREFIX", node)
        return None
    return address


_URL = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,200})?")


def url(findings: Findings, key: str, node: Node) -> str | None:
    """The URL of a service, without a secret in it; a slash at its end is left out."""
    written = text(findings, key, node)
    if written is not None and not _URL.fullmatch(written):  # not repeated: a signature may stand in it
        findings.mistake(f"{key}: expected https://HOST, optionally with :port and a path, and nothing after it", node)
        return None
    return written.rstrip("/") if written else written


def nested(table: Table, make: Callable[..., Any]) -> Kind:
    """A map with a table of its own, made into a value by ``make``."""

    def read(findings: Findings, key: str, node: Node) -> Any:
        if not isinstance(node, Mapping):
            findings.mistake(f"{key}: expected a map, found {describe(node)}", node)
            return None
        return make(**read_fields(findings, node, table))

    return read
