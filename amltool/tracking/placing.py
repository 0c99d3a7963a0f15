"""Write the files of a snapshot into a folder from Git's blobs, every byte checked; standard library, Python 3.6.

A folder that an earlier run left is brought to the next snapshot by writing only what differs. What is kept was
verified: its stat data (change time included, which no program can set) is that of the moment it was written, as Git's
own index does it; a file changed in the same clock tick is read again (Git calls it racily clean). Every folder is a
descriptor: a link that takes the place of one leads nowhere.
"""

import contextlib
import errno
import hashlib
import json
import os
import stat
import subprocess
import tempfile
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
    cast,
)

from .run_folders import (
    FILE_FLAGS,
    LARGEST_PLACED,
    NEW_FLAGS,
    Folders,
    Mark,
    OddError,
    is_odd,
    remove,
)

LINK_MODE = 0o120000
EXECUTABLE_MODE = 0o100755
CHUNK = 1 << 20

File = Tuple[str, int, str, int]
"""Path, mode, blob id, size in bytes."""
Large = Tuple[str, str, int]
"""Where the content of a Git LFS pointer lies, its SHA-256, its size in bytes."""
GitCommand = Tuple[Sequence[str], Optional[Mapping[str, str]]]
Blobs = Callable[[Sequence[str]], ContextManager[Any]]
"""Opens, for blob ids, a stream that answers as ``git cat-file --batch`` does when asked for them in that order."""
Wanted = Mapping[str, Tuple[int, str, int]]
Seen = Tuple[int, int, int, int, int]
Known = Dict[str, Tuple[int, str, Any, bool]]


Placed = NamedTuple("Placed", [("files", int), ("bytes", int), ("digest", str)])
"""How many files were written, how many bytes they hold, and the SHA-256 of what was noted of all."""


class PlacingError(Exception):
    """The snapshot cannot be placed; says why."""


class BlobError(PlacingError):
    """A blob is missing where it should lie, or is not what its id says."""


def place(
    work: int,
    placed: Mark,
    files: Sequence[File],
    git: Union[GitCommand, Blobs],
    large_files: Optional[Mapping[str, Large]] = None,
    progress: Optional[Callable[[int, int], None]] = None,
    ready: Optional[Mapping[str, str]] = None,
) -> Placed:
    """Make the folder ``work`` hold exactly ``files`` and note in ``placed`` what was written.

    ``files`` is a sequence of (path, mode, blob id, size in bytes); ``git`` a pair of (command line prefix up to the
    word ``git`` and its options, environment), or what answers in Git's place. ``large_files`` maps a path to (file,
    sha256, size) where the content of a Git LFS pointer lies. ``progress`` is called with the bytes and files written
    since the last call. ``ready`` maps a blob id to a file on the same file system that was seen to hold just that: it
    is moved into its place, not copied.

    Raises:
        PlacingError: an object is missing or is not what its id says, or two names clash on this file system.
        OddError: what lies in the folder cannot be brought in order.
        OSError: the disk is full, or a name is too long for it.
    """
    wanted = {path: (mode, object_id, size) for path, mode, object_id, size in files}
    kept, folders = _begin(work, placed, wanted, large_files or {})
    missing = [entry for entry in files if entry[0] not in kept]
    written = _write(work, missing, git, _Sources(large_files or {}, ready or {}), folders, progress)
    kept.update(written)
    digest = _write_placed(placed, wanted, kept)
    return Placed(len(missing), sum(entry[3] for entry in missing), digest)


def keep(work: int, placed: Mark, files: Sequence[File], large_files: Optional[Mapping[str, Large]] = None) -> Set[str]:
    """Clear away what does not belong; give the paths of ``files`` that are right already. Noted, as by `place`.

    Raises:
        OddError: something in the way cannot be removed.
    """
    wanted = {path: (mode, object_id, size) for path, mode, object_id, size in files}
    kept, _ = _begin(work, placed, wanted, large_files or {})
    _write_placed(placed, {path: wanted[path] for path in kept}, kept)
    return set(kept)


def _begin(
    work: int, placed: Mark, wanted: Wanted, large_files: Mapping[str, Large]
) -> Tuple[Dict[str, Seen], Set[str]]:
    known = _known(placed.read(LARGEST_PLACED))
    placed.remove()
    try:
        return _keep(work, wanted, known, large_files)
    except OddError:
        raise
    except OSError as error:
        raise (OddError(error.errno, error.strerror, error.filename) if is_odd(error) else error) from None


