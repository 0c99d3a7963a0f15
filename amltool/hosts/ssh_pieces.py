"""Pieces of many files over SSH: asked for in groups, several groups on their way at a time, each answer checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from amltool.hosts.base import LARGEST_PIECE, Piece
from amltool.hosts.ssh_answers import PART, Pending
from amltool.hosts.ssh_failures import error_of, not_asked_for, understood
from amltool.hosts.ssh_requests import Requests

AHEAD = 4
"""Groups on their way at a time: about so many times `LARGEST_PIECE` is held in memory at most."""
MOST_PIECES = 500


class _Sizes(msgspec.Struct, frozen=True):
    sizes: list[int | tuple[str, str]]


def groups(wanted: Iterable[Piece]) -> Iterator[list[Piece]]:
    """The pieces in their order, as many together as one request is to ask for."""
    group: list[Piece] = []
    bytes_of_group = 0
    for piece in wanted:
        if not 0 <= piece.limit <= LARGEST_PIECE:
            raise ValueError(f"a piece of {piece.limit} bytes")
        if group and (bytes_of_group + piece.limit > LARGEST_PIECE or len(group) == MOST_PIECES):
            yield group
            group, bytes_of_group = [], 0
        group.append(piece)
        bytes_of_group += piece.limit
    if group:
        yield group


def ask_for(requests: Requests, folder: PurePosixPath, group: Sequence[Piece]) -> Pending:
    """Ask for a group and do not wait."""
    body = json.dumps([(piece.path, piece.offset, piece.limit) for piece in group]).encode()
    most = sum(piece.limit for piece in group) + PART * (2 * len(group) + 2)
    return requests.begin("pieces", body, most=most, folder=str(folder))


def answered(pending: Pending, group: Sequence[Piece], address: str) -> list[bytes | OSError]:
    """What came for a group: one answer for each piece, none longer than was asked for.

    Raises:
        TargetError: the host answered something else.
        LostError: the connection ended first.
    """
    found: list[bytes | OSError] = []
    for header, body in pending.parts():
        with understood(address):
            sizes = msgspec.convert(header, _Sizes).sizes
        if len(found) + len(sizes) > len(group):
            raise not_asked_for(address)
        at = 0
        for piece, size in zip(group[len(found) :], sizes, strict=False):
            if isinstance(size, int):
                if not 0 <= size <= piece.limit or at + size > len(body):
                    raise not_asked_for(address)
                found.append(body[at : at + size])
                at += size
            else:
                found.append(error_of(*size, piece.path))
        if at != len(body):
            raise not_asked_for(address)
    if len(found) != len(group):
        raise not_asked_for(address)
    return found
