"""Into a container that shares no folder with its host, and out of it again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from amltool.containers.daemon import DockerDaemon
from amltool.errors import TargetError, UserError
from amltool.files import no_space
from amltool.hosts.base import FileKind, FileOnHost, Host
from amltool.hosts.run_folders import write_mark
from amltool.launchers.container_spec import Owner
from amltool.launchers.unpacking import BLOCK, LONGEST_END, BrokenArchiveError, Unpacking, opened
from amltool.layout import RUN_IN_CONTAINER, RunFolder

_READ = (
    "import sys; stream = open(sys.argv[1], 'rb'); stream.seek(int(sys.argv[2]));"
    "sys.stdout.buffer.write(stream.read(int(sys.argv[3])))"
)
_FOLDER_MODE = 0o755


def folder_archive(host: Host, folder: PurePosixPath, name: str, owner: Owner) -> Iterator[bytes]:
    """A tar archive of a folder of a host, all of it the owner's; links are as they are.

    A file that changes while it is read has the size it had before; one that is no file is left out.
    """
    yield _header(tarfile.TarInfo(name), tarfile.DIRTYPE, owner, _FOLDER_MODE)
    for found in host.walk(folder):
        member = tarfile.TarInfo(f"{name}/{found.path}")
        member.mtime = found.mtime_ns // 1_000_000_000
        mode = stat.S_IMODE(found.mode)
        if found.kind is FileKind.FOLDER:
            yield _header(member, tarfile.DIRTYPE, owner, mode or _FOLDER_MODE)
        elif found.kind is FileKind.LINK:
            member.linkname = _link_text(host, folder / found.path)
            yield _header(member, tarfile.SYMTYPE, owner, 0o777)
        elif found.kind is FileKind.FILE:
            yield from _file(host, folder, found, member, owner)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(
    host: Host, folder: PurePosixPath, found: FileOnHost, member: tarfile.TarInfo, owner: Owner
) -> Iterator[bytes]:
    try:
        with host.open(folder, found.path) as stream:
            member.size = left = found.size
            yield _header(member, tarfile.REGTYPE, owner, stat.S_IMODE(found.mode) or 0o644)
            while left > 0:
                block = stream.read(min(left, BLOCK)) or bytes(min(left, BLOCK))
                left -= len(block)
                yield block
            yield bytes(-found.size % tarfile.BLOCKSIZE)
    except FileNotFoundError:
        return


class Entry(NamedTuple):
    """A file (with content) or a folder (without) that there is no file of on the host; ``name`` from ``/``."""

    name: str
    content: bytes | None
    mode: int
    owner: Owner


def small_entries(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The beginning of a tar archive, to go before `folder_archive`."""
    for name, content, mode, owner in entries:
        member = tarfile.TarInfo(name.lstrip("/"))
        member.size = len(content or b"")
        yield _header(member, tarfile.DIRTYPE if content is None else tarfile.REGTYPE, owner, mode)
        yield (content or b"") + bytes(-member.size % tarfile.BLOCKSIZE)


def _header(member: tarfile.TarInfo, kind: bytes, owner: Owner, mode: int) -> bytes:
    member.type, member.mode, member.uid, member.gid = kind, mode, owner.uid, owner.gid
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _link_text(host: Host, path: PurePosixPath) -> str:
    return os.fsdecode(host.run(["readlink", "-n", str(path)]).stdout)


def read_file(daemon: DockerDaemon, container: str, path: PurePosixPath) -> bytes | None:
    """A small file of a container, running or not; ``None`` where there is no such regular file."""
    pieces = daemon.get(container, str(path))
    if pieces is None:
        return None
    with opened(pieces) as archive:
        member = archive.next()
        stream = archive.extractfile(member) if member is not None and member.isreg() else None
        return stream.read(LONGEST_END) if stream is not None else None


