"""What a script logs, as JSON: plain numbers, texts, lists and mappings, whatever library the value came from.

No library is imported: numpy, pandas, torch and TensorFlow values are known by what they can do (``tolist``,
``to_dict``, ``numpy``), so the same file works beside any of them, or none.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any, List, Tuple

NON_FINITE = ("NaN", "Infinity", "-Infinity")
LARGEST_INTEGER = (1 << 63) - 1
"""Greater integers are kept as text: readers of JSON round them or refuse them."""
DEEPEST = 50
"""Deeper nesting is kept as text; it is a mistake (or a loop that looks new at every turn), not a metric."""


def plain(value: Any) -> Any:
    """A value as strict JSON can hold it; never raises.

    Non-finite numbers are the texts ``NaN``, ``Infinity``, ``-Infinity``; dates and times ISO 8601; bytes, lone
    surrogates and what else is not text become text with backslash escapes; what is no value at all, its ``repr``.
    """
    try:
        return _plain(value, ())
    except Exception:  # a value's own code may raise anything
        return described(value)


class Spelled(str):
    """A number that is not finite, as text."""


def words_in(value: Any) -> List[int]:
    """Places of the texts in a value that `plain` gave which read like a number that is not finite and are none.

    They are counted from 0 among all that read so, in order.
    """
    found: List[int] = []
    count = 0
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, (dict, list)):
            left.extend(reversed(list(one.values()) if isinstance(one, dict) else one))
        elif one in NON_FINITE:
            if not isinstance(one, Spelled):
                found.append(count)
            count += 1
    return found


def scalar(value: Any) -> Any:
    """The same for one number or text; a list, a mapping or another object is its ``repr``, as the ancestor has it.

    The ``repr`` of an array or a data frame rounds and leaves out: theirs is that of their values, so that two that
    differ are two texts. A set is told in one order.
    """
    try:
        is_array = callable(getattr(value, "tolist", None)) or hasattr(value, "columns")
        if is_array or value is None or isinstance(value, (str, int, float)):
            found = plain(value)
            return _whole(value, found) if isinstance(found, (list, dict)) else found
        if isinstance(value, Set) and value:
            return "{%s}" % ", ".join(described(item) for item in _ordered(value))
    except Exception:  # as above
        return described(value)
    return described(value)


def _whole(value: Any, found: Any) -> str:
    name = described(value).partition("(")[0]
    return "%s(%s)" % (name if name.isidentifier() else type(value).__name__, described(found))


def text(value: Any) -> str:
    """A name or a text that any UTF-8 file can hold; never raises."""
    try:
        content = str.__str__(value) if isinstance(value, str) else str(value)
        return content.encode("utf-8", "backslashreplace").decode("utf-8")
    except Exception:  # as above
        return described(value)


def described(value: Any) -> str:
    """The ``repr`` of a value, or its type's name where even that fails; never raises."""
    try:
        return repr(value).encode("utf-8", "backslashreplace").decode("utf-8")
    except Exception:  # as above
        return "<%s>" % type(value).__name__


def _plain(value: Any, above: Tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if isinstance(value, Spelled) else text(value)
    if isinstance(value, int):
        return _integer(int.__int__(value))
    if isinstance(value, float):
        return _number(float.__float__(value))
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, type) or id(value) in above or len(above) > DEEPEST:
        return described(value)
    above += (id(value),)
    if isinstance(value, Mapping):
        return {_key(key): _plain(value[key], above) for key in value}
    if isinstance(value, Set):
        return [_plain(item, above) for item in _ordered(value)]
    if isinstance(value, Sequence):
        return [_plain(item, above) for item in value]
    try:
        return _foreign(value, above)
    except Exception:  # the fault of one value is not that of the list it is in
        return described(value)


def _foreign(value: Any, above: Tuple[int, ...]) -> Any:
    for name, arguments in (("tolist", ()), ("numpy", ()), ("to_dict", ("list",))):
        method = getattr(value, name, None)
        if name == "to_dict" and not hasattr(value, "columns"):
            continue  # only a data frame's has this meaning
        if callable(method):
            found = method(*arguments)
            if type(found) is not type(value):  # numpy.longdouble gives itself
                return _plain(found, above)
    if callable(getattr(value, "isoformat", None)):
        return text(value.isoformat())
    if hasattr(value, "__float__") and not isinstance(value, complex):  # Decimal, Fraction, numpy.longdouble
        number = float(value)
        is_too_large = number in (float("inf"), float("-inf")) and value != number
        return text(value) if is_too_large else _number(number)
    return described(value)


def _integer(value: int) -> Any:
    if -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    try:
        return str(value)
    except ValueError:  # Python 3.11 and later limit the digits
        return hex(value)


def _number(value: float) -> Any:
    if value != value:
        return Spelled("NaN")
    if value in (float("inf"), float("-inf")):
        return Spelled("Infinity" if value > 0 else "-Infinity")
    return value


def _key(key: Any) -> str:
    return text(key) if isinstance(key, str) else text(plain(key))


def _ordered(values: Any) -> List[Any]:
    """Sets come in another order in every process: two equal runs are to log the same."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=described)
