"""The objects a host keeps of the snapshots placed there, so that the next one costs what is new; Python 3.6.

    FOLDER/objects.git   where the host has Git: a bare repository of packs without one ref
    FOLDER/blobs/ab/cd…  where it has none: one file a blob, under its id
    FOLDER/large/…       the content of Git LFS pointers, under its SHA-256
    FOLDER/lists/TREE    what the last few placed trees held: what they name is kept, the rest goes

All of it is a cache: nothing here is believed without its hash, and it can be deleted at any time.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import zlib
from typing import IO, Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from .placing import CHUNK, remove_tree

KEPT_TREES = 5
"""So many of the trees that were placed last stay whole."""
MOST_PACKS = 20
"""More packs than this become one; each placing that sends something makes at least one."""
OLDEST_GIT = (2, 11)
"""``cat-file --batch --buffer`` came with 2.6; older ones than this are not tried."""

FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_SAID = {b"No space left on device": errno.ENOSPC, b"Disk quota exceeded": errno.EDQUOT}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class NotWhatItSaysError(Exception):
    """What was received is not what its name says, or Git refused it."""


class KeptObjects:
    """The cache of one project on this machine; ``digits`` is the length of an object id."""

    def __init__(self, folder: str, digits: int) -> None:
        self.folder = folder
        self.repository = os.path.join(folder, "objects.git")
        self._digits = digits
        for name in ("lists", "blobs", "large"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator["Optional[int]"]:
        """While the block runs, what is here stays; gives the lock, ``None`` where the file system has none."""
        handle = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_SH)
                yield handle
            except (ImportError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                    raise
                yield None
        finally:
            os.close(handle)
