"""Inputs of a run on their way from the artifact store to its folder on its host, where each is checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.hosts.ssh_failures import error_of
from amltool.layout import RunFolder
from amltool.run_input import RunInput
from amltool.tracking.framing import BLOCK, CutError, framed, message, read_message
from amltool.tracking.input_files import WrongBytesError, place_input

if TYPE_CHECKING:
    from amltool.hosts.base import Host
    from amltool.hosts.streaming import Stream, StreamingHost
    from amltool.targets.drive import Drive
    from amltool.targets.watcher import Watcher

LONGEST_ANSWER = 1 << 16
PlaceInput = Callable[[RunFolder, RunInput, Iterator[bytes]], None]
"""Brings the bytes of an input to a run's folder, which is there.

Raises:
    UserError: the disk there is full.
    TargetError: the host does not answer.
"""


def place_inputs(run: Drive, watcher: Watcher) -> None:
    """Bring every input of a run to its folder. Doing it again brings them again.

    Raises:
        UserError: one is not in its store any more, or is damaged; the disk there is full.
        TargetError: the store or the host does not answer.
    """
    total = sum(each.size for each in run.request.inputs)
    for each in run.request.inputs:
        run.target.place_input(run.folder, each, _told(run.open_input(each), watcher, total))


def _told(blocks: Iterator[bytes], watcher: Watcher, total: int) -> Iterator[bytes]:
    for block in blocks:
        yield block
        watcher.progress("placing inputs", len(block), total)


def input_here(folder: RunFolder, wanted: RunInput, blocks: Iterator[bytes]) -> None:
    """Place an input on this machine, as `PlaceInput` says."""
    try:
        place_input(os.fspath(folder.root), _asked(folder, wanted), blocks)
    except WrongBytesError:
        raise _wrong_bytes(wanted) from None
    except OSError as error:
        raise no_space(error, str(wanted.place(folder))) from error


def input_there(host: StreamingHost, bootstrap: Callable[[], PurePosixPath], python: str = "python3") -> PlaceInput:
    """A way to place inputs on another machine, where ``bootstrap`` lies."""

    def place(folder: RunFolder, wanted: RunInput, blocks: Iterator[bytes]) -> None:
        stream = host.open_stream([python, "-I", "-S", str(bootstrap()), "input"])
        try:
            request = message({"root": str(folder.root), **_asked(folder, wanted)})
            for content in chain([request], _frames(blocks), [framed(b"")]):
                if not _is_said(stream, content):
                    break  # it gave up while we spoke, and may have said why
            answer = read_message(stream.read, LONGEST_ANSWER)
        except (CutError, OSError) as error:
            said = stream.stderr().decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise TargetError(
                f"The input {wanted.name} did not come to {host.name}{': ' if said else ''}{said}.",
                "Run the same command again.",
            ) from error
        finally:
            stream.close()
        _check(answer, host, folder, wanted)

    return place


def _frames(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), BLOCK):
            yield framed(block[start : start + BLOCK])


def _is_said(stream: Stream, content: bytes) -> bool:
    try:
        stream.write(content)
    except (OSError, TargetError):
        return False
    return True


def _asked(folder: RunFolder, wanted: RunInput) -> dict[str, Any]:
    names = {"run": folder.run_id, "name": wanted.name, "file": wanted.file}
    return {**names, "size": wanted.size, "sha256": wanted.sha256}


def _check(answer: Any, host: Host, folder: RunFolder, wanted: RunInput) -> None:
    if isinstance(answer, dict) and answer.get("done") is True:
        return
    if isinstance(answer, dict) and "errno" in answer:
        there = error_of(str(answer["errno"]), str(answer.get("strerror")))
        raise no_space(there, f"{wanted.place(folder)} on {host.name}")
    raise _wrong_bytes(wanted)


def _wrong_bytes(wanted: RunInput) -> UserError:
    return UserError(
        f"The input {wanted.name} is not what was recorded: its bytes have another SHA-256 or size.",
        f"Make it again: amltool rerun {wanted.run_id or 'RUN'}",
    )
