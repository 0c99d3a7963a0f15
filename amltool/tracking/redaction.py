"""Takes secrets out of a stream of bytes, whatever pieces it comes in; standard library, Python 3.6.

Loaded beside ``bootstrap.py`` only where a run has secrets.
"""

import binascii
import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs start-up time, which every run pays
    from typing import Iterable, Iterator

REDACTED = b"[redacted]"
SHORTEST_PIECE = 8
"""A line or an inner piece of Base64 with fewer characters would be found by chance."""
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"


class Redactor:
    """Replaces every form of every secret; holds back only what may be the beginning of one."""

    def __init__(self, secrets: "Iterable[str]") -> None:
        found = {form for secret in secrets if secret for form in forms(secret)}
        self._forms = sorted(found, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in self._forms) or b"(?!)")
        self._held = b""

    def redact(self, chunk: bytes) -> bytes:
        """What can be said now that ``chunk`` came; no bytes mean that nothing will come any more."""
        text = self._held + chunk
        sure = len(text) - (self._open_end(text) if chunk else 0)
        said, at = [], 0
        if any(form in text for form in self._forms):  # much faster than the pattern, and mostly false
            for match in self._pattern.finditer(text):
                if match.start() >= sure:
                    break
                said += [text[at : match.start()], REDACTED]
                at = match.end()
            sure = len(text) - (self._open_end(text[at:]) if chunk else 0)
        self._held = text[sure:]
        return b"".join(said + [text[at:sure]])  # noqa: RUF005

    def _open_end(self, text: bytes) -> int:
        """How many bytes at the end of ``text`` may be the beginning of a form."""
        longest = 0
        for form in self._forms:
            at = max(len(text) - len(form) + 1, 0)
            while True:
                at = text.find(form[:1], at, len(text) - longest)
                if at < 0:
                    break
                if form.startswith(text[at:]):
                    longest = len(text) - at
                    break
                at += 1
        return longest


def forms(secret: str) -> "Iterator[bytes]":
    """A secret as it may be printed: plain, by lines, escaped, percent-encoded, and in Base64, also within a text."""
    value = secret.encode("utf-8", "surrogateescape")
    yield value
    for line in value.splitlines():
        if len(line.strip()) >= SHORTEST_PIECE:
            yield line.strip()
    for escaped in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)):
        yield escaped[1:-1].encode("utf-8", "surrogateescape")
    for safe in (b"", b"/", b" ", b"/ "):
        for template in ("%%%02X", "%%%02x"):
            kept = UNRESERVED + safe
            encoded = b"".join(bytes((byte,)) if byte in kept else (template % byte).encode() for byte in value)
            yield encoded.replace(b" ", b"+")
    for encoded in _base64_forms(value):
        yield encoded
        yield encoded.replace(b"+", b"-").replace(b"/", b"_")


def _base64_forms(value: bytes) -> "Iterator[bytes]":
    whole = binascii.b2a_base64(value, newline=False)
    yield whole
    yield whole.rstrip(b"=")
    for shift in range(3):
        shifted = binascii.b2a_base64(b"\0" * shift + value, newline=False)
        # The characters that depend on the secret alone, whatever stands before and after it.
        inner = shifted[(8 * shift + 5) // 6 : 8 * (shift + len(value)) // 6]
        if len(inner) >= SHORTEST_PIECE:
            yield inner
