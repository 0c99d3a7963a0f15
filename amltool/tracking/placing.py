"""Write the files of a snapshot into a folder from Git's blobs, every byte checked; standard library, Python 3.6.

A folder that an earlier run left is brought to the next snapshot by writing only what differs. What is kept was
verified: its stat data (change time included, which no program can set) is that of the moment it was written, as Git's
own index does it; a file changed in the same clock tick is read again (Git calls it racily clean).
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
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
    cast,
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


class PlacingError(Exception):
    """The snapshot cannot be placed; says why."""


class BlobError(PlacingError):
    """A blob is missing where it should lie, or is not what its id says."""


def place(
    work: str,
    placed: str,
    files: Sequence[File],
    git: Union[GitCommand, Blobs],
    large_files: Optional[Mapping[str, Large]] = None,
    progress: Optional[Callable[[int, int], None]] = None,
    ready: Optional[Mapping[str, str]] = None,
) -> Tuple[int, int]:
    """Make ``work`` hold exactly ``files`` and note in the file ``placed`` what was written.

    ``files`` is a sequence of (path, mode, blob id, size in bytes); ``git`` a pair of (command line prefix up to the
    word ``git`` and its options, environment), or what answers in Git's place. ``large_files`` maps a path to (file,
    sha256, size) where the content of a Git LFS pointer lies. ``progress`` is called with the bytes and files written
    since the last call. ``ready`` maps a blob id to a file on the same file system that was seen to hold just that: it
    is moved into its place, not copied. Returns (files written, bytes written).

    Raises:
        PlacingError: an object is missing or is not what its id says, or two names clash on this file system.
        OSError: the disk is full, or a name is too long for it.
    """
    wanted = {path: (mode, object_id, size) for path, mode, object_id, size in files}
    kept, folders = _begin(work, placed, wanted, large_files or {})
    missing = [entry for entry in files if entry[0] not in kept]
    written = _write(work, missing, git, _Sources(large_files or {}, ready or {}), folders, progress)
    kept.update(written)
    _write_placed(placed, wanted, kept)
    return len(missing), sum(entry[3] for entry in missing)


def keep(work: str, placed: str, files: Sequence[File], large_files: Optional[Mapping[str, Large]] = None) -> Set[str]:
    """Clear away what does not belong; give the paths of ``files`` that are right already. Noted, as by `place`.

    Raises:
        OSError: something in the way cannot be removed.
    """
    wanted = {path: (mode, object_id, size) for path, mode, object_id, size in files}
    kept, _ = _begin(work, placed, wanted, large_files or {})
    _write_placed(placed, {path: wanted[path] for path in kept}, kept)
    return set(kept)


def _begin(
    work: str, placed: str, wanted: Wanted, large_files: Mapping[str, Large]
) -> Tuple[Dict[str, Seen], Set[str]]:
    os.makedirs(work, exist_ok=True)
    known = _read_placed(placed)
    if os.path.lexists(placed):
        os.unlink(placed)
    return _keep(work, wanted, known, large_files)


def _read_placed(placed: str) -> Known:
    try:
        with open(placed, "rb") as stream:
            state = os.fstat(stream.fileno())
            content = json.loads(stream.read().decode("utf-8"))
        if content.get("v") != 1:
            return {}
        tick = content["tick"]
        # The tick is the change time of a file made after the last one was written: what has an older
        # change time was not touched since, what has the same one may have been.
        if tick > state.st_ctime_ns:
            return {}
        return {
            path: (mode, object_id, tuple(seen), seen[1] < tick) for path, mode, object_id, seen in content["files"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def untouched(work: str, placed: str) -> Dict[str, str]:
    """Blob id -> file, of what lies as it was placed by all that its stat data says; links are not among them."""
    found = {}
    for path, (mode, object_id, seen, _) in _read_placed(placed).items():
        full = os.path.join(work, path)
        try:
            if mode != LINK_MODE and _seen(os.lstat(full)) == seen and os.access(full, os.R_OK):
                found[object_id] = full
        except OSError:
            continue
    return found


def _write_placed(placed: str, wanted: Wanted, kept: Mapping[str, Seen]) -> None:
    beside = placed + ".tmp"
    with open(beside, "wb") as stream:
        tick = os.fstat(stream.fileno()).st_ctime_ns
        files = [[path, mode, object_id, kept[path]] for path, (mode, object_id, _) in wanted.items()]
        stream.write(json.dumps({"v": 1, "tick": tick, "files": files}, separators=(",", ":")).encode("ascii"))
    os.rename(beside, placed)


def _seen(state: os.stat_result) -> Seen:
    """What shows that nobody touched a file: size, change and modification time in ns, inode, mode."""
    return (state.st_size, state.st_ctime_ns, state.st_mtime_ns, state.st_ino, state.st_mode)


def _keep(
    work: str, wanted: Wanted, known: Known, large_files: Mapping[str, Large]
) -> Tuple[Dict[str, Seen], Set[str]]:
    """Remove what does not belong; give the paths that are right already with their stat data, and the folders."""
    kept = {}  # type: Dict[str, Seen]
    needed = {""}
    for path in wanted:
        head = path.rpartition("/")[0]
        while head not in needed:
            needed.add(head)
            head = head.rpartition("/")[0]
    folders = {""}
    pending = [""]
    while pending:
        folder = pending.pop()
        full = os.path.join(work, folder) if folder else work
        for entry in _entries(full):
            path = folder + "/" + entry.name if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if path in needed:
                    if entry.stat(follow_symlinks=False).st_mode & 0o700 != 0o700:
                        os.chmod(entry.path, 0o700)
                    folders.add(path)
                    pending.append(path)
                else:
                    remove_tree(entry.path)
                continue
            state = entry.stat(follow_symlinks=False)
            if path in wanted and _is_right(entry.path, state, wanted[path], known.get(path), large_files.get(path)):
                kept[path] = _seen(state)
            else:
                _with_access(full, os.unlink, entry.path)
    return kept, folders


def _is_right(
    path: str, state: os.stat_result, wanted: Tuple[int, str, int], known: Any, large: Optional[Large]
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
    hashed = _blob_hash(object_id, size)
    if stat.S_ISLNK(state.st_mode):
        hashed.update(os.readlink(os.fsencode(path)))
        return bool(hashed.hexdigest() == object_id)
    if not stat.S_ISREG(state.st_mode):
        return False
    with open(path, "rb") as stream:
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
    work: str,
    missing: Sequence[File],
    git: Union[GitCommand, Blobs],
    sources: _Sources,
    folders: Set[str],
    progress: Optional[Callable[[int, int], None]],
) -> Dict[str, Seen]:
    seen = {}  # type: Dict[str, Seen]
    with answers_of(git, [entry[2] for entry in missing if not sources.has(entry)]) as answers:
        for path, mode, object_id, size in missing:
            _make_folders(work, path, folders)
            if path in sources.large:
                state = _write_large(work, path, mode, sources.large[path])
            elif object_id in sources.ready:
                state = _move(sources.ready[object_id], work, path, mode)
            else:
                state = _write_blob(answers, work, path, mode, object_id, size)
            seen[path] = _seen(state)
            if progress is not None:
                progress(size, 1)
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


def _make_folders(work: str, path: str, folders: Set[str]) -> None:
    head = path.rpartition("/")[0]
    if head in folders:
        return
    _make_folders(work, head, folders)
    try:
        os.mkdir(os.path.join(work, head))
    except FileExistsError:
        raise PlacingError(_clash(head)) from None
    folders.add(head)


def _clash(path: str) -> str:
    return "%r stands in this commit twice, in names that are one on this file system" % (path,)


def _write_blob(answers: Any, work: str, path: str, mode: int, object_id: str, size: int) -> os.stat_result:
    header = answers.readline().split()
    if len(header) != 3 or header[1] != b"blob":
        raise BlobError("the object %s of %r is missing from the repository" % (object_id, path))
    if int(header[2]) != size:
        raise BlobError("the object %s of %r has another size than Git said" % (object_id, path))
    hashed = _blob_hash(object_id, size)
    full = os.path.join(work, path)
    if mode == LINK_MODE:
        content = answers.read(size)
        hashed.update(content)
        _create(lambda: os.symlink(content, os.fsencode(full)), path)
        state = os.lstat(full)
    else:
        handle = _create(lambda: os.open(full, _NEW, 0o777 if mode == EXECUTABLE_MODE else 0o666), path)
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


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


def _create(make: Callable[[], Any], path: str) -> Any:
    try:
        return make()
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise PlacingError(_clash(path)) from None
        raise


def _move(source: str, work: str, path: str, mode: int) -> os.stat_result:
    full = os.path.join(work, path)
    if os.path.lexists(full):
        raise PlacingError(_clash(path))
    os.rename(source, full)
    os.chmod(full, (0o777 if mode == EXECUTABLE_MODE else 0o666) & ~_mask())
    return os.lstat(full)


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_large(work: str, path: str, mode: int, large: Large) -> os.stat_result:
    place, sha256, size = large
    full = os.path.join(work, path)
    hashed = hashlib.sha256()
    handle = _create(lambda: os.open(full, _NEW, 0o777 if mode == EXECUTABLE_MODE else 0o666), path)
    try:
        with open(place, "rb") as stream:
            for block in iter(lambda: stream.read(CHUNK), b""):
                hashed.update(block)
                _write_all(handle, block)
        state = os.fstat(handle)
    finally:
        os.close(handle)
    if hashed.hexdigest() != sha256 or state.st_size != size:
        raise BlobError("the Git LFS content of %r is damaged: run `git lfs fsck`" % (path,))
    return state


def _write_all(handle: int, block: bytes) -> None:
    written = os.write(handle, block)
    while written < len(block):
        written += os.write(handle, block[written:])


def remove_tree(path: str) -> None:
    """Remove a folder and all below it, never following a link, whatever modes its folders were given."""
    pending = [path]
    folders = []
    while pending:
        folder = pending.pop()
        folders.append(folder)
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            else:
                _with_access(folder, os.unlink, entry.path)
    for folder in reversed(folders):
        _with_access(os.path.dirname(folder), os.rmdir, folder)


def _entries(folder: str) -> List[Any]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:
        os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        return list(entries)


def _with_access(folder: str, action: Callable[[str], Any], path: str) -> None:
    try:
        action(path)
    except PermissionError:
        os.chmod(folder, 0o700)
        action(path)
