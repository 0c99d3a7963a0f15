"""Bring a snapshot to the folder of a run on another machine, sending only what that machine lacks."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.git.command import Git
from amltool.hosts.base import Host
from amltool.layout import HostLayout, RunFolder
from amltool.snapshot import Snapshot
from amltool.targets.placing import OnWritten
from amltool.targets.sending import Lacking, send
from amltool.tracking.framing import CutError, message, read_message

if TYPE_CHECKING:
    from amltool.tracking.travel import Installed

FLUSHED_AT = 128 << 10
"""Bytes are given to the connection in pieces of at least this size; each piece costs a turn of its machinery."""
RECEIVER = "receiving.py"
ATTEMPTS = 3
"""What the host had may be gone or changed once it is placed; from the second time on it trusts nothing of it."""


class Stream(Protocol):
    """Both directions of a command that runs on a host."""

    def read(self, size: int = -1, /) -> bytes:
        """At least one byte and at most ``size``; none at the end."""
        ...

    def write(self, content: bytes, /) -> object:
        """Give all of it to the command."""
        ...

    def stderr(self) -> bytes:
        """What the command complained of so far."""
        ...

    def close(self) -> None:
        """Let go of the command."""
        ...


class StreamingHost(Host, Protocol):
    """A host that can run a command which is talked to."""

    def open_stream(self, command: Sequence[str]) -> Stream:
        """Start a command and give its streams."""
        ...


Place = Callable[[Git, RunFolder, Snapshot, OnWritten | None], None]


def make_place(host: StreamingHost, tracking: Installed, *, key: str = "", python: str = "python3") -> Place:
    """What places snapshots on a host; ``tracking`` is what lies there, ``python`` its interpreter.

    With a ``key`` (`placing.project_key`) the folder of a released run of that project is taken over there when the
    run's own ``work`` is not there yet. The run's folder, ``outputs`` and ``logs`` are made, too. What is given back
    reports bytes as they went over the connection, and the files that were written once, at the end; it raises
    UserError (a full disk there, objects that are missing here, names that clash) and TargetError (the connection).
    """
    command = [python, "-I", "-S", str(tracking.bootstrap.with_name(RECEIVER))]

    def place_there(git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None = None) -> None:
        asked = _request(host, git, folder, snapshot, key)
        for attempt in range(ATTEMPTS):
            with contextlib.closing(host.open_stream(command)) as stream:
                answer = _Conversation(host, stream, on_written).hold(
                    git, snapshot, message({**asked, "attempt": attempt})
                )
            if "again" not in answer:
                break
        else:
            raise UserError(
                f"The snapshot cannot be placed on {host.name}: {answer['again']}.",
                "Look at this clone with `git fsck`.",
            )
        if on_written is not None:
            on_written(0, answer["files"])

    return place_there


def objects_folder(git: Git) -> str:
    """What a host's cache of this clone's objects is called."""
    return hashlib.sha256(os.fsencode(f"{os.uname().nodename}:{git.common_dir}")).hexdigest()[:16]


def _request(host: Host, git: Git, folder: RunFolder, snapshot: Snapshot, key: str) -> dict[str, Any]:
    layout = HostLayout(host.root)
    large = {path: (content.sha256, content.size) for path, content in snapshot.large_files.items()}
    return {
        "folder": str(folder.path),
        "work": str(folder.work),
        "placed": str(folder.placed),
        "objects": str(layout.cache / "objects" / objects_folder(git)),
        "tree": snapshot.tree,
        "files": [(file.path, file.mode, file.object_id, file.size) for file in snapshot.files],
        "large": large,
        "runs": str(layout.runs),
        "key": key,
        "folders": [folder.outputs.name, folder.logs.name],
    }


class _Conversation:
    """One placing, over one stream."""

    def __init__(self, host: Host, stream: Stream, on_written: OnWritten | None) -> None:
        self._host = host
        self._stream = stream
        self._on_written = on_written
        self._waiting = bytearray()

    def hold(self, git: Git, snapshot: Snapshot, asked: bytes) -> dict[str, Any]:
        """Ask, send, and give the last answer."""
        answer = self._say_and_hear(lambda: self._give(asked))
        if "git" not in answer:
            return answer
        lacking = msgspec.convert(answer, Lacking)
        if lacking.blobs or lacking.large:
            return self._say_and_hear(lambda: send(git, snapshot, lacking, self._give))
        return self._hear()

    def _say_and_hear(self, say: Callable[[], None]) -> dict[str, Any]:
        try:
            say()
            self._flush()
        except (OSError, TargetError) as error:
            with contextlib.suppress(TargetError):  # it gave up while we spoke: it may have said why
                return self._hear()
            if isinstance(error, TargetError):
                raise
            raise self._unfinished() from error
        return self._hear()

    def _give(self, content: bytes) -> None:
        self._waiting += content
        if len(self._waiting) >= FLUSHED_AT:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            content, self._waiting = bytes(self._waiting), bytearray()
            self._stream.write(content)
            if self._on_written is not None:
                self._on_written(len(content), 0)

    def _hear(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = read_message(self._stream.read)
        except (CutError, OSError) as error:
            raise self._unfinished() from error
        if "overtaken" in answer:
            raise TargetError(
                f"Another process began to place this run on {self._host.name}.",
                "See with `amltool runs` how it goes on.",
            )
        if "refused" in answer:
            raise UserError(
                f"The snapshot cannot be placed on {self._host.name}: {answer['refused']}.",
                "Put that right, then run the same command again.",
            )
        if "errno" in answer:
            there = OSError(answer["errno"], answer["strerror"])
            raise no_space(there, f"{answer['path']} on {self._host.name}")
        return answer

    def _unfinished(self) -> TargetError:
        said = self._stream.stderr().decode("utf-8", "replace").strip().splitlines()
        reason = f" It said: {said[-1]}" if said else ""
        return TargetError(
            f"Placing the snapshot on {self._host.name} ended before it was done.{reason}",
            "Run the same command again: what was received is kept there.",
        )
