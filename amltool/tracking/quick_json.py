"""JSON where the start of a process counts: importing ``json`` takes as long as starting Python does (for ``re``)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Decoder:
    """What the scanner behind ``json`` asks of its decoder."""

    strict = True
    memo = {}  # type: ignore[var-annotated]  # noqa: RUF012
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float


def loads(content: bytes) -> "Any":
    """A value from its text, by the scanner that ``json.loads`` uses.

    Raises:
        ValueError: it is not one whole JSON value.
    """
    text = content.decode("utf-8").strip(" \t\r\n")
    try:
        from _json import make_scanner

        found, end = make_scanner(_Decoder)(text, 0)  # type: ignore[arg-type]
        if end == len(text):
            return found
    except (ImportError, StopIteration, SystemError, ValueError):
        pass  # a mistake in the text (the scanner leaves it to `json` to say which), or no such scanner
    import json

    return json.loads(text)


def dumps(value: "Any") -> str:
    """The text, ASCII, of objects, strings, finite numbers, true, false and null."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (dumps(name), dumps(value[name])) for name in value)
    if isinstance(value, str):
        return '"%s"' % "".join(c if " " <= c <= "~" and c not in '"\\' else _escaped(c) for c in value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(value)


def _escaped(character: str) -> str:
    halves = character.encode("utf-16-be", "surrogatepass")
    return "".join("\\u%02x%02x" % (halves[i], halves[i + 1]) for i in range(0, len(halves), 2))
