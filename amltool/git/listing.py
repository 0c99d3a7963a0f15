"""Files of the index or of a commit with their sizes: quickly, for the checks that stand before every commit.

Nothing here imports more than ``amltool.git.command`` does, and the work of Git goes on beside ours.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import IO, Generic, TypeVar

import msgspec

from amltool.configuration.folder import LARGEST, too_large
from amltool.errors import UserError
from amltool.git.command import Git, GitError, OversizedError, scrubbed_environment

Result = TypeVar("Result")

LINK = "120000"
SUBMODULE = "160000"
SHA1_DIGITS = 40
EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The id of the tree without entries, by the digits of an object id; Git knows it without having it."""
MISSING = -1
"""The size of a file whose content is not in this clone."""
EMPTY_BLOBS = frozenset(
    {
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
    }
)
_SIZES = ("cat-file", "--batch-check=%(objectsize)", "--buffer")
_READ_ON_DISK = 1 << 16
_PATHS_AT_ONCE = 100
"""Paths in one command line: Linux takes no more than 128 KB in an argument, and 2 MB in all."""


class Beside(Generic[Result]):
    """Work that goes on in a thread while this one does something else; made to wait for other processes."""

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error

    def wait(self) -> None:
        """Wait until the work is done, or has failed."""
        self._thread.join()

    def result(self) -> Result:
        """What the work gave; raises what it raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]


class Listing(msgspec.Struct, frozen=True):
    """Files below a folder of a repository: path (relative to it, ``os.fsdecode`` form), blob id, Git's whole entry.

    Three lists of one length, not a value each: there may be 50,000. An entry begins with the mode, in six digits.
    """

    paths: list[str]
    object_ids: list[str]
    entries: list[str]

    def find(self, path: str) -> tuple[str, str] | None:
        """The mode and blob id of a path, ``None`` where it is not listed."""
        try:
            place = self.paths.index(path)
        except ValueError:
            return None
        return self.entries[place][:6], self.object_ids[place]

    def holds_folder(self, path: str) -> bool:
        return any(each.startswith(f"{path}/") for each in self.paths)


class Blob(msgspec.Struct, frozen=True):
    """A version of a file that is to be looked into."""

    path: str
    object_id: str


def hook_index(git: Git) -> dict[str, str]:
    """The variables that lead to the index a hook is about.

    For a partial commit Git makes a temporary one and names it in ``GIT_INDEX_FILE``, relative to the work tree's top.
    A hook that has gone on to another repository still has those of its own: they do not count there.
    """
    literal = {"GIT_LITERAL_PATHSPECS": "1"}
    named, git_dir = os.environ.get("GIT_INDEX_FILE"), os.environ.get("GIT_DIR")
    if not named or (git_dir and (git.top / git_dir).resolve() != git.git_dir):
        return literal
    return literal | {"GIT_INDEX_FILE": str(git.top / named)}


def list_index(git: Git, prefix: str) -> Listing:
    """The index below a folder: what the next commit would hold; also before the first commit and amid a merge.

    A path with conflicts counts with our side. One that is only announced (``git add -N``) is in no commit.
    """
    content = git.run("ls-files", "--stage", "-z", "--", prefix or ".", environment=hook_index(git))
    entries = os.fsdecode(content).split("\0")[:-1]
    if not entries:
        return Listing([], [], [])
    tab = entries[0].index("\t")
    start = tab + 1 + (len(prefix) + 1 if prefix else 0)
    if max(map(itemgetter(tab - 1), entries)) != "0":
        entries = _without_conflicts(entries, tab)
    object_ids = [entry[7 : tab - 2] for entry in entries]
    if not EMPTY_BLOBS.isdisjoint(object_ids):
        entries = _without_announced(git, entries, tab, prefix)
        object_ids = [entry[7 : tab - 2] for entry in entries]
    return Listing([entry[start:] for entry in entries], object_ids, entries)


def _without_announced(git: Git, entries: list[str], tab: int, prefix: str) -> list[str]:
    """Without the entries of ``git add -N``, which ``ls-files`` shows as empty files."""
    empty = [entry[tab + 1 :] for entry in entries if entry[7 : tab - 2] in EMPTY_BLOBS]
    options = ("--cached", "--ita-invisible-in-index", "--name-only", "-z", "--no-renames")
    where = empty if len(empty) <= _PATHS_AT_ONCE else [prefix or "."]
    content = git.run("diff-index", *options, EMPTY_TREES[tab - 9], "--", *where, environment=hook_index(git))
    held = set(os.fsdecode(content).split("\0"))
    return [entry for entry in entries if entry[7 : tab - 2] not in EMPTY_BLOBS or entry[tab + 1 :] in held]


def _without_conflicts(entries: list[str], tab: int) -> list[str]:
    chosen: dict[str, str] = {}
    for entry in entries:
        if entry[tab:] not in chosen or entry[tab - 1] == "2":
            chosen[entry[tab:]] = entry
    return list(chosen.values())


def list_commit(git: Git, commit: str, prefix: str) -> Listing:
    """The files of a commit below a folder; none where it has no such folder."""
    name = f"{commit}:{prefix}" if prefix else f"{commit}^{{tree}}"
    exit_code, content, stderr = git.ask("ls-tree", "-r", "-z", "--full-tree", name)
    if exit_code != 0:
        if git.resolve(commit) is None:
            raise GitError(("ls-tree",), exit_code, stderr)
        if git.ask("ls-tree", f"{commit}^{{tree}}")[0] != 0 or b"valid object name" not in stderr:
            from amltool.git.trees import not_whole

            raise not_whole(git, commit)
        return Listing([], [], [])
    entries = os.fsdecode(content).split("\0")[:-1]
    parts = [entry.partition("\t") for entry in entries]
    return Listing([path for _, _, path in parts], [header.rpartition(" ")[2] for header, _, _ in parts], entries)


def sizes_of(git: Git, object_ids: list[str], where: tuple[str, ...] = ()) -> list[int]:
    """The bytes of each of these objects, in their order; `MISSING` for one that is not here (a submodule's commit).

    ``where`` holds options for Git that name another repository.
    """
    if not object_ids:
        return []
    try:
        answer = _answer(git, *where, *_SIZES, input="\n".join(object_ids) + "\n")
    except GitError:
        return _sizes_of_present(git, object_ids, where)
    try:
        return list(map(int, answer.split()))
    except ValueError:
        return [int(line) if line.isdigit() else MISSING for line in answer.split(b"\n")[:-1]]


def _sizes_of_present(git: Git, object_ids: list[str], where: tuple[str, ...]) -> list[int]:
    """As `sizes_of` in a partial clone, where Git ends at the first object that it would have to fetch."""
    here = _present(git, object_ids, where)
    sizes = _answer(git, *where, *_SIZES, input="\n".join(here) + "\n").split() if here else []
    known = dict(zip(here, map(int, sizes), strict=True))
    return [known.get(object_id, MISSING) for object_id in object_ids]


def _present(git: Git, object_ids: Iterable[str], where: tuple[str, ...] = ()) -> list[str]:
    """Those of these objects that are in this clone, once each; nothing is fetched."""
    options = ("--objects", "--no-object-names", "--missing=print", "--ignore-missing", "--no-walk", "--stdin")
    wanted = dict.fromkeys(object_ids)
    found = _answer(git, *where, "rev-list", *options, input="\n".join(wanted) + "\n").decode().split()
    return [object_id for object_id in found if object_id in wanted]


def _answer(git: Git, *arguments: str, input: str) -> bytes:
    """As ``git.run``, through files instead of pipes: while Git works this process has not one byte to pass on."""
    with _unnamed_file() as asked, _unnamed_file() as answered:
        asked.write(input.encode())
        asked.flush()
        asked.seek(0)
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=git.top,
            env=scrubbed_environment(),
            stdin=asked,
            stdout=answered,
            stderr=subprocess.PIPE,
        )
        _, stderr = process.communicate()
        if process.returncode != 0:
            raise GitError(arguments, process.returncode, stderr)
        answered.seek(0)
        return answered.read()


def _unnamed_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("amltool"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()


def file_sizes(git: Git, listing: Listing) -> list[int]:
    """The bytes of each file of a listing, in its order; a submodule has 0, a file that is not here `MISSING`."""
    sizes = sizes_of(git, listing.object_ids)
    if MISSING not in sizes:
        return sizes
    return [0 if entry.startswith(SUBMODULE) else size for entry, size in zip(listing.entries, sizes, strict=True)]


def read_file(git: Git, listing: Listing, path: str, prefix: str = "", largest: int = LARGEST) -> bytes | None:
    """The content of a listed file, ``None`` where it is not listed; ``prefix`` is the folder the listing is of.

    Raises:
        IsADirectoryError: it is a folder or a submodule.
        UserError: it is a link, or has more than ``largest`` bytes.
        GitError: its content is not in this clone.
    """
    found = listing.find(path)
    if found is None:
        if listing.holds_folder(path):
            raise IsADirectoryError(path)
        return None
    if found[0] == SUBMODULE:
        raise IsADirectoryError(path)
    if found[0] == LINK:
        raise UserError(f"{path} is a link.", "Make it a file: a link would rule differently elsewhere.")
    same = _same_on_disk(git.top / prefix / path, found[1])
    if same is not None:
        return same
    try:
        with git.objects() as objects:
            read = objects.read(found[1], largest)
    except OversizedError:
        raise too_large(path, largest) from None
    if read is None:
        raise GitError(("cat-file", "blob"), 128, b"it is missing from this clone")
    return read[1]


def _same_on_disk(place: Path, object_id: str) -> bytes | None:
    """The content of a small file on disk where it is just that of the blob: a process less."""
    try:
        if not 0 < place.lstat().st_size <= _READ_ON_DISK or place.is_symlink():
            return None
        content = place.read_bytes()
    except OSError:
        return None
    from hashlib import new

    digest = new(
        "sha1" if len(object_id) == SHA1_DIGITS else "sha256", b"blob %d\0" % len(content), usedforsecurity=False
    )
    digest.update(content)
    return content if digest.hexdigest() == object_id else None


def staged_blobs(git: Git, prefix: str) -> list[Blob] | None:
    """The files that the index adds to or changes in HEAD; ``None`` where it is HEAD, or there is no HEAD yet."""
    if git.head is None:
        return None
    arguments = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=all")
    content = git.run(*arguments, git.head, "--", prefix or ".", environment=hook_index(git))
    if not content:
        return None
    parts = os.fsdecode(content).split("\0")[:-1]
    blobs: list[Blob] = []
    for header, path in zip(parts[::2], parts[1::2], strict=True):
        _, mode, _, object_id, _ = header[1:].split(" ")
        if mode != "000000" and object_id.strip("0"):
            blobs.append(Blob(path[len(prefix) + 1 :] if prefix else path, object_id))
    return blobs


def pushed_blobs(git: Git, tip: str, known: str | None, remote: str | None, prefix: str) -> list[Blob]:
    """Every version of a file in the commits of ``tip`` that the other side does not have.

    ``known`` is a commit it has, ``remote`` the name of a Git remote whose branches it has. Also those of files that
    the tip no longer holds: they are sent all the same.
    """
    excluded = [*([known] if known else []), *([f"--remotes={remote}"] if remote else [])]
    arguments = ["rev-list", "--objects", "--missing=allow-any", tip, *(["--not", *excluded] if excluded else [])]
    inside = f"{prefix}/" if prefix else ""
    blobs: list[Blob] = []
    for line in os.fsdecode(git.run(*arguments)).split("\n"):
        object_id, _, path = line.partition(" ")
        if path.startswith(inside) and path:
            blobs.append(Blob(path[len(inside) :], object_id))
    return blobs


def contents(git: Git, blobs: Iterable[Blob], largest: int) -> Iterator[tuple[Blob, bytes | None]]:
    """Each of these that is a file, with its content; ``None`` for one of more than ``largest`` bytes.

    All through two processes. The content of the large ones is not read.
    """
    wanted = list(blobs)
    if not wanted:
        return
    arguments = ("cat-file", "--batch-check=%(objecttype) %(objectsize)", "--buffer")
    try:
        answer = git.run(*arguments, input=_lines(wanted))
    except GitError:  # a partial clone: what is not here cannot be looked into
        here = set(_present(git, [blob.object_id for blob in wanted]))
        wanted = [blob for blob in wanted if blob.object_id in here]
        answer = git.run(*arguments, input=_lines(wanted))
    with git.objects() as objects:
        for blob, line in zip(wanted, answer.split(b"\n"), strict=False):
            kind, _, size = line.partition(b" ")
            if kind != b"blob":
                continue
            if int(size) > largest:
                yield blob, None
            elif found := objects.read(blob.object_id):
                yield blob, found[1]


def _lines(blobs: Iterable[Blob]) -> bytes:
    return b"".join(blob.object_id.encode() + b"\n" for blob in blobs)
