"""Send a host the blobs it lacks: in thin packs where it has Git; one by one where it has none, and where a pack would
only take time: blobs that Git could not make smaller, of paths that it has nothing of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

import msgspec

from amltool.errors import UserError
from amltool.git.command import Git, scrubbed_environment
from amltool.git.contents import object_environment
from amltool.snapshot import LargeFileContent, Snapshot, SnapshotFile
from amltool.tracking.framing import BLOCK, framed, message

PART_SIZE = 32 << 20
"""Blobs of so many bytes make a pack: what a cut connection costs at most."""
MOST_COMPARED = 64 << 20
"""Where more than this would be sent, looking for differences takes longer than it saves."""
COMPRESSED = 0.95
"""What Git could not make smaller than this is not worth another try."""
SET_PIPE_SIZE = 1031
"""F_SETPIPE_SZ of Linux, which Python names from 3.10 on there only: fewer switches between Git and us."""
SMALLEST_ALONE = 4096
"""Smaller blobs go in packs together, whatever is in them: each file of its own costs the host some time."""

Give = Callable[[bytes], None]
"""Takes bytes for the host."""


class Lacking(msgspec.Struct, frozen=True):
    """What a host answers: whether it has Git, the numbers of the files whose blobs it lacks, for some of them
    (number as text) an older blob of that path which it has, and the SHA-256 of large contents it lacks."""

    git: bool
    blobs: list[int]
    earlier: dict[str, str]
    large: list[str]

    def check(self, snapshot: Snapshot) -> None:
        """Raise ValueError where it is not of this snapshot: a host is not trusted to be well."""
        files, ids = snapshot.files, [*self.earlier.values()]
        numbers = [*self.blobs, *map(int, self.earlier)]
        is_known = all(0 <= number < len(files) for number in numbers)
        contents = {content.sha256 for content in snapshot.large_files.values()}
        if not is_known or not contents.issuperset(self.large):
            raise ValueError("it lacks what is not in the snapshot")
        if not all(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found) for found in ids):
            raise ValueError("it has what is no blob")


def send(git: Git, snapshot: Snapshot, lacking: Lacking, give: Give) -> None:
    """Send all that a host lacks, and say that this was all.

    Raises:
        UserError: an object is missing from this clone, or damaged.
    """
    files = [snapshot.files[number] for number in lacking.blobs]
    if files and lacking.git:
        earlier = {snapshot.files[int(number)].path: found for number, found in lacking.earlier.items()}
        on_disk = _sizes_on_disk(git, snapshot, files)
        alone = [file for file in files if file.path not in earlier and _goes_alone(file, on_disk)]
        chosen = {file.path for file in alone}
        _send_packs(git, snapshot, [file for file in files if file.path not in chosen], earlier, on_disk, give)
        files = alone
    if files:
        _send_blobs(git, snapshot, files, give)
    by_content = {content.sha256: content for content in snapshot.large_files.values()}
    for sha256 in lacking.large:
        _send_large(by_content[sha256], give)
    give(message({"end": True}))


def _sizes_on_disk(git: Git, snapshot: Snapshot, files: Sequence[SnapshotFile]) -> dict[str, int]:
    """What Git's own copies weigh, which says whether compressing is worth the time."""
    command = [*_git(git), "cat-file", "--batch-check=%(objectname) %(objectsize:disk)", "--buffer"]
    environment = object_environment(snapshot.object_folders)
    with _running(command, [file.object_id for file in files], environment) as stdout:
        answers = (line.split() for line in stdout.read().decode().splitlines())
        return {name: int(size) for name, size in answers if size.isdigit()}


def _goes_alone(file: SnapshotFile, on_disk: Mapping[str, int]) -> bool:
    return file.size >= SMALLEST_ALONE and on_disk.get(file.object_id, 0) > COMPRESSED * file.size


def _send_packs(
    git: Git,
    snapshot: Snapshot,
    files: Sequence[SnapshotFile],
    earlier: Mapping[str, str],
    on_disk: Mapping[str, int],
    give: Give,
) -> None:
    changed = [file for file in files if file.path in earlier]
    if sum(file.size for file in changed) > MOST_COMPARED:
        changed = []
    chosen = {file.path for file in changed}
    new = [file for file in files if file.path not in chosen]
    folders = [str(git.common_dir / "objects"), *snapshot.object_folders]
    for part in _parts(changed):
        with _base_tree(part, earlier, folders) as (place, tree):
            packing = _Packing([f"-{tree}"], 10, _level(part, on_disk), {"GIT_OBJECT_DIRECTORY": str(place)})
            _send_pack(git, part, packing, give)
    for part in _parts(new):
        _send_pack(git, part, _Packing([], 0, _level(part, on_disk), object_environment(snapshot.object_folders)), give)


def _level(files: Sequence[SnapshotFile], on_disk: Mapping[str, int]) -> int:
    """How hard to compress what does not lie in a pack already, from which it is sent as it is."""
    packed = sum(on_disk.get(file.object_id, 0) for file in files)
    return 0 if packed > COMPRESSED * sum(file.size for file in files) else 1


def _parts(files: Sequence[SnapshotFile]) -> Iterator[list[SnapshotFile]]:
    part: list[SnapshotFile] = []
    size = 0
    for file in files:
        if part and size + file.size > PART_SIZE:
            yield part
            part, size = [], 0
        part.append(file)
        size += file.size
    if part:
        yield part


