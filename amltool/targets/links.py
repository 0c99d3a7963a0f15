"""Where the links that a run left lead, as the run saw its folders; told by the host itself, all of them in one go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

import msgspec

from amltool.errors import TargetError
from amltool.hosts.base import Host
from amltool.hosts.streaming import evaluated
from amltool.layout import RunFolder

UNREAD = "it is a link that cannot be read"
REASONS = {
    "nothing": "it is a link to nothing",
    "out": "it is a link out of the run folder",
    "share": "it is a link into the shared folder, where the file stays",
    "folder": "it is a link to a folder",
    "other": "it is a link to something that is no file",
}


class LinkOnHost(msgspec.Struct, frozen=True):
    """A link: its text, and the file below the run folder that it leads to; else why it is not followed."""

    text: bytes
    inside: str | None
    reason: str = ""


def inspect_links(
    host: Host,
    folder: RunFolder,
    paths: Sequence[str],
    seen: PurePosixPath | None = None,
    share: PurePosixPath | None = None,
) -> Iterator[LinkOnHost]:
    """What the links at ``paths`` (below ``work``) lead to, in their order.

    ``seen`` is where the run saw its folder, ``share`` where it saw the shared one: an absolute link was made by such
    a path. Nothing is opened. What is said here may be out of date at once, so a file is then opened by `Host.open`,
    which follows no link on the way.
    """
    if not paths:
        return
    below = [f"{folder.work.name}/{path}" for path in paths]
    told = evaluated(host, _program(), [str(folder.path), str(seen or folder.path), str(share or ""), below])
    try:
        found = msgspec.convert(told, list[tuple[str, str, str]])
        if len(found) != len(paths):
            raise TargetError(f"{host.name} does not tell where each link leads.", "Look who else uses that machine.")
    except msgspec.ValidationError as error:
        raise TargetError(f"{host.name} does not tell where links lead: {error}.", "Try again.") from error
    for kind, text, end in found:
        if kind == "file":
            yield LinkOnHost(os.fsencode(text), end)
        else:
            yield LinkOnHost(os.fsencode(text), None, REASONS.get(kind, UNREAD))


@cache
def _program() -> str:
    return (Path(__file__).parent / "scripts/links.py").read_text("utf-8")
