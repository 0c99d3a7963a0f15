"""Where configuration files are read from: a snapshot or the working folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from amltool.errors import UserError

FOLDER = "aml_config"


class Files(msgspec.Struct, frozen=True):
    """A project's files, of a snapshot or of the working folder.

    ``read`` gives the content of a path in the project (``aml_config/x.compute``), ``None`` where there is no such
    file; ``names`` lists the names of the files in ``aml_config``.
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
            return sorted(entry.name for entry in (root / FOLDER).iterdir() if entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UserError(f"{root / FOLDER} cannot be read: {error.strerror}.", "Mend its permissions.") from None

    return Files(lambda path: read_if_there(root / path), names)


def read_if_there(path: Path) -> bytes | None:
    """The content of a regular file, ``None`` where there is none; never waits for a pipe or device.

    Raises:
        UserError: it is there and cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Mend its permissions, or remove it.") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"{path} is not a regular file.", "Put a file in its place, or remove it.")
    with os.fdopen(handle, "rb") as stream:
        return stream.read()
