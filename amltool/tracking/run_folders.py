"""The folders of runs on their host, and the marks that tell what they are, reached by descriptors alone.

    ROOT/runs/RUN    what the run sees and may change
    ROOT/marks/RUN   what decides about it: what was placed, whether it is released; no run is shown it

Once a run began no name in its folder is followed, nor its own name, nor ``runs``: each is opened from the folder above
it, and must be a folder, of the same owner, on the same disk. One that is not is set aside under another name, and
`Root.asides` says so. Alone it serves as a program on another machine: standard library, Python 3.6.
"""

import contextlib
import errno
import hashlib
import os
import stat
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

RUNS, MARKS, WORK, PLACED = "runs", "marks", "work", "placed.json"
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
SET_ASIDE = ".set-aside-"
LARGEST_MARK = 1 << 16
LARGEST_PLACED = 1 << 28
"""In bytes; a list of a million files is half of it."""
ENOUGH_OPEN = 64
"""Folders that are kept open on the way to one far down; from there on each is opened again."""
_NOT_ODD = frozenset(
    [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR]
)

Taken = Mapping[str, Any]
"""A released folder that may be taken over, as its client knows it: ``run``, ``placed`` (the SHA-256 of what was noted
when it was placed), ``inode`` of its ``work``."""


class OddError(OSError):
    """Something is not what amltool made there: a link, a file, a folder of another owner or on another disk."""


def is_odd(error: OSError) -> bool:
    """Return True if an error is the folder's own fault, and not that of a full or failing disk or of too few means."""
    return error.errno not in _NOT_ODD


