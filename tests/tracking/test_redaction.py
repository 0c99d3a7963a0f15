"""Secrets in what a run prints: replaced in every form, in whatever pieces they come."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.parse

from hypothesis import given
from hypothesis import strategies as st

from amltool.tracking.redaction import REDACTED, Redactor, forms


def redacted(text: bytes, secrets: list[str], cuts: list[int]) -> bytes:
    redactor = Redactor(secrets)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    return b"".join([*(redactor.redact(piece) for piece in pieces if piece), redactor.redact(b"")])


@given(
    st.lists(st.sampled_from(["ab", "abab", "hunter22", "aab"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([b"a", b"b", b"ab", b"hunter2", b"hunter22", b" ", b"\n"]), max_size=20).map(b"".join),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_the_pieces_a_text_comes_in_make_no_difference(secrets: list[str], text: bytes, cuts: list[int]) -> None:
    whole = redacted(text, secrets, [])
    assert redacted(text, secrets, cuts) == whole
    assert not any(secret.encode() in whole.replace(REDACTED, b"\0") for secret in secrets)


@given(st.text(min_size=1, max_size=30), st.binary(max_size=40), st.lists(st.integers(0, 300), max_size=5))
def test_every_form_of_a_secret_is_replaced(secret: str, around: bytes, cuts: list[int]) -> None:
    value = secret.encode("utf-8", "surrogateescape")
    shown = [value, base64.b64encode(value), urllib.parse.quote_from_bytes(value, safe="").encode()]
    shown += [
        base64.urlsafe_b64encode(value),
        urllib.parse.quote_plus(value).encode(),
        json.dumps(secret)[1:-1].encode(),
    ]
    for form in shown:
        assert form in set(forms(secret))
        # 0xff is in no form: with "<" around, the secrets "<" and "<<" are found there as well, and rightly
        assert redacted(b"\xff" + form + b"\xff", [secret], cuts) == b"\xff" + REDACTED + b"\xff"
    if not any(form in around for form in forms(secret)):
        assert redacted(around, [secret], cuts) == around


@given(st.text(st.characters(codec="ascii"), min_size=12, max_size=40), st.binary(max_size=8), st.binary(max_size=8))
def test_a_secret_within_a_base64_text_does_not_get_through(secret: str, before: bytes, after: bytes) -> None:
    said = redacted(base64.b64encode(before + secret.encode() + after), [secret], [])
    assert REDACTED in said
    assert len(said) - len(REDACTED) <= 4 * ((len(before) + len(after)) // 3 + 4)


def test_lines_of_a_long_secret_are_secret_too() -> None:
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA\nq83vq83vq83vq83v\n-----END KEY-----\n"
    said = redacted(b"  MIIEowIBAAKCAQEA\r\n  q83vq83vq83vq83v\r\n", [key], [3, 30])
    assert said == b"  [redacted]\r\n  [redacted]\r\n"


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    redactor = Redactor(["hunter22"])
    assert redactor.redact(b"a line\n") == b"a line\n"
    assert redactor.redact(b"ask hunt") == b"ask "
    assert redactor.redact(b"ing\n") == b"hunting\n"
    assert redactor.redact(b"hunter2") == b""
    assert redactor.redact(b"2") == b"[redacted]"
    assert redactor.redact(b"") == b""
