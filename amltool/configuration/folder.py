"""Where configuration files are read from: a snapshot or the working folder."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from amltool.errors import UserError

FOLDER = "aml_config"
LARGEST = 1 << 20
"""Bytes of a file that says how to run: configuration, dependencies, settings, an ignore file."""
_OPEN_TO_LOOK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Files(msgspec.Struct, frozen=True):
    """A project's files, of a snapshot or of the working folder.

    ``read`` gives the content of a path in the project (``aml_config/x.compute``), ``None`` where there is no such
    file; ``names`` lists the names of what lies in ``aml_config`` and is no folder.
    """

    read: Callable[[str], bytes | None]
    names: Callable[[], Iterable[str]]


def working_files(root: Path) -> Files:
    """The files of a project's working folder.

    Raises (when read):
        UserError: a file is there and cannot be read.
    """

    def names() -> list[str]:
        try:
            return sorted(entry.name for entry in (root / FOLDER).iterdir() if not entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UserError(f"{root / FOLDER} cannot be read: {error.strerror}.", "Mend its permissions.") from None

    return Files(lambda path: read_if_there(root / path), names)


def read_if_there(path: Path, largest: int = LARGEST) -> bytes | None:
    """The content of a regular file, ``None`` where there is none; links are followed, no pipe or device is waited for.

    Raises:
        UserError: it is there and cannot be read, is no regular file, or has more than ``largest`` bytes.
    """
    try:
        handle = os.open(path, _OPEN_TO_LOOK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) == errno.ENXIO:  # a socket
            raise _not_regular(path) from None
        raise UserError(f"{path} cannot be read: {why}.", "Mend its permissions, or remove it.") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _not_regular(path)
        content = b""
        while len(content) <= largest and (block := os.read(handle, largest + 1 - len(content))):
            content += block
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Mend its permissions, or remove it.") from None
    finally:
        os.close(handle)
    if len(content) > largest:
        raise too_large(str(path), largest)
    return content


def too_large(name: str, largest: int) -> UserError:
    """The sentence for a file of a repository that is larger than what is read of its kind."""
    return UserError(
        f"{name} has more than {largest:,} bytes, too many for a file that says how to run.",
        "Put the right file in its place, or remove it.",
    )


def _not_regular(path: Path) -> UserError:
    return UserError(f"{path} is not a regular file.", "Put a file in its place, or remove it.")
