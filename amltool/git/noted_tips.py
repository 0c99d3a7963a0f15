"""The tips of our refs, noted in a file: a fetch of ``+refs/*:refs/*`` that prunes takes every ref of ours away."""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from amltool.files import read_regular, write_whole
from amltool.git.command import Git
from amltool.git.refs import tip_of
from amltool.layout import HISTORY_REF, NOTES_REF, SNAPSHOTS_REF

LONGEST = 200
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class NotedTips(msgspec.Struct, frozen=True):
    """Tips of the history and of the ref that keeps snapshots, where there was one."""

    history: str
    snapshots: str | None = None


def note_tips(git: Git, history: str) -> None:
    """Write down where the history is now; where that cannot be written, nothing is put back by it later."""
    tips = NotedTips(history, tip_of(git, SNAPSHOTS_REF))
    with suppress(OSError):
        write_whole(git.layout.noted_tips, msgspec.json.encode(tips))


def noted_tips(git: Git) -> NotedTips | None:
    """The tips as they were noted; ``None`` where they were not, or the file is damaged."""
    with suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(read_regular(git.layout.noted_tips, LONGEST), type=NotedTips)
        if all(tip is None or _ID.fullmatch(tip) for tip in (found.history, found.snapshots)):
            return found
    return None


def forget_tips(git: Git) -> None:
    """Put nothing back by what was noted."""
    with suppress(OSError):
        git.layout.noted_tips.unlink()


def taking_refspecs(git: Git) -> list[str]:
    """Settings by which ``git fetch`` moves or prunes refs of ours, as ``remote.origin.fetch=+refs/*:refs/*``."""
    _, listed, _ = git.ask("config", "-z", "--get-regexp", r"^remote\..*\.fetch$")
    entries = (entry.partition("\n") for entry in listed.decode("utf-8", "replace").split("\0"))
    return [f"{name}={refspec}" for name, _, refspec in entries if _takes(refspec.partition(":")[2])]


def _takes(where: str) -> bool:
    start, star, end = where.partition("*")
    ours = (NOTES_REF, SNAPSHOTS_REF, HISTORY_REF)
    return where in ours or (star == "*" and any(ref.startswith(start) and ref.endswith(end) for ref in ours))
