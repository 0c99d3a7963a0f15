"""Bring a snapshot to the folder of a run on another machine, sending only what that machine lacks."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.git.command import Git
from amltool.history.journal import PlacedFolder
from amltool.hosts.base import Host
from amltool.hosts.ssh_failures import error_of, understood
from amltool.hosts.streaming import Stream, StreamingHost
from amltool.layout import HostLayout, RunFolder
from amltool.snapshot import Snapshot
from amltool.targets.placing import OnWritten, Placing, claim_folder
from amltool.targets.sending import Lacking, send
from amltool.tracking.framing import CutError, message, read_message

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from amltool.tracking.run_folders import Taken
    from amltool.tracking.travel import Installed

FLUSHED_AT = 128 << 10
"""Bytes are given to the connection in pieces of at least this size; each piece costs a turn of its machinery."""
LONGEST_ANSWER = 16 << 20
"""In bytes: the numbers of a million files that are lacking are 7 MB. What a machine says is not trusted to end."""
ATTEMPTS = 3
"""What the host had may be gone or changed once it is placed; from the second time on it trusts nothing of it."""


class _Done(msgspec.Struct, frozen=True):
    """The last answer: how many files were written, and as `Placing`."""

    files: int
    placed: str
    inode: int
    asides: tuple[str, ...] = ()


class _OvertakenError(TargetError):
    """Another process places the same run."""


class UnheardError(TargetError):
    """What places a snapshot there ended before it said anything, as where it is not there at all."""


def make_place(host: StreamingHost, tracking: Installed, *, key: str = "", python: str = "python3") -> PlacingThere:
    """What places snapshots on a host; ``tracking`` is what lies there, ``python`` its interpreter.

    With a ``key`` (`placing.project_key`) the folder of a finished run of that project is taken over there when the
    run's own ``work`` is not there yet.
    """
    command = [python, "-I", "-S", str(tracking.bootstrap), "receive"]
    return PlacingThere(host, command, key)


class PlacingThere:
    """Places snapshots on a host. One may be begun before it is waited for: the host looks what it has meanwhile."""

    def __init__(self, host: StreamingHost, command: Sequence[str], key: str) -> None:
        self._host = host
        self._command = command
        self._key = key
        self._begun: tuple[RunFolder, _Conversation] | None = None
        self._claimed: dict[RunFolder, Taken | None] = {}

    def begin(self, git: Git, folder: RunFolder, snapshot: Snapshot) -> None:
        """Say what a folder is to hold, and do not wait: placing it goes on from there. It may not get so far, which
        is no error."""
        conversation = self._conversation()
        conversation.ask(message({**self._request(git, folder, snapshot), "attempt": 0}))
        self._begun = folder, conversation

    def withdraw(self) -> None:
        """End what was begun; when this returns nothing is written there any more, if the host answers."""
        if self._begun is not None:
            (_, conversation), self._begun = self._begun, None
            conversation.withdraw()

    def __call__(self, git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None = None) -> Placing:
        """Bring a snapshot to a run's folder, which is made, with ``outputs`` and ``logs``.

        Reports bytes as they went over the connection, and the files that were written once, at the end.

        Raises:
            UserError: a full disk there, objects that are missing here, names that clash.
            UnheardError: what does it does not run there.
            TargetError: the connection.
        """
        answer = self._go_on(git, folder, snapshot, on_written)
        asked = None
        for attempt in range(ATTEMPTS):
            if answer is not None and "again" not in answer:
                break
            asked = asked or self._request(git, folder, snapshot)
            with self._conversation() as conversation:
                conversation.ask(message({**asked, "attempt": attempt}))
                answer = conversation.hold(git, snapshot, on_written)
        if answer is None or "again" in answer:
            raise UserError(
                f"The snapshot cannot be placed on {self._host.name}: {(answer or {}).get('again')}.",
                "Look at this clone with `git fsck`.",
            )
        with understood(self._host.name):
            done = msgspec.convert(answer, _Done)
        if on_written is not None:
            on_written(0, done.files)
        return Placing(PlacedFolder(done.placed, done.inode), done.asides)

    def _request(self, git: Git, folder: RunFolder, snapshot: Snapshot) -> dict[str, Any]:
        if folder not in self._claimed:
            self._claimed[folder] = claim_folder(git, self._host, self._key) if self._key else None
        layout = HostLayout(self._host.root)
        large = {path: (content.sha256, content.size) for path, content in snapshot.large_files.items()}
        return {
            "root": str(folder.root),
            "run": folder.run_id,
            "objects": str(layout.cache / "objects" / objects_folder(git)),
            "tree": snapshot.tree,
            "files": [(file.path, file.mode, file.object_id, file.size) for file in snapshot.files],
            "large": large,
            "take": self._claimed[folder],
            "folders": [folder.outputs.name, folder.logs.name],
        }

    def _go_on(
        self, git: Git, folder: RunFolder, snapshot: Snapshot, on_written: OnWritten | None
    ) -> dict[str, Any] | None:
        """The last answer to what was begun; ``None`` where that was another folder's, or came to nothing."""
        if self._begun is None or self._begun[0] != folder:
            self.withdraw()
            return None
        (_, begun), self._begun = self._begun, None
        with begun as conversation:
            try:
                return conversation.hold(git, snapshot, on_written)
            except _OvertakenError:
                raise
            except TargetError:  # it may have waited too long; a host that is away is met again at once
                return None

    def _conversation(self) -> _Conversation:
        return _Conversation(self._host, self._host.open_stream(self._command))


