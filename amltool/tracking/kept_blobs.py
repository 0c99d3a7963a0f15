"""Blobs that a host keeps between placings, as files or in packs of Git; standard library, Python 3.6."""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import tempfile
from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, cast

from .placing import GitCommand, answers_of, remove_tree
from .run_folders import FILE_FLAGS

MOST_PACKS = 20
"""More packs than this become one; each placing that sends something makes at least one."""
OLDEST_GIT = (2, 11)
"""``cat-file --batch --buffer`` came with 2.6; what is older than this is as if there were no Git."""

_FULL_SAID = {
    b"No space left on device": errno.ENOSPC,
    b"Out of diskspace": errno.ENOSPC,  # of Git's own are the words of csum-file.c, and those of config.c
    b"failed to write new configuration file": errno.ENOSPC,
    b"Disk quota exceeded": errno.EDQUOT,
}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
Opener = Callable[[], int]
"""Opens a file for reading; gives its descriptor."""
_PARTIAL = "tmp_"
"""What a file is called that is not whole yet, by Git and by us."""


class NotWhatItSaysError(Exception):
    """What was received is not what its name says, or Git does not take it."""


def blob_hash(object_id: str, size: int) -> Any:
    """What the content of a blob is fed to; its hexdigest is the blob's id (gitformat-loose: ``blob SIZE NUL``)."""
    hashed = hashlib.sha1() if len(object_id) == 40 else hashlib.sha256()  # noqa: S324 - Git's own ids
    hashed.update(b"blob %d\0" % size)
    return hashed


def content_hash(_name: str, _size: int) -> Any:
    """What a file is fed to that is kept under the SHA-256 of its content."""
    return hashlib.sha256()


