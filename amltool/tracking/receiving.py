"""Places a snapshot on the machine it runs on, asking the other end only for what is not here; Python 3.6.

It talks over its standard input and output, in the form of ``framing``. First it is told what the folder is to hold; it
answers what it lacks, is sent that, and answers how it ended. What was received stays when the stream is cut: the next
attempt is asked for the rest. The folder is written only when all is here, by `placing`, every byte checked.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import select
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .framing import CutError, Read, message, read_contents, read_message
from .kept_blobs import NotWhatItSaysError
from .kept_objects import KeptObjects
from .lock_holder import HeldError, wait_for
from .placing import BlobError, File, Large, Placed, PlacingError, keep, place
from .run_folders import (
    MARKS,
    OddError,
    Opened,
    Root,
    Taken,
    make_folders,
    open_run,
    renew_work,
    require_in_place,
)

SET_PIPE_SIZE, PIPE_SIZE = 1031, 1 << 20
"""F_SETPIPE_SZ of Linux: what sshd writes in small pieces is read in large ones: fewer switches."""
IDLE_S = 60.0
"""Who says nothing for so long is gone, and the connection does not know it yet."""

INCOMING, ATTEMPT = "incoming", "placing.attempt"
"""Names beside a run's marks: what came of its snapshot, and which attempt to place it is the newest."""

Request = NamedTuple(
    "Request",
    [
        ("root", str),
        ("run", str),
        ("objects", str),  # the cache
        ("tree", str),
        ("files", Sequence[File]),
        ("large", Mapping[str, Sequence[Any]]),  # path -> SHA-256, size
        ("take", Optional[Taken]),  # a released folder to take over
        ("folders", Sequence[str]),  # to make below `work` when all is placed
        ("attempt", int),  # from 0
    ],
)


class OvertakenError(Exception):
    """Another attempt to place the same run began after this one."""


def receive(read: Read, write: Any) -> None:
    """Serve one placing; whatever goes wrong is said to the other end."""
    try:
        request = Request(**read_message(read))
        kept = KeptObjects(request.objects, len(request.tree))
        with kept.in_use() as lock:
            try:
                _serve(request, kept, read, write)
            except (BlobError, FileNotFoundError, FileExistsError) as error:
                if isinstance(error, OSError) and not _is_of_what_lay_here(error, request):
                    raise
                if request.attempt:  # not only because somebody threw it away, or a run changed its files, meanwhile
                    kept.discard()
                write(message({"again": str(error)}))
                return
            _tidy_apart(request, kept, lock)
    except OvertakenError:
        write(message({"overtaken": True}))
    except (PlacingError, NotWhatItSaysError, HeldError) as error:
        write(message({"refused": str(error)}))
    except OSError as error:
        place_of_it = error.filename if isinstance(error.filename, str) else ""
        name = errno.errorcode.get(error.errno or 0, "EIO")  # numbers differ between systems
        write(message({"errno": name, "strerror": error.strerror or str(error), "path": place_of_it}))


def _is_of_what_lay_here(error: OSError, request: Request) -> bool:
    """Return True if what was to be read is gone: by its path in the cache, or its name in the folder of a run."""
    name = str(error.filename)
    return name.startswith(request.objects) or "/" not in name


def _serve(request: Request, kept: KeptObjects, read: Read, write: Any) -> None:
    files: List[Any] = [tuple(file) for file in request.files]
    if tree_id(files) != request.tree:
        raise PlacingError("the list of its files is not that of the tree " + request.tree)
    large: Dict[str, Large] = {
        path: (kept.large.path(sha256), sha256, size) for path, (sha256, size) in request.large.items()
    }
    with Root(request.root) as root:
        with _held(root, request):
            attempt = _begin(request, root)
            opened = open_run(root, request.run, request.take)
            try:
                right = keep(opened.work, opened.placed, files, large)
            except OddError:
                opened, right = renew_work(root, request.run, opened), set()
        kept.take_large_in(os.path.join(request.root, MARKS, request.run, INCOMING))
        lacking = _lacking(request, kept, root, large, right)
        write(message(lacking))
        if lacking["blobs"] or lacking["large"]:
            _take_in(kept, read)
        with _held(root, request):
            _require_newest(request, root, attempt)
            placed = place(opened.work, opened.placed, files, kept.answers, large, ready=kept.ready(files))
            _finish(request, root, opened)
        write(message(_answer(placed, opened, root)))


def _finish(request: Request, root: Root, opened: Opened) -> None:
    taken_name = make_folders(opened.work, request.folders)
    if taken_name is not None:
        raise PlacingError("it holds a file named %s, where the run needs a folder" % taken_name)
    require_in_place(root, request.run, opened)
    for name in (ATTEMPT, INCOMING):
        root.mark(request.run, name).remove()