class _Packing(msgspec.Struct, frozen=True):
    """How a pack is made: what it may be a difference to, with how many objects each is compared, the compression."""

    bases: list[str]
    window: int
    level: int
    environment: dict[str, str]


def _send_pack(git: Git, files: Sequence[SnapshotFile], packing: _Packing, give: Give) -> None:
    options = [f"--window={packing.window}", f"--compression={packing.level}"]
    command = [*_git(git), "pack-objects", "-q", "--stdout", "--delta-base-offset", *options]
    asked = [*packing.bases, *(f"{file.object_id} {_flat(file.path)}" for file in files)]
    with _running(command, asked, packing.environment) as stdout:
        block = stdout.read(BLOCK)
        if not block:
            return
        give(message({"pack": len(files)}))
        while block:
            give(framed(block))
            block = stdout.read(BLOCK)
    give(framed(b""))


def _git(git: Git) -> list[str]:
    return ["git", f"--git-dir={git.git_dir}"]


@contextmanager
def _base_tree(
    files: Sequence[SnapshotFile], earlier: Mapping[str, str], folders: Sequence[str]
) -> Iterator[tuple[Path, str]]:
    """A tree of what the host has of these files, in an object folder of its own in front of the others: pack-objects
    takes what it may make differences to from trees, and the user's repository is not to be written to. (A tree with a
    minus in the list of objects makes the pack thin; ``--thin`` itself would have Git walk revisions.)

    Gives that folder and the tree's id.
    """
    entries = sorted((os.fsencode(_flat(file.path)), earlier[file.path]) for file in files)
    body = b"".join(b"100644 %s\0" % name + bytes.fromhex(object_id) for name, object_id in entries)
    content = b"tree %d\0" % len(body) + body
    algorithm = "sha256" if len(files[0].object_id) == 64 else "sha1"
    tree = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    with tempfile.TemporaryDirectory(prefix="amltool-") as folder:
        place = Path(folder) / tree[:2] / tree[2:]
        place.parent.mkdir()
        place.write_bytes(zlib.compress(content))
        (Path(folder) / "info").mkdir()
        (Path(folder) / "info" / "alternates").write_bytes(b"".join(os.fsencode(other) + b"\n" for other in folders))
        yield Path(folder), tree


def _flat(path: str) -> str:
    """A path as one name that can stand in a line, unlike any other path's; Git compares names from their ends."""
    start = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return f"{start}-{re.sub(r'[^A-Za-z0-9.]', '_', path[-40:])}"


def _send_blobs(git: Git, snapshot: Snapshot, files: Sequence[SnapshotFile], give: Give) -> None:
    command = [*_git(git), "cat-file", "--batch", "--buffer"]
    environment = object_environment(snapshot.object_folders)
    with _running(command, [file.object_id for file in files], environment) as stdout:
        for file in files:
            header = stdout.readline().split()
            if len(header) != 3 or header[1] != b"blob":
                raise _missing(file)
            give(message({"blob": file.object_id, "size": int(header[2])}))
            _give_all(stdout, int(header[2]), give)
            stdout.read(1)


def _send_large(large: LargeFileContent, give: Give) -> None:
    try:
        with Path(large.place).open("rb") as stream:
            give(message({"large": large.sha256, "size": large.size}))
            _give_all(stream, large.size, give)
    except FileNotFoundError:
        raise UserError(
            "The snapshot cannot be placed: the content of a Git LFS file is gone from this clone.",
            "Get it with `git lfs pull`.",
        ) from None


def _give_all(stream: IO[bytes], size: int, give: Give) -> None:
    left = size
    while left:
        block = stream.read(min(left, BLOCK))
        if not block:
            raise UserError(
                "The snapshot cannot be placed: an object ended early.", "Look at this clone with `git fsck`."
            )
        left -= len(block)
        give(framed(block))
    give(framed(b""))


@contextmanager
def _running(command: Sequence[str], lines: Sequence[str], environment: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """Git, fed with lines from a file (no pipe that both ends may wait on); its end is checked."""
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:
        asked.write("".join(f"{line}\n" for line in lines).encode())
        asked.seek(0)
        process = subprocess.Popen(
            command, stdin=asked, stdout=subprocess.PIPE, stderr=errors, env=scrubbed_environment(environment)
        )
        stdout = cast(IO[bytes], process.stdout)
        with suppress(OSError):
            fcntl.fcntl(stdout.fileno(), SET_PIPE_SIZE, 1 << 20)
        try:
            yield stdout
            stdout.read()
            if process.wait():
                errors.seek(0)
                raise _refused(errors.read())
        finally:
            stdout.close()
            process.kill()
            process.wait()


def _missing(file: SnapshotFile) -> UserError:
    return UserError(
        f"The snapshot cannot be placed: the object {file.object_id} of {file.path!r} is missing from the repository.",
        "Put that right in the repository.",
    )


def _refused(said: bytes) -> UserError:
    reason = said.decode("utf-8", "replace").strip().splitlines()
    return UserError(
        f"The snapshot cannot be placed: {reason[-1] if reason else 'Git stopped'}.",
        "Look at this clone with `git fsck`.",
    )