def open_folder(name: str, within: int, any_owner: bool = False) -> int:
    """Open a folder by its name in another one; what keeps its owner out is mended.

    Raises:
        FileNotFoundError: nothing has the name.
        OddError: it is no folder of the same owner on the same disk.
    """
    try:
        handle = os.open(name, FOLDER_FLAGS, dir_fd=within)
    except PermissionError:
        handle = _opened_up(name, within)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise (OddError(error.errno, "not a folder", name) if is_odd(error) else error) from None
    try:
        found, above = os.fstat(handle), os.fstat(within)
        if found.st_dev != above.st_dev or not (any_owner or found.st_uid in (os.geteuid(), above.st_uid)):
            raise OddError(errno.EXDEV, "of another owner or on another disk", name)
        if found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(handle, stat.S_IRWXU)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _opened_up(name: str, within: int) -> int:
    """Open a folder whose mode keeps us out; ``chmod`` by name would follow a link that takes its place just now."""
    try:
        if not hasattr(os, "O_PATH"):
            os.chmod(name, stat.S_IRWXU, dir_fd=within, follow_symlinks=False)
            return os.open(name, FOLDER_FLAGS, dir_fd=within)
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
        try:
            same = "/proc/self/fd/%d" % handle
            os.chmod(same, stat.S_IRWXU)
            return os.open(same, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(handle)
    except OSError as error:
        raise (OddError(error.errno, "its mode cannot be mended", name) if is_odd(error) else error) from None


def make_folder(name: str, within: int) -> int:
    """Open a folder, made where there is none. Raises OddError as `open_folder`."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=within)
    return open_folder(name, within)


def set_aside(name: str, within: int, into: Optional[int] = None, called: str = "") -> str:
    """Give what lies there another name, beside its own or in another folder; gives that."""
    aside = "%s%s%s" % (called or name, SET_ASIDE, os.urandom(4).hex())
    os.rename(name, aside, src_dir_fd=within, dst_dir_fd=within if into is None else into)
    return aside


def remove(name: str, within: int) -> None:
    """Remove a file or a whole tree by its name in a folder, whatever its modes and depth; none is fine.

    Raises:
        OSError: something in it is not ours to remove, or another disk is mounted there.
    """
    if _unlinked(name, within):
        return
    top = open_folder(name, within, any_owner=True)
    try:
        empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=within)


def empty(top: int) -> None:
    """Remove all that is below a folder. Folders move up to it first: no depth is too deep, no path too long."""
    token, moved = os.urandom(8).hex(), 0
    names = os.listdir(top)
    while names:
        for name in names:
            if _unlinked(name, top):
                continue
            folder = open_folder(name, top, any_owner=True)
            try:
                for below in os.listdir(folder):
                    if _unlinked(below, folder):
                        continue
                    os.close(open_folder(below, folder, any_owner=True))  # it has to be ours to change, to be moved
                    moved += 1
                    os.rename(below, ".%s.%d" % (token, moved), src_dir_fd=folder, dst_dir_fd=top)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
        names = os.listdir(top)


def _unlinked(name: str, within: int) -> bool:
    """Remove what is no folder; gives False for one. Asking first what it is would cost as much again."""
    try:
        os.unlink(name, dir_fd=within)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):  # of a folder: Linux, others
            raise
        return False
    return True


def read_file(name: str, within: Optional[int], limit: int) -> Tuple[bytes, os.stat_result]:
    """Read a regular file whole, by its name in a folder, or by its path alone.

    Raises:
        FileNotFoundError: there is none.
        OddError: it is none, or longer than ``limit`` bytes.
    """
    try:
        handle = os.open(name, FILE_FLAGS, dir_fd=within)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise (OddError(error.errno, "not a file", name) if is_odd(error) else error) from None
    with os.fdopen(handle, "rb") as stream:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > limit:
            raise OddError(errno.EINVAL, "no file of at most %d bytes" % limit, name)
        return stream.read(limit + 1)[:limit], state


class Mark:
    """A file beside others of ours, read and written whole, never through a link."""

    def __init__(self, within: int, name: str) -> None:
        self._within, self._name = within, name

    def read(self, limit: int = LARGEST_MARK) -> Optional[Tuple[bytes, int]]:
        """Its content and its change time in ns; ``None`` where there is no such file."""
        try:
            content, state = read_file(self._name, self._within, limit)
        except (FileNotFoundError, OddError):
            return None
        return content, state.st_ctime_ns

    @contextlib.contextmanager
    def writing(self, mode: int = 0o644) -> Iterator[Any]:
        """A stream whose content is there, whole, when the block ends."""
        beside = ".%s.%s" % (self._name, os.urandom(4).hex())
        try:
            with os.fdopen(os.open(beside, NEW_FLAGS, mode, dir_fd=self._within), "wb") as stream:
                yield stream
            try:
                self._take_name(beside)
            except OSError as error:
                if error.errno != errno.EISDIR:
                    raise
                self.remove()
                self._take_name(beside)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=self._within)
            raise

    def _take_name(self, beside: str) -> None:
        os.rename(beside, self._name, src_dir_fd=self._within, dst_dir_fd=self._within)

    def write(self, content: bytes) -> None:
        with self.writing() as stream:
            stream.write(content)

    def remove(self) -> None:
        remove(self._name, self._within)


def _open_top(path: str) -> int:
    """Open the root; a mode that keeps its owner out is mended, as that of the folders in it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        top = os.open(path, flags)
    except PermissionError:
        if os.stat(path).st_uid != os.geteuid():
            raise
        os.chmod(path, stat.S_IRWXU)
        top = os.open(path, flags)
    state = os.fstat(top)
    if state.st_mode & stat.S_IRWXU != stat.S_IRWXU and state.st_uid == os.geteuid():
        with contextlib.suppress(OSError):
            os.fchmod(top, stat.S_IRWXU | stat.S_IMODE(state.st_mode))
    return top


class Root:
    """amltool's own folder on a host, opened; its path may be a link that the user made. Closes all it opened."""

    def __init__(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)
        self._open = contextlib.ExitStack()
        self._top = self.keep(_open_top(path))
        self._named: Dict[str, int] = {}
        self.asides: List[str] = []

    def __enter__(self) -> "Root":
        return self

    def __exit__(self, *_: Any) -> None:
        self._open.close()

    def keep(self, handle: int) -> int:
        """Close a descriptor with the rest."""
        self._open.callback(os.close, handle)
        return handle

    def own(self, name: str, within: Optional[int] = None) -> int:
        """A folder of ours: made where there is none; something else in its place is set aside."""
        above = self._top if within is None else within
        try:
            return self.keep(make_folder(name, above))
        except OddError:
            self.asides.append(set_aside(name, above))
            return self.keep(make_folder(name, above))

    def unbegun(self, run_id: str) -> int:
        """The folder of a run that did not begin, in which a snapshot may lie already: it is never set aside.

        Raises:
            OddError: it, or ``runs`` around it, is not what amltool made there.
        """
        try:
            os.stat(RUNS + "/" + run_id, dir_fd=self._top)
        except OSError:
            return self.keep(make_folder(run_id, self.runs))
        return self.keep(open_folder(run_id, self.keep(open_folder(RUNS, self._top))))

    def mend(self, names: Sequence[str]) -> None:
        """Set aside what took the place of a folder of ours, and mend the mode of one; none is fine."""
        for name in names:
            if _is_there(name, self._top):
                self.own(name)

    @property
    def runs(self) -> int:
        return self._once(RUNS)

    @property
    def marks(self) -> int:
        return self._once(MARKS)

    def _once(self, name: str) -> int:
        if name not in self._named:
            self._named[name] = self.own(name)
        return self._named[name]

    def mark(self, run_id: str, name: str) -> Mark:
        """A mark of a run, to be written."""
        return Mark(self.own(run_id, self.marks), name)

    def read_mark(self, run_id: str, name: str, limit: int = LARGEST_MARK) -> Optional[bytes]:
        """The content of a mark; ``None`` where there is none."""
        try:
            folder = open_folder(run_id, self.marks)
        except OSError:
            return None
        try:
            found = Mark(folder, name).read(limit)
        finally:
            os.close(folder)
        return None if found is None else found[0]

    def remove_run(self, run_id: str) -> None:
        """Remove the folder of a run and its marks; none is fine. Raises OSError as `remove`."""
        if "/" in run_id or run_id in ("", ".", ".."):
            raise OddError(errno.EINVAL, "not the name of a run", run_id)
        remove(run_id, self.runs)
        remove(run_id, self.marks)

    def remove_at(self, path: str) -> None:
        """Remove a run (``runs/RUN``) with its marks, or what was set aside. Raises OSError as `remove`."""
        above, _, name = path.rpartition("/")
        if SET_ASIDE not in name:
            self.remove_run(name)
        elif above in (RUNS, MARKS):
            remove(name, self._once(above))
        elif not above:
            remove(name, self._top)

    def discard_run(self, run_id: str) -> None:
        """Remove the folder of a run and its marks; what cannot be removed is set aside."""
        for within in (self.runs, self.marks):
            try:
                remove(run_id, within)
            except OSError as error:
                if not is_odd(error):
                    raise
                self.set_aside(run_id, within)

    def set_aside(self, name: str, within: int) -> None:
        """Give it another name where it is there and that can be had; `asides` says so."""
        with contextlib.suppress(OSError):
            self.asides.append(set_aside(name, within))


Opened = NamedTuple("Opened", [("folder", int), ("work", int), ("placed", Mark)])
"""The folder of a run that did not begin, and its ``work``, as descriptors; what was placed is noted in ``placed``."""


def open_run(root: Root, run_id: str, taken: Optional[Taken] = None) -> Opened:
    """The folder of a run, made where there is none; with the ``work`` of a released run if it is as that was left.

    Raises:
        OSError: the disk is full, or nothing can be made there.
    """
    folder, placed = root.own(run_id, root.runs), root.mark(run_id, PLACED)
    if taken and not _is_there(WORK, folder):
        placed.remove()
        _take_over(root, folder, placed, taken)
    return Opened(folder, root.own(WORK, folder), placed)


def _is_there(name: str, within: int) -> bool:
    try:
        os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _take_over(root: Root, folder: int, placed: Mark, taken: Taken) -> None:
    """Bring the ``work`` of a released run here; the rename claims it: of several who try, one gets it."""
    earlier = str(taken["run"])
    try:
        old = root.keep(open_folder(earlier, root.runs))
        work = root.keep(open_folder(WORK, old))
        noted = root.read_mark(earlier, PLACED, LARGEST_PLACED)
        if os.fstat(work).st_ino != taken["inode"]:
            raise OddError(errno.ESTALE, "another folder", WORK)
        if noted is None or hashlib.sha256(noted).hexdigest() != taken["placed"]:
            raise OddError(errno.ESTALE, "another note", PLACED)
        placed.write(noted)
        os.rename(WORK, WORK, src_dir_fd=old, dst_dir_fd=folder)
        if os.stat(WORK, dir_fd=folder, follow_symlinks=False).st_ino != taken["inode"]:
            root.asides.append(set_aside(WORK, folder, root.runs, earlier))
            placed.remove()
    except OSError as error:
        placed.remove()
        if not is_odd(error):
            raise
        root.set_aside(earlier, root.runs)
    root.discard_run(earlier)


def renew_work(root: Root, run_id: str, opened: Opened) -> Opened:
    """Set the ``work`` of a run aside that cannot be brought in order, and make a fresh one."""
    opened.placed.remove()
    root.asides.append(set_aside(WORK, opened.folder, root.runs, run_id))
    return opened._replace(work=root.own(WORK, opened.folder))


def require_in_place(root: Root, run_id: str, opened: Opened) -> None:
    """See that what was placed lies where the run will look for it.

    Raises:
        OddError: something else has its name by now.
    """
    for name, within, meant in ((run_id, root.runs, opened.folder), (WORK, opened.folder, opened.work)):
        if os.stat(name, dir_fd=within, follow_symlinks=False).st_ino != os.fstat(meant).st_ino:
            raise OddError(errno.ESTALE, "somebody else replaced it while the snapshot was placed", name)


def make_folders(work: int, names: Sequence[str]) -> Optional[str]:
    """Make folders in ``work``; gives the name that something else has."""
    for name in names:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=work)
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=work).st_mode):  # a link of the snapshot's may lead to one
                return name
        except OSError:
            return name
    return None