def _answer(placed: Placed, opened: Opened, root: Root) -> Dict[str, Any]:
    inode = os.fstat(opened.work).st_ino
    return {
        "files": placed.files,
        "bytes": placed.bytes,
        "placed": placed.digest,
        "inode": inode,
        "asides": root.asides,
    }


def _lacking(
    request: Request, kept: KeptObjects, root: Root, large: Mapping[str, Large], right: Set[str]
) -> Dict[str, Any]:
    """What has to be sent: numbers of files (the first with each blob), what is here of them that may be like them."""
    files = request.files
    first: Dict[str, int] = {}
    for number, (path, _, object_id, _) in enumerate(files):
        if path not in right and path not in large:
            first.setdefault(object_id, number)
    present = kept.present(first)
    if len(present) < len(first) and not request.attempt:  # what is not what it says there is not asked twice
        present |= kept.look_in_runs(root, set(first) - present)
    numbers = [number for object_id, number in first.items() if object_id not in present]
    names = {large[path][1] for path in large if path not in right}
    earlier = kept.earlier(files[number][0] for number in numbers) if numbers else {}
    return {
        "git": kept.has_git,
        "blobs": numbers,
        "earlier": {number: earlier[files[number][0]] for number in numbers if files[number][0] in earlier},
        "large": sorted(names - kept.large.present(names)),
    }


def _take_in(kept: KeptObjects, read: Read) -> None:
    part = read_message(read)
    while not part.get("end"):
        contents = read_contents(read)
        if "pack" in part:
            kept.packs.receive(contents)
        elif "blob" in part:
            kept.receive(part["blob"], part["size"], contents)
        else:
            kept.large.receive(part["large"], part["size"], contents)
        part = read_message(read)


def tree_id(files: Sequence[File]) -> str:
    """The id Git gives to a tree of these files (gitformat: by name, folders as if they ended in a slash)."""
    root: Dict[bytes, Any] = {}
    algorithm = "sha256" if files and len(files[0][2]) == 64 else "sha1"
    for path, mode, object_id, _ in files:
        parts = path.encode("utf-8", "surrogateescape").split(b"/")
        level = root
        for part in parts[:-1]:
            level = level.setdefault(part, {})
        level[parts[-1]] = b"%o %s\0" % (mode, parts[-1]) + bytes.fromhex(object_id)
    return _folder_id(root, algorithm).hex()


def _folder_id(level: Dict[bytes, Any], algorithm: str) -> bytes:
    entries: List[Tuple[bytes, bytes]] = []
    for name, item in level.items():
        if isinstance(item, dict):
            entries.append((name + b"/", b"40000 " + name + b"\0" + _folder_id(item, algorithm)))
        else:
            entries.append((name, item))
    body = b"".join(entry for _, entry in sorted(entries))
    return hashlib.new(algorithm, b"tree %d\0" % len(body) + body).digest()


@contextlib.contextmanager
def _held(root: Root, request: Request) -> Iterator[None]:
    """One of us at a time works on a run's folder."""
    handle = root.own(request.run, root.marks)
    try:
        # a file system without locks: then the attempt's own name has to do
        wait_for(handle, fcntl.LOCK_EX, os.path.join(request.root, MARKS, request.run), "the run's folder")
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)


def _begin(request: Request, root: Root) -> bytes:
    """Leave the name of this attempt; a later one replaces it, and a run that was started is never touched again."""
    folder = root.own(request.run, root.runs)
    with contextlib.suppress(FileNotFoundError):
        os.stat("start.json", dir_fd=folder, follow_symlinks=False)
        raise PlacingError("the run was started already")
    attempt = os.urandom(16).hex().encode("ascii")
    root.mark(request.run, ATTEMPT).write(attempt)
    return attempt


def _require_newest(request: Request, root: Root, attempt: bytes) -> None:
    if root.read_mark(request.run, ATTEMPT) != attempt:
        raise OvertakenError


def _tidy_apart(request: Request, kept: KeptObjects, lock: int) -> None:
    """Nobody waits for the tidying: it goes on in a process of its own, which keeps the lock."""
    if os.fork():
        return
    try:
        os.setsid()
        os.nice(10)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        kept.note(request.tree, request.files, request.large)
        kept.tidy(lock)
    finally:
        os._exit(0)


def _read(size: int) -> bytes:
    if not select.select([0], [], [], IDLE_S)[0]:
        raise CutError("nothing was said for %d s" % IDLE_S)
    return os.read(0, size)


def _write(content: bytes) -> None:
    while content:
        content = content[os.write(1, content) :]


def main() -> int:
    """0 when the other end was told how it ended."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(0, SET_PIPE_SIZE, PIPE_SIZE)
    try:
        receive(_read, _write)
    except (CutError, BrokenPipeError):
        return 1
    return 0
