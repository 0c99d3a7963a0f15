"""What lies in folders of a host, told by the host itself: one round trip, and their names need not come here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from amltool.errors import TargetError
from amltool.hosts.base import FileKind, Host
from amltool.hosts.streaming import evaluated, streaming

Told = TypeVar("Told")
_WEIGH = """
def main(*folders):
    return [size_of(raw(folder)) for folder in folders]
"""


def told(host: Host, what: str, program: str, arguments: Sequence[PurePosixPath | str], kind: type[Told]) -> Told:
    """What ``main(*arguments)`` of a small program gives, as a ``kind``; it has `there.looking` at hand.

    Raises:
        TargetError: the host does not answer, or not as it should; says of ``what``.
    """
    try:
        found = evaluated(host, f"{_at_hand()}\n{program}", [str(argument) for argument in arguments])
        return msgspec.convert(found, kind)  # not decoded by msgspec, which refuses names that are not UTF-8
    except (OSError, ValueError) as error:
        raise TargetError(f"{what} on {host.name} cannot be told: {error}.", "Try again.") from error


def weigh(host: Host, folders: Sequence[PurePosixPath]) -> list[int]:
    """The bytes of the regular files below each folder; one round trip for all of them.

    Raises:
        TargetError: as `told`, or it gives no number for each.
    """
    if streaming(host) is None:
        return [sum(entry.size for entry in host.walk(top) if entry.kind is FileKind.FILE) for top in folders]
    if not folders:
        return []
    found = told(host, "What folders weigh", _WEIGH, folders, list[int])
    if len(found) != len(folders):
        raise TargetError(
            f"What folders weigh on {host.name} cannot be told: {len(found)} numbers for {len(folders)} folders.",
            "Try again.",
        )
    return found


@cache
def _at_hand() -> str:
    return (Path(__file__).parent / "there/looking.py").read_text("utf-8")
