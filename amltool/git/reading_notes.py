"""Many notes at once: all of a tip, or those that differ between two tips."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple, cast

from amltool.errors import DamagedError
from amltool.git.command import Git, GitError, scrubbed_environment
from amltool.git.note_tree import NoteTree
from amltool.git.objects import LENGTHS

PIPE_SIZE = 1 << 20
"""Bytes that Git may be ahead of us (Linux; elsewhere the system's own size): both work at once."""


class Note(NamedTuple):
    """A commit, the blob that holds its note, and what is in it; ``None`` where the blob is not in the repository."""

    commit: str
    blob: str
    content: bytes | None


def read_notes(git: Git, tip: str) -> Iterator[Note]:
    """Every note of a tip, in no order. A commit comes twice where writers with different fanouts were merged.

    Raises:
        GitError: the tip is not there, or not a tree of notes.
    """
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", tip)
    commits, blobs = _parse_listing(listed)
    for commit, blob, content in zip(commits, blobs, read_blobs(git, blobs), strict=True):
        yield Note(commit, blob, content)


def changed_notes(git: Git, old: str, new: str) -> tuple[list[str], Iterator[Note]]:
    """The commits whose note differs between two tips, and their notes at ``new`` (none where it has none there).

    The tips need not be related: what differs is all that is asked.

    Raises:
        GitError: a tip is not there.
    """
    commits = differing(git, old, new)
    return commits, _notes_of(git, new, commits)


def differing(git: Git, old: str, new: str) -> list[str]:
    """The commits whose note differs between two tips, in order. Raises GitError where a tip is not there."""
    listed = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", "--no-ext-diff", old, new)
    return sorted({commit for path in listed.split(b"\0") if (commit := _commit_of(path)) is not None})


def _notes_of(git: Git, tip: str, commits: list[str]) -> Iterator[Note]:
    if not commits:
        return
    with git.objects() as reader:
        tree = NoteTree(reader, tip, len(commits[0]))
        for commit in commits:
            try:
                parts = tree.parts(commit)
            except DamagedError:
                yield Note(commit, "", None)
            else:
                yield from (Note(commit, blob, content) for blob, content in parts)


def _commit_of(path: bytes) -> str | None:
    """The commit a path in a notes tree stands for; ``None`` for a file that is not a note."""
    digits = path.replace(b"/", b"")
    if len(digits) not in LENGTHS or digits.translate(None, b"0123456789abcdef"):
        return None
    return digits.decode()


def _parse_listing(listed: bytes) -> tuple[list[str], list[str]]:
    commits: list[str] = []
    blobs: list[str] = []
    for entry in listed.split(b"\0"):
        head, _, path = entry.partition(b"\t")
        commit = _commit_of(path)
        if commit is not None and head.startswith(b"100"):
            commits.append(commit)
            blobs.append(head.rsplit(b" ", 1)[1].decode())
    return commits, blobs


def read_blobs(git: Git, blobs: Sequence[str]) -> Iterator[bytes | None]:
    """The contents of blobs in the order asked, ``None`` for a missing one; one process reads ahead of us."""
    if not blobs:
        return
    process = subprocess.Popen(
        ["git", "cat-file", "--batch", "--buffer"],
        cwd=git.top,
        env=scrubbed_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=PIPE_SIZE,
        pipesize=PIPE_SIZE,
    )
    requests, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    feeder = threading.Thread(target=_feed, args=(requests, blobs), daemon=True)
    feeder.start()
    try:
        for _ in blobs:
            header = answers.readline()
            if not header:
                raise GitError(("cat-file", "--batch"), 128, b"the process ended")
            if header.endswith(b" missing\n"):
                yield None
                continue
            content = answers.read(int(header.rsplit(b" ", 1)[1]))
            answers.read(1)
            yield content
    finally:
        process.kill()
        feeder.join()
        answers.close()
        process.wait()


def _feed(requests: IO[bytes], blobs: Iterable[str]) -> None:
    try:
        requests.write("".join(f"{blob}\n" for blob in blobs).encode())
        requests.close()
    except OSError:
        return  # the reader gave up first
