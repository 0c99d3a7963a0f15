"""Pieces of many files, in few frames."""

import errno
import os
from typing import Any, List

from amltool.hosts.there.answers import BLOCK, Answer
from amltool.hosts.there.tree import check_regular, named, open_below, read_up_to

MOST_SIZES = 500


def give_pieces(answer: Answer, folder: bytes, wanted: List[Any]) -> None:
    """``sizes`` of a frame say, piece after piece, how many bytes of its body it has, or [errno, text] instead."""
    sizes, parts, have = [], [], 0  # type: List[Any], List[bytes], int
    for path, offset, limit in wanted:
        try:
            content = piece(folder, named(path), offset, limit)
        except OSError as error:
            sizes.append([errno.errorcode.get(error.errno or 0, "EIO"), error.strerror or str(error)])
        else:
            sizes.append(len(content))
            parts.append(content)
            have += len(content)
        if have >= BLOCK or len(sizes) >= MOST_SIZES:
            answer.part(b"".join(parts), sizes=sizes)
            sizes, parts, have = [], [], 0
    answer.end(b"".join(parts), sizes=sizes)


def piece(folder: bytes, path: bytes, offset: int, limit: int) -> bytes:
    handle = open_below(folder, path)
    try:
        check_regular(handle)
        return read_up_to(handle, offset, limit)
    finally:
        os.close(handle)