def _known(noted: Optional[Tuple[bytes, int]]) -> Known:
    if noted is None:
        return {}
    try:
        content = json.loads(noted[0].decode("utf-8"))
        if content.get("v") != 1:
            return {}
        tick = content["tick"]
        # The tick is the change time of a file made after the last one was written: what has an older
        # change time was not touched since, what has the same one may have been.
        if tick > noted[1]:
            return {}
        return {
            path: (mode, object_id, tuple(seen), seen[1] < tick) for path, mode, object_id, seen in content["files"]
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return {}


def untouched(work: int, placed: Mark, largest: int) -> Dict[str, str]:
    """Blob id -> path in ``work``, of what lies as it was placed by all that its stat data says; no links.

    A note of more than ``largest`` bytes tells nothing.
    """
    found = {}
    folders = Folders(work)
    try:
        for path, (mode, object_id, seen, _) in _known(placed.read(largest)).items():
            head, _, name = path.rpartition("/")
            try:
                folder = folders.at(head)
                state = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if mode != LINK_MODE and _seen(state) == seen and os.access(name, os.R_OK, dir_fd=folder):
                    found[object_id] = path
            except (OSError, ValueError, TypeError):
                continue
    finally:
        folders.close()
    return found


def _write_placed(placed: Mark, wanted: Wanted, kept: Mapping[str, Seen]) -> str:
    """The SHA-256 of what was noted."""
    with placed.writing() as stream:
        tick = os.fstat(stream.fileno()).st_ctime_ns
        files = [[path, mode, object_id, kept[path]] for path, (mode, object_id, _) in wanted.items()]
        content = json.dumps({"v": 1, "tick": tick, "files": files}, separators=(",", ":")).encode("ascii")
        stream.write(content)
    return hashlib.sha256(content).hexdigest()


def _seen(state: os.stat_result) -> Seen:
    """What shows that nobody touched a file: size, change and modification time in ns, inode, mode."""
    return (state.st_size, state.st_ctime_ns, state.st_mtime_ns, state.st_ino, state.st_mode)


def _keep(
    work: int, wanted: Wanted, known: Known, large_files: Mapping[str, Large]
) -> Tuple[Dict[str, Seen], Set[str]]:
    """Remove what does not belong; give the paths that are right already with their stat data, and the folders."""
    kept = {}  # type: Dict[str, Seen]
    needed = {""}
    for path in wanted:
        head = path.rpartition("/")[0]
        while head not in needed:
            needed.add(head)
            head = head.rpartition("/")[0]
    present = {""}
    folders = Folders(work)
    try:
        pending = [""]
        while pending:
            folder = pending.pop()
            within = folders.at(folder)
            for name in os.listdir(within):
                path = folder + "/" + name if folder else name
                state = os.stat(name, dir_fd=within, follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode):
                    if path in needed:
                        present.add(path)
                        pending.append(path)
                    else:
                        remove(name, within)
                elif path in wanted and _is_right(
                    (within, name), state, wanted[path], known.get(path), large_files.get(path)
                ):
                    kept[path] = _seen(state)
                else:
                    os.unlink(name, dir_fd=within)
    finally:
        folders.close()
    return kept, present


def _is_right(
    place: Tuple[int, str],
    state: os.stat_result,
    wanted: Tuple[int, str, int],
    known: Any,
    large: Optional[Large],
) -> bool:
    mode, object_id, size = wanted
    if known is None or known[0] != mode or known[1] != object_id:
        return False
    if known[2] != _seen(state):
        return False
    if known[3]:
        return True
    if large is not None or state.st_size != size:
        return False
    within, name = place
    hashed = _blob_hash(object_id, size)
    if stat.S_ISLNK(state.st_mode):
        hashed.update(os.readlink(os.fsencode(name), dir_fd=within))
        return bool(hashed.hexdigest() == object_id)
    if not stat.S_ISREG(state.st_mode):
        return False
    with os.fdopen(os.open(name, FILE_FLAGS, dir_fd=within), "rb") as stream:
        for block in iter(lambda: stream.read(CHUNK), b""):
            hashed.update(block)
    return bool(hashed.hexdigest() == object_id)


def _blob_hash(object_id: str, size: int) -> Any:
    hashed = hashlib.sha1() if len(object_id) == 40 else hashlib.sha256()  # noqa: S324 - Git's own ids
    hashed.update(b"blob %d\0" % size)
    return hashed


class _Sources(NamedTuple):
    """What does not come from Git: the contents of pointers by path, files that hold a blob by its id."""

    large: Mapping[str, Large]
    ready: Mapping[str, str]

    def has(self, entry: File) -> bool:
        return entry[0] in self.large or entry[2] in self.ready


def _write(
    work: int,
    missing: Sequence[File],
    git: Union[GitCommand, Blobs],
    sources: _Sources,
    present: Set[str],
    progress: Optional[Callable[[int, int], None]],
) -> Dict[str, Seen]:
    seen = {}  # type: Dict[str, Seen]
    folders = Folders(work)
    try:
        with answers_of(git, [entry[2] for entry in missing if not sources.has(entry)]) as answers:
            for entry in missing:
                path, mode, object_id, size = entry
                head, _, name = path.rpartition("/")
                _make_folders(folders, head, present)
                place = _Place(path, folders.at(head), name)
                if path in sources.large:
                    state = _write_large(place, mode, sources.large[path])
                elif object_id in sources.ready:
                    state = _move(sources.ready[object_id], place, mode)
                else:
                    state = _write_blob(answers, place, entry)
                seen[path] = _seen(state)
                if progress is not None:
                    progress(size, 1)
    finally:
        folders.close()
    return seen


@contextlib.contextmanager
def answers_of(git: Union[GitCommand, Blobs], ids: Sequence[str]) -> Iterator[Any]:
    """The stream that answers for blobs; ``None`` where Git would be asked for nothing."""
    if callable(git):
        with git(ids) as answers:
            yield answers
        return
    with tempfile.TemporaryFile() as requests:
        requests.write("".join(object_id + "\n" for object_id in ids).encode("ascii"))
        requests.seek(0)
        process = _start_reader(git, requests) if ids else None
        try:
            yield process.stdout if process is not None else None
        finally:
            if process is not None:
                process.stdout.close()
                process.kill()
                process.wait()


def _start_reader(git: GitCommand, requests: Any) -> Any:
    command, environment = git
    process = subprocess.Popen(
        [*command, "cat-file", "--batch", "--buffer"],
        stdin=requests,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        import fcntl

        # F_SETPIPE_SZ on Linux: fewer switches between us and Git
        fcntl.fcntl(cast(Any, process.stdout).fileno(), 1031, CHUNK)
    except (ImportError, OSError):
        pass
    return process


def _make_folders(folders: Folders, head: str, present: Set[str]) -> None:
    if head in present:
        return
    above, _, name = head.rpartition("/")
    _make_folders(folders, above, present)
    try:
        os.mkdir(name, dir_fd=folders.at(above))
    except FileExistsError:
        raise PlacingError(_clash(head)) from None
    present.add(head)


def _clash(path: str) -> str:
    return "%r stands in this commit twice, in names that are one on this file system" % (path,)


_Place = NamedTuple("_Place", [("path", str), ("within", int), ("name", str)])
"""Where a file is to be written: its path, for messages, and its folder and name."""


def _write_blob(answers: Any, place: _Place, entry: File) -> os.stat_result:
    path, mode, object_id, size = entry
    header = answers.readline().split()
    if len(header) != 3 or header[1] != b"blob":
        raise BlobError("the object %s of %r is missing from the repository" % (object_id, path))
    if int(header[2]) != size:
        raise BlobError("the object %s of %r has another size than Git said" % (object_id, path))
    hashed = _blob_hash(object_id, size)
    if mode == LINK_MODE:
        content = answers.read(size)
        hashed.update(content)
        _create(lambda: os.symlink(content, os.fsencode(place.name), dir_fd=place.within), path)
        state = os.stat(place.name, dir_fd=place.within, follow_symlinks=False)
    else:
        handle = _create(lambda: _new(place, mode), path)
        try:
            left = size
            while left:
                block = answers.read(min(left, CHUNK))
                if not block:
                    raise BlobError("Git stopped while it gave the object %s of %r" % (object_id, path))
                left -= len(block)
                hashed.update(block)
                _write_all(handle, block)
            state = os.fstat(handle)
        finally:
            os.close(handle)
    answers.read(1)
    if hashed.hexdigest() != object_id:
        raise BlobError("the object %s of %r is damaged: run `git fsck`" % (object_id, path))
    return state


def _new(place: _Place, mode: int) -> int:
    return os.open(place.name, NEW_FLAGS, 0o777 if mode == EXECUTABLE_MODE else 0o666, dir_fd=place.within)


def _create(make: Callable[[], Any], path: str) -> Any:
    try:
        return make()
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise PlacingError(_clash(path)) from None
        raise


def _move(source: str, place: _Place, mode: int) -> os.stat_result:
    try:
        os.stat(place.name, dir_fd=place.within, follow_symlinks=False)
        raise PlacingError(_clash(place.path))
    except FileNotFoundError:
        os.rename(source, place.name, dst_dir_fd=place.within)
    handle = os.open(place.name, FILE_FLAGS, dir_fd=place.within)
    try:
        if os.fstat(handle).st_nlink > 1:
            raise OddError(errno.EMLINK, "it has another name as well", place.path)
        os.fchmod(handle, (0o777 if mode == EXECUTABLE_MODE else 0o666) & ~_mask())
        return os.fstat(handle)
    finally:
        os.close(handle)


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_large(place: _Place, mode: int, large: Large) -> os.stat_result:
    source, sha256, size = large
    hashed = hashlib.sha256()
    handle = _create(lambda: _new(place, mode), place.path)
    try:
        with open(source, "rb") as stream:
            for block in iter(lambda: stream.read(CHUNK), b""):
                hashed.update(block)
                _write_all(handle, block)
        state = os.fstat(handle)
    finally:
        os.close(handle)
    if hashed.hexdigest() != sha256 or state.st_size != size:
        raise BlobError("the Git LFS content of %r is damaged: run `git lfs fsck`" % (place.path,))
    return state


def _write_all(handle: int, block: bytes) -> None:
    written = os.write(handle, block)
    while written < len(block):
        written += os.write(handle, block[written:])


def remove_tree(path: str) -> None:
    """Remove a folder and all below it, never following a link, whatever modes its folders were given."""
    within = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove(os.path.basename(path), within)
    finally:
        os.close(within)