def bring_console(daemon: DockerDaemon, container: str, python: Sequence[str], folder: RunFolder) -> None:
    """Append to the console on this host what the run printed since; nothing when somebody else is about it."""
    with open(folder.console, "ab") as stream:  # noqa: PTH123
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        while True:
            offset = str(stream.seek(0, os.SEEK_END))
            command = [*python, "-I", "-S", "-c", _READ, str(RUN_IN_CONTAINER.console), offset, str(BLOCK)]
            try:
                exit_code, content = daemon.execute(container, command)
            except TargetError:
                raise
            except UserError:  # it is over meanwhile: all of it comes with the rest
                return
            if exit_code != 0 or not content:
                return
            stream.write(content)
            stream.flush()
            if len(content) < BLOCK:
                return


def bring_logs(daemon: DockerDaemon, container: str, folder: RunFolder) -> None:
    """Copy ``logs/`` and the metrics of a container to ``live`` in the run's folder, whole; links are left out.

    Raises:
        UserError: the disk here is full.
        TargetError: the daemon does not answer.
    """
    place = Path(folder.live) / RUN_IN_CONTAINER.logs.name
    with contextlib.suppress(FileNotFoundError):  # the run is recorded by now: the copy is gone, or its whole folder
        for made in (place.parent, place):
            made.mkdir(exist_ok=True)
        pieces = daemon.get(container, str(RUN_IN_CONTAINER.logs))
        if pieces is not None:
            _unpack_logs(pieces, place)
        pieces = daemon.get(container, str(RUN_IN_CONTAINER.metrics))
        if pieces is not None:
            _unpack_file(pieces, place.parent / RUN_IN_CONTAINER.metrics.name)


def _unpack_file(pieces: Iterator[bytes], place: Path) -> None:
    beside = place.with_name(f".{place.name}.{os.urandom(8).hex()}")
    try:
        with opened(pieces) as archive, beside.open("xb") as copy:
            member = archive.next()
            stream = archive.extractfile(member) if member is not None and member.isreg() else None
            if stream is None:
                return
            shutil.copyfileobj(stream, copy, BLOCK)
        beside.replace(place)
    except BrokenArchiveError:  # it grew while it was read: the next time
        return
    except FileNotFoundError:
        raise
    except OSError as error:
        raise no_space(error, str(place)) from error
    finally:
        beside.unlink(missing_ok=True)


def _unpack_logs(pieces: Iterator[bytes], place: Path) -> None:
    unpacking = Unpacking(place, place.name)
    try:
        with opened(pieces) as archive:
            while (member := archive.next()) is not None:
                if member.isreg() or member.isdir():
                    unpacking.take(archive, member)
                archive.members.clear()  # type: ignore[attr-defined]
    except BrokenArchiveError:  # a file became smaller while it was read: the next time
        return
    except OSError as error:
        raise no_space(error, str(place)) from error
    finally:
        unpacking.close()


def copy_back(daemon: DockerDaemon, container: str, host: Host, folder: RunFolder) -> None:
    """Bring all of a run's folder back from a container that is over; how it ended appears last.

    Raises:
        UserError: the disk here is full; nothing is lost, and it can be done again.
        TargetError: the daemon did not give all of it.
    """
    pieces = daemon.get(container, str(RUN_IN_CONTAINER.path))
    end = None
    if pieces is not None:
        unpacking = Unpacking(Path(folder.path), RUN_IN_CONTAINER.path.name)
        try:
            with opened(pieces) as archive:
                while (member := archive.next()) is not None:
                    unpacking.take(archive, member)
                    archive.members.clear()  # type: ignore[attr-defined]  # else it keeps them all
                top = f"{RUN_IN_CONTAINER.path}/"
                changed = daemon.changed(container)
                unpacking.name_missing(path.removeprefix(top) for path in changed if path.startswith(top))
                end = unpacking.finish()
        except OSError as error:
            raise no_space(error, str(folder.path)) from error
        finally:
            unpacking.close()
    if end is not None:
        host.write(folder.exit, end)
    write_mark(host, folder, folder.copied_back.name, b"{}\n")
