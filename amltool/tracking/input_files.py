"""Inputs of a run on the machine it runs on: received, checked, and placed read-only beside its ``work``; Python 3.6.

Over the network the other end says which input of which run it is (one message of ``framing``), then sends the bytes in
frames, ended by an empty one; it is answered how that ended.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
from typing import Any, Iterable, Mapping

from .framing import CutError, Read, message, read_contents, read_message
from .run_folders import NEW_FLAGS, Root, make_folder, remove

INPUTS = "inputs"
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,+@ =-]{0,199}")


class WrongBytesError(Exception):
    """The bytes that came are not those that were to come."""


def place_input(root: str, asked: Mapping[str, Any], blocks: Iterable[bytes]) -> None:
    """Write the bytes of an input where its run looks for it; nothing has its name before all are there and right.

    ``asked``: ``run``, ``name`` and ``file`` (each one part of a path), ``size`` in bytes, ``sha256``.

    Raises:
        WrongBytesError: the bytes are others, or a name is no part of a path.
        OSError: the disk is full, or something that amltool did not make lies there.
    """
    name, file = asked["name"], asked["file"]
    if not (_SAFE.fullmatch(name) and _SAFE.fullmatch(file)):
        raise WrongBytesError("the input has no safe name")
    with Root(root) as opened:
        folder = opened.unbegun(asked["run"])
        above = opened.keep(make_folder(INPUTS, folder))
        within = opened.keep(make_folder(name, above))
        beside = "." + os.urandom(8).hex()
        try:
            _write(beside, within, asked, blocks)
            remove(file, within)
            os.rename(beside, file, src_dir_fd=within, dst_dir_fd=within)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=within)
            raise
        _protect(within)
        _protect(above)


def _write(name: str, within: int, asked: Mapping[str, Any], blocks: Iterable[bytes]) -> None:
    digest, left = hashlib.sha256(), asked["size"]
    with os.fdopen(os.open(name, NEW_FLAGS, 0o666, dir_fd=within), "wb") as stream:
        for block in blocks:
            left -= len(block)
            if left < 0:
                break
            digest.update(block)
            stream.write(block)
        if left or digest.hexdigest() != asked["sha256"]:
            raise WrongBytesError("the bytes that came are not those of the input")
        stream.flush()
        _protect(stream.fileno())


def _protect(handle: int) -> None:
    """Take the right to write from a file or a folder; who may read it stays as the user's umask says."""
    os.fchmod(handle, stat.S_IMODE(os.fstat(handle).st_mode) & 0o555)


def receive(read: Read, write: Any) -> None:
    """Serve one input; whatever goes wrong is said to the other end."""
    answer: Any = {"done": True}
    asked = read_message(read)
    try:
        place_input(asked["root"], asked, read_contents(read))
    except WrongBytesError as error:
        answer = {"refused": str(error)}
    except OSError as error:
        answer = {"errno": errno.errorcode.get(error.errno or 0, "EIO"), "strerror": error.strerror}
    write(message(answer))


def main() -> int:
    """0 when the other end was told how it ended."""
    try:
        receive(lambda size: os.read(0, size), _say)
    except (CutError, BrokenPipeError):
        return 1
    return 0


def _say(content: bytes) -> None:
    while content:
        content = content[os.write(1, content) :]
