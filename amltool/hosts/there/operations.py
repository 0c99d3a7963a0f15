"""What a host can be asked for."""

import errno
import itertools
import json
import os
import signal
import stat
import subprocess
import threading
from typing import Any, Dict, List, Optional  # noqa: F401 (types of values stand in comments)

from amltool.hosts.there.answers import BLOCK, Answer
from amltool.hosts.there.pieces import give_pieces
from amltool.hosts.there.running import TooMuchError, heard
from amltool.hosts.there.soon import read_soon
from amltool.hosts.there.tree import (
    FILE_FLAGS,
    changed,
    check_regular,
    named,
    open_below,
    read_up_to,
    remove,
    shown,
    walk,
    write_all,
    write_new,
)

ENTRIES = 500
LONGEST_NAMES = 1 << 16
"""Characters of the paths in one part of a walk, of which JSON makes up to twelve times as many."""


class Operations:
    """What can be asked; each operation has its header's values and the body, and gives its answer."""

    def __init__(self) -> None:
        self.running = {}  # type: Dict[int, subprocess.Popen[bytes]]
        self.feeding = []  # type: List[threading.Thread]
        self._open = {}  # type: Dict[int, int]
        self._lock = threading.Lock()

    def read(self, answer: Answer, body: bytes, path: str, offset: int, limit: int) -> None:
        handle = os.open(named(path), FILE_FLAGS)
        try:
            check_regular(handle)
            while limit > 0:
                block = read_up_to(handle, offset, min(BLOCK, limit))
                answer.part(block)
                if len(block) < BLOCK:
                    break
                offset += len(block)
                limit -= len(block)
        finally:
            os.close(handle)
        answer.end()

    def read_soon(
        self, answer: Answer, body: bytes, path: str, offset: int, limit: int, until: str, wait_s: float
    ) -> None:
        read_soon(answer, named(path), offset, limit, named(until), wait_s)

    def write(self, answer: Answer, body: bytes, path: str, mode: int) -> None:
        place = named(path)
        beside = os.path.join(os.path.dirname(place), b"." + os.urandom(8).hex().encode())
        try:
            try:
                write_new(beside, body, mode)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                write_new(beside, body, mode)
            os.replace(beside, place)
        except BaseException:
            if os.path.lexists(beside):
                os.unlink(beside)
            raise
        answer.end()

    def make_folder(self, answer: Answer, body: bytes, path: str) -> None:
        os.makedirs(named(path), exist_ok=True)
        answer.end()

    def exists(self, answer: Answer, body: bytes, path: str) -> None:
        answer.end(exists=os.path.lexists(named(path)))

    def names(self, answer: Answer, body: bytes, path: str) -> None:
        answer.end(json.dumps(sorted(shown(name) for name in os.listdir(named(path)))).encode())

    def rename(self, answer: Answer, body: bytes, source: str, destination: str) -> None:
        old, new = named(source), named(destination)
        if stat.S_ISDIR(os.lstat(old).st_mode) and os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)
        os.rename(old, new)
        answer.end()

    def remove(self, answer: Answer, body: bytes, path: str) -> None:
        remove(named(path))
        answer.end()

    def walk(self, answer: Answer, body: bytes, path: str, below: str, limit: int) -> None:
        """So many entries and one more, where there are more: whoever asked then wants none of them."""
        found, length = [], 0  # type: List[List[Any]], int
        for entry in itertools.islice(walk(named(path), named(below)), limit + 1):
            found.append(entry)
            length += len(entry[0])
            if len(found) == ENTRIES or length >= LONGEST_NAMES:
                answer.part(json.dumps(found).encode())
                found, length = [], 0
        answer.part(json.dumps(found).encode())
        answer.end(b"[]")  # what is in an end may come in pieces

    def changed(self, answer: Answer, body: bytes, path: str, below: str, since: str, limit: int) -> None:
        skipped = tuple(json.loads(body.decode()))
        answer.end(json.dumps(changed(named(path), named(below), named(since), skipped, limit)).encode())

    def open(self, answer: Answer, body: bytes, folder: str, path: str, size: int) -> None:
        """A small file comes with the answer; a larger one stays open."""
        handle = open_below(named(folder), named(path))
        first = b""
        try:
            check_regular(handle)
            while len(first) < size:
                block = os.read(handle, size - len(first))
                if not block:
                    os.close(handle)
                    answer.end(first)
                    return
                first += block
        except BaseException:
            os.close(handle)
            raise
        with self._lock:
            self._open[handle] = handle
        answer.end(first, handle=handle)

    def read_open(self, answer: Answer, body: bytes, handle: int, offset: int, size: int) -> None:
        answer.end(read_up_to(self._open[handle], offset, size))

    def pieces(self, answer: Answer, body: bytes, folder: str) -> None:
        give_pieces(answer, named(folder), json.loads(body.decode()))

    def close(self, answer: Answer, body: bytes, handle: int) -> None:
        os.close(self._open.pop(handle))
        answer.end()

    def run(self, answer: Answer, body: bytes, command: List[str], timeout_s: Optional[float], limit: int) -> None:
        pipe = subprocess.PIPE
        process = subprocess.Popen(words(command), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        with self._lock:
            self.running[process.pid] = process
        try:
            stdout, stderr = heard(process, body, timeout_s, limit)
        except (subprocess.TimeoutExpired, TooMuchError) as error:
            end_session(process)
            process.wait()
            is_late = isinstance(error, subprocess.TimeoutExpired)
            answer.end(over_time=is_late, too_much=not is_late)
            return
        finally:
            with self._lock:
                del self.running[process.pid]
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()  # type: ignore[union-attr]
        answer.end(stdout + stderr, exit_code=process.returncode, stdout=len(stdout))

    def evaluate(self, answer: Answer, body: bytes, arguments: List[Any]) -> None:
        """Call ``main`` of a small program of ours: in this process, for another one takes as long as a round trip."""
        program = {"__name__": "evaluated"}  # type: Dict[str, Any]
        exec(compile(body.decode(), "evaluated", "exec"), program)  # noqa: S102 (this module came the same way)
        answer.end(json.dumps(program["main"](*arguments)).encode())

    def start(self, answer: Answer, body: bytes, command: List[str]) -> None:
        source = self._readable(body)
        try:
            null = subprocess.DEVNULL
            process = subprocess.Popen(
                words(command), stdin=source, stdout=null, stderr=null, cwd="/", start_new_session=True
            )
        finally:
            os.close(source)
        threading.Thread(target=process.wait, daemon=True).start()
        answer.end()

    def _readable(self, content: bytes) -> int:
        """Something to read the content from that needs nobody to feed it, where that can be had, and no disk."""
        if not content:
            return os.open(os.devnull, os.O_RDONLY)
        if hasattr(os, "memfd_create"):
            handle = os.memfd_create("input")  # novermin (3.8)
        elif os.access("/dev/shm", os.W_OK):  # noqa: S108 (memory; the name goes at once)
            name = "/dev/shm/." + os.urandom(16).hex()  # noqa: S108
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.unlink(name)
        else:
            source, sink = os.pipe()
            thread = threading.Thread(target=feed, args=(sink, content))
            self.feeding.append(thread)
            thread.start()
            return source
        write_all(handle, content)
        os.lseek(handle, 0, os.SEEK_SET)
        return handle


def words(command: List[str]) -> List[bytes]:
    return [named(word) for word in command]


def end_session(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass


def feed(sink: int, content: bytes) -> None:
    try:
        write_all(sink, content)
    except OSError:
        pass  # it does not read all
    os.close(sink)