def run_action(root: str, run_id: str, action: Mapping[str, Any]) -> List[str]:
    """Do what is asked with a run's folder; gives the names of what was set aside.

    ``make``: make the folder of a run that did not begin, with folders of these names in it; ``files``: name -> text,
    files to write in it;
    ``marks``: name -> text, marks to write; ``remove``: runs whose folders and marks go; ``remove_at``: as
    `Root.remove_at`.

    Raises:
        OSError: the disk is full, or something is not ours.
    """
    with Root(root) as opened:
        if "make" in action:
            folder = opened.unbegun(run_id)
            for name in action["make"]:
                opened.keep(make_folder(name, folder))
            for name, text in action.get("files", {}).items():
                Mark(folder, name).write(text.encode("utf-8", "surrogateescape"))
        for name, text in action.get("marks", {}).items():
            opened.mark(run_id, name).write(text.encode("utf-8", "surrogateescape"))
        for each in action.get("remove", ()):
            opened.remove_run(each)
        if "remove_at" in action:
            opened.remove_at(action["remove_at"])
        return opened.asides


class Folders:
    """Descriptors of the folders below one, opened on the way to each; those on the way to the last stay open."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._way: List[Tuple[str, int]] = []
        self._deep: Optional[Tuple[str, int]] = None

    def at(self, path: str) -> int:
        """The folder of a path (``a/b``; empty: the one all are below). It is open until the next is asked for.

        Raises:
            OddError: a link or another thing stands in the way.
        """
        if self._deep is not None:
            if self._deep[0] == path:
                return self._deep[1]
            os.close(self._deep[1])
            self._deep = None
        while self._way and not (path + "/").startswith(self._way[-1][0] + "/"):
            os.close(self._way.pop()[1])
        begun, handle = self._way[-1] if self._way else ("", self._top)
        for name in path[len(begun) :].strip("/").split("/") if path != begun else ():
            below = open_folder(name, handle)
            if self._deep is not None:
                os.close(handle)
                self._deep = None
            begun, handle = begun + "/" + name if begun else name, below
            if len(self._way) < ENOUGH_OPEN:
                self._way.append((begun, handle))
            else:
                self._deep = begun, handle
        return handle

    def close(self) -> None:
        while self._way:
            os.close(self._way.pop()[1])
        if self._deep is not None:
            os.close(self._deep[1])
            self._deep = None
