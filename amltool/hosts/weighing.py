"""What folders of a host weigh, told by the host itself: their names do not come here."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from amltool.errors import TargetError
from amltool.hosts.base import FileKind, Host
from amltool.hosts.streaming import streaming

_WEIGH = """
import json, os, stat, sys
def weigh(top):
    total, seen = 0, set()
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                state = os.lstat(os.path.join(folder, name))
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode) and (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                total += state.st_size
    return total
print(json.dumps([weigh(top) for top in sys.stdin.buffer.read().split(b"\\0")[:-1]]))
"""


def weigh(host: Host, folders: Sequence[PurePosixPath]) -> list[int]:
    """The bytes of the regular files below each folder; one round trip for all of them.

    Raises:
        TargetError: the host does not answer, or gives no numbers.
    """
    if streaming(host) is None:
        return [sum(entry.size for entry in host.walk(top) if entry.kind is FileKind.FILE) for top in folders]
    if not folders:
        return []
    asked = b"".join(os.fsencode(str(top)) + b"\0" for top in folders)
    said = host.run(["python3", "-I", "-S", "-c", _WEIGH], input=asked)
    try:
        found = [int(size) for size in json.loads(said.stdout)]
        if len(found) != len(folders):
            raise ValueError
    except (ValueError, TypeError):
        raise TargetError(
            f"What lies on {host.name} cannot be weighed: {said.stderr.decode('utf-8', 'backslashreplace').strip()}.",
            "Try again.",
        ) from None
    return found