def objects_folder(git: Git) -> str:
    """What a host's cache of this clone's objects is called."""
    return hashlib.sha256(os.fsencode(f"{os.uname().nodename}:{git.common_dir}")).hexdigest()[:16]


class _Conversation:
    """One placing, over one stream."""

    def __init__(self, host: Host, stream: Stream) -> None:
        self._host = host
        self._stream = stream
        self._on_written: OnWritten | None = None
        self._unreported = 0
        self._waiting = bytearray()
        self._failed: OSError | TargetError | None = None
        self._has_answered = False

    def ask(self, asked: bytes) -> None:
        """Say what is wanted, and do not wait."""
        self._say(lambda: self._give(asked))

    def hold(self, git: Git, snapshot: Snapshot, on_written: OnWritten | None) -> dict[str, Any]:
        """Send what the host says it lacks, and give its last answer."""
        self._on_written = on_written
        self._report(0)
        answer = self._hear()
        if "git" not in answer:
            return answer
        with understood(self._host.name):
            lacking = msgspec.convert(answer, Lacking)
            lacking.check(snapshot)
        if lacking.blobs or lacking.large:
            self._say(lambda: send(git, snapshot, lacking, self._give))
        return self._hear()

    def withdraw(self) -> None:
        """Let the host see that nothing more comes, and wait until it has ended what it does."""
        with contextlib.suppress(OSError, TargetError):
            self._stream.close_writing()
            while self._stream.read(FLUSHED_AT):
                pass
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, OSError | TargetError):
            self._stream.close()
        else:  # whoever gave up removes next what was written
            self.withdraw()

    def _say(self, say: Callable[[], None]) -> None:
        try:
            say()
            self._flush()
        except (OSError, TargetError) as error:
            self._failed = error

    def _give(self, content: bytes) -> None:
        self._waiting += content
        if len(self._waiting) >= FLUSHED_AT:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            content, self._waiting = bytes(self._waiting), bytearray()
            self._stream.write(content)
            self._report(len(content))

    def _report(self, size: int) -> None:
        self._unreported += size
        if self._on_written is not None and self._unreported:
            self._on_written(self._unreported, 0)
            self._unreported = 0

    def _hear(self) -> dict[str, Any]:
        """The next answer: where speaking failed, the host gave up while we spoke, and may have said why."""
        failed = self._failed
        if failed is None:
            return self._heard()
        with contextlib.suppress(TargetError):
            return self._heard()
        raise failed if isinstance(failed, TargetError) else self._unfinished() from failed

    def _heard(self) -> dict[str, Any]:
        try:
            answer: Any = read_message(self._stream.read, LONGEST_ANSWER)
        except (CutError, OSError) as error:
            raise self._unfinished() from error
        if not isinstance(answer, dict):
            raise self._unfinished()
        self._has_answered = True
        if "overtaken" in answer:
            raise _OvertakenError(
                f"Another process began to place this run on {self._host.name}.",
                "See with `amltool runs` how it goes on.",
            )
        if "refused" in answer:
            raise UserError(
                f"The snapshot cannot be placed on {self._host.name}: {answer['refused']}.",
                "Put that right, then run the same command again.",
            )
        if "errno" in answer:
            there = error_of(str(answer["errno"]), str(answer.get("strerror")))
            raise no_space(there, f"{answer.get('path') or 'the snapshot'} on {self._host.name}")
        return answer

    def _unfinished(self) -> TargetError:
        said = self._stream.stderr().decode("utf-8", "replace").strip().splitlines()
        reason = f" It said: {said[-1]}" if said else ""
        kind = TargetError if self._has_answered else UnheardError
        return kind(
            f"Placing the snapshot on {self._host.name} ended before it was done.{reason}",
            "Run the same command again: what was received is kept there.",
        )
