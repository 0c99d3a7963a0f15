"""Where the links that a run left lead, told by the host's own shell, all of them in one go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from amltool.hosts.base import Host
from amltool.layout import RunFolder

AT_ONCE = 200
"""Links a command names: as many paths of 4,096 bytes stay far below the length of a command line."""

# For each path: what it leads to, its text, and its end after every link; NUL-separated, for names hold anything.
# POSIX sh, and a `readlink` with -f and -n: GNU, BusyBox, macOS 12.3 and later.
_SCRIPT = r"""
for path; do
    if [ -d "$path" ]; then printf 'folder\0'
    elif [ -f "$path" ]; then printf 'file\0'
    elif [ -e "$path" ]; then printf 'other\0'
    else printf 'nothing\0'
    fi
    readlink -n "$path"; printf '\0'
    readlink -fn "$path"; printf '\0'
done
"""


class LinkOnHost(msgspec.Struct, frozen=True):
    """A link: its text, and the file below the run folder that it leads to; else why it is not followed."""

    text: bytes
    inside: str | None
    reason: str = ""


def inspect_links(host: Host, folder: RunFolder, paths: Sequence[str]) -> Iterator[LinkOnHost]:
    """What the links at ``paths`` (below ``work``) lead to, in their order.

    Nothing is opened. What is said here may be out of date at once, so a file is then opened by `Host.open`, which
    follows no link on the way.
    """
    for start in range(0, len(paths), AT_ONCE):
        part = paths[start : start + AT_ONCE]
        places = [str(folder.path), *(str(folder.work / path) for path in part)]
        answer = host.run(["sh", "-c", _SCRIPT, "sh", *places]).stdout.split(b"\0")
        if len(answer) != 3 * len(places) + 1:
            yield from (LinkOnHost(b"", None, "it is a link that cannot be read") for _ in part)
            continue
        top = PurePosixPath(os.fsdecode(answer[2]))
        for kind, text, end in zip(answer[3::3], answer[4::3], answer[5::3], strict=False):
            yield _judge(top, kind, text, PurePosixPath(os.fsdecode(end)))


def _judge(top: PurePosixPath, kind: bytes, text: bytes, end: PurePosixPath) -> LinkOnHost:
    if kind == b"nothing":
        return LinkOnHost(text, None, "it is a link to nothing")
    if top not in end.parents:
        return LinkOnHost(text, None, "it is a link out of the run folder")
    if kind == b"folder":
        return LinkOnHost(text, None, "it is a link to a folder")
    if kind == b"other":
        return LinkOnHost(text, None, "it is a link to something that is no file")
    return LinkOnHost(text, str(end.relative_to(top)))