class BlobFiles:
    """Files under the hash of what they hold: ``ab/cdef…``."""

    def __init__(self, folder: str, hash_for: Callable[[str, int], Any]) -> None:
        self.folder = folder
        self._hash_for = hash_for

    def path(self, name: str) -> str:
        """Where a file of this name lies, if it is here."""
        return os.path.join(self.folder, name[:2], name[2:])

    def opener(self, name: str) -> Opener:
        """What opens the file of this name."""
        return lambda: os.open(self.path(name), FILE_FLAGS)

    def present(self, names: Iterable[str]) -> Set[str]:
        """Which of these are here."""
        return {name for name in names if os.path.isfile(self.path(name))}

    def receive(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        """Take a file in; it has its name once it is whole and its hash is right.

        Raises:
            NotWhatItSaysError: its hash is another.
            OSError: the disk is full.
        """
        place = self.path(name)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        beside = os.path.join(self.folder, "%s%s" % (_PARTIAL, os.urandom(8).hex()))
        hashed = self._hash_for(name, size)
        try:
            with os.fdopen(os.open(beside, _NEW, 0o600), "wb", buffering=0) as stream:
                for block in blocks:
                    hashed.update(block)
                    view = memoryview(block)
                    while view:
                        view = view[stream.write(view) :]
            if hashed.hexdigest() != name:
                raise NotWhatItSaysError("%s came as %s" % (name, hashed.hexdigest()))
            os.rename(beside, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise

    def remove_partial(self) -> None:
        """Remove what was cut short; only while nobody else receives."""
        _remove(self.folder, _partial(self.folder))

    def keep_only(self, names: Set[str]) -> None:
        """Remove all but these; only while nobody else uses what is here."""
        self.remove_partial()
        for start in names_in(self.folder):
            folder = os.path.join(self.folder, start)
            _remove(folder, [rest for rest in names_in(folder) if start + rest not in names])


@contextlib.contextmanager
def answers_from(files: Mapping[str, Opener], names: Sequence[str], git: GitCommand) -> Iterator[Any]:
    """What `placing.place` reads blobs from: what opens a file, and Git for those of which there is none."""
    with answers_of(git, [name for name in names if name not in files]) as elsewhere:
        answers = _Answers((files.get(name) for name in names), elsewhere)
        try:
            yield answers
        finally:
            answers.close()


class _Answers:
    """Files, one after the other, in the form of ``git cat-file --batch``; for no file, what that says itself."""

    def __init__(self, openers: Iterator[Optional[Opener]], elsewhere: Any) -> None:
        self._openers = openers
        self._elsewhere = elsewhere
        self._file: Any = None

    def readline(self) -> bytes:
        self.close()
        opener = next(self._openers)
        if opener is None:
            return cast(bytes, self._elsewhere.readline())
        self._file = os.fdopen(opener(), "rb", buffering=0)
        return b"- blob %d\n" % os.fstat(self._file.fileno()).st_size

    def read(self, size: int) -> bytes:
        if self._file is None:
            return cast(bytes, self._elsewhere.read(size))
        return cast(bytes, self._file.read(size)) or b"\n"

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


class PackedBlobs:
    """A bare repository that holds packs of blobs and not one ref."""

    def __init__(self, folder: str, digits: int) -> None:
        self.folder = folder
        self._digits = digits
        self._packs = os.path.join(folder, "objects", "pack")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment["LC_ALL"] = "C"
        # What a power cut takes is found damaged and sent again, so nothing has to wait for the disk (git 2.36 on).
        self.command: GitCommand = (["git", "-c", "core.fsync=none", "--git-dir=" + folder], environment)

    def make(self) -> None:
        """Make the repository where there is none, whole or not at all."""
        if os.path.isdir(self._packs):
            return
        beside = tempfile.mkdtemp(prefix=_PARTIAL, dir=os.path.dirname(self.folder))
        try:
            made = ["init", "-q", "--bare", "--template="]
            if self._digits != 40:
                made.append("--object-format=sha256")
            self._run([*made, beside])
            os.makedirs(os.path.join(beside, "objects", "pack"), exist_ok=True)
            with contextlib.suppress(FileExistsError, OSError):  # somebody else was faster
                os.rename(beside, self.folder)
        finally:
            if os.path.isdir(beside):
                remove_tree(beside)

    def present(self, ids: Iterable[str]) -> Set[str]:
        """Which of these are here."""
        asked = "".join(object_id + "\n" for object_id in ids).encode("ascii")
        if not asked:
            return set()
        said = self._run(["cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer"], asked)
        return {line[:-5] for line in said.decode("ascii").splitlines() if line.endswith(" blob")}

    def receive(self, blocks: Iterable[bytes]) -> None:
        """Take a pack in; what it is a difference to has to be here.

        Raises:
            NotWhatItSaysError: Git does not take it.
            OSError: the disk is full.
        """
        with tempfile.TemporaryFile() as errors:
            process = self._start(["index-pack", "--stdin", "--fix-thin", "--strict"], errors)
            stdin = cast(Any, process.stdin)
            try:
                with contextlib.suppress(BrokenPipeError):  # Git gave up, and says why
                    for block in blocks:
                        stdin.write(block)
                with contextlib.suppress(BrokenPipeError):
                    stdin.close()
                process.stdout.read()
                process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
            errors.seek(0)
            self._require(process.returncode, errors.read())

    def remove_partial(self) -> None:
        """Remove what was cut short; only while nobody else receives."""
        _remove(self._packs, _partial(self._packs))

    def is_long(self, enough: int) -> bool:
        """Whether what is here is better packed anew: too many packs, or more than ``enough`` bytes."""
        packs = [name for name in names_in(self._packs) if name.endswith(".pack")]
        size = sum(os.path.getsize(os.path.join(self._packs, name)) for name in packs)
        return len(packs) > MOST_PACKS or size > enough

    def keep_only(self, ids: Set[str]) -> None:
        """Bring these into one pack and remove the rest; only while nobody else uses what is here."""
        self.remove_partial()
        before = names_in(self._packs)
        asked = "".join(object_id + "\n" for object_id in sorted(self.present(ids))).encode("ascii")
        packing = ["pack-objects", "-q", "--window=0", "--delta-base-offset", os.path.join(self._packs, "pack")]
        made = ["pack-" + name for name in self._run(packing, asked).decode("ascii").split()] if asked else []
        _remove(self._packs, [old for old in before if os.path.splitext(old)[0] not in made])

    def _run(self, arguments: List[str], given: bytes = b"") -> bytes:
        with tempfile.TemporaryFile() as errors:
            process = self._start(arguments, errors)
            said, _ = process.communicate(given)
            errors.seek(0)
            self._require(process.returncode, errors.read())
        return cast(bytes, said)

    def _require(self, exit_code: int, said: bytes) -> None:
        if exit_code == 0:
            return
        for words, number in _FULL_SAID.items():
            if words in said:
                raise OSError(number, os.strerror(number), self.folder)
        if not os.path.isdir(os.path.dirname(self.folder)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.folder)
        raise NotWhatItSaysError(said.decode("utf-8", "replace").strip()[-500:] or "git ended with %d" % exit_code)

    def _start(self, arguments: List[str], errors: Any) -> Any:
        command, environment = self.command
        prefix = command[:1] if arguments[0] == "init" else command
        return subprocess.Popen(
            [*prefix, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        )


def git_version() -> Optional[Tuple[int, ...]]:
    """The version of Git on this machine; ``None`` where there is none that works."""
    if shutil.which("git") is None:
        return None
    try:
        said = subprocess.check_output(["git", "version"], stderr=subprocess.DEVNULL).split()
        return tuple(int(part) for part in said[2].split(b".")[:2])
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        return None


def names_in(folder: str) -> List[str]:
    """The names in a folder, sorted; none where there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _partial(folder: str) -> List[str]:
    return [name for name in names_in(folder) if name.startswith(_PARTIAL)]


def _remove(folder: str, names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
