"""Names that Docker gives to things, as it reads them: images, containers, networks, volumes.

A name becomes a part of an address of the daemon's interface, so that what is none must never get there: of
``x/../../..`` another address would be made.
Source: https://pkg.go.dev/github.com/distribution/reference
"""

from __future__ import annotations

import re

LONGEST_REFERENCE = 512
"""Characters of an image's reference: a name of at most 255, a tag of 128, a digest."""

_HOST_PART = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9A-Fa-f:]+\])(?::[0-9]{{1,5}})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{1,128}"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@{_DIGEST})?", re.ASCII
)
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{6,64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")


def is_image(text: str) -> bool:
    """Return True if a text is the reference of an image (``host:5000/name:tag@sha256:…``) or an image's id."""
    if len(text) > LONGEST_REFERENCE:
        return False
    return _REFERENCE.fullmatch(text) is not None or _ID.fullmatch(text) is not None


def is_docker_name(text: str) -> bool:
    """Return True if a text can be the name, or the id, of a container, a network or a volume."""
    return _NAME.fullmatch(text) is not None


def is_network(text: str) -> bool:
    """Return True if a text can be what ``docker run --network`` takes: a name, or ``container:NAME``."""
    return is_docker_name(text.removeprefix("container:"))
