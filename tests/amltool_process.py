"""Processes that are the `amltool` program and need not import it: each is forked from one that did.

A test of a command needs a process (its exit code, its streams, its locks), and seldom a new interpreter, which takes
longer than the command. Seen from outside, such a process has the command line and the variables of the one it was
forked from: tests that look at these start it anew, as all do for whom Python is to start otherwise than here.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import reduction
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
READ_ONCE = ("PATH", "LANG", "LANGUAGE", "TZ", "PYTHON", "LC_", "LD_", "DYLD_", "SSL_", "OPENSSL_", "GIT_PYTHON_")
"""Variables that are read when Python starts or a library is imported, by how their names begin."""
_context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()
_began_with: dict[str, str] = {}


def can_be_forked(environment: Mapping[str, str]) -> bool:
    """Return True if a process that is forked sees the same as one that is started with these variables."""
    if not sys.platform.startswith("linux"):
        return False
    with _starting:
        if not _began_with:
            _begin(environment)
    return _read_once(environment) == _began_with


def run(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], input: bytes | None, timeout_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Do with the words of a command line what `subprocess.run` does, in a forked process.

    Raises:
        subprocess.TimeoutExpired: it does not end in time; it is killed.
    """
    ends = [os.pipe() for _ in range(3)]
    theirs = [ends[0][0], ends[1][1], ends[2][1]]
    given = (list(words), str(folder), dict(environment), [_Stream(number) for number in theirs])
    process = _context.Process(target=_run, args=given, daemon=False)
    process.start()
    for number in theirs:
        os.close(number)
    said: dict[int, bytes] = {}
    doing = [threading.Thread(target=_write, args=(ends[0][1], input or b""), daemon=True)]
    doing += [threading.Thread(target=_read, args=(said, at, ends[at][0]), daemon=True) for at in (1, 2)]
    for each in doing:
        each.start()
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(["amltool", *words], timeout_s)
    for each in doing:
        each.join(timeout_s)
    return subprocess.CompletedProcess(["amltool", *words], process.exitcode, said[1], said[2])


class _Stream:
    """A descriptor that a process of ours is given with its arguments."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[object, ...]:
        return _number_there, (reduction.DupFd(self._number),)


def _number_there(passed: reduction.DupFd) -> int:
    return passed.detach()


def _read_once(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_ONCE)}


def _begin(environment: Mapping[str, str]) -> None:
    """Start the process that all are forked from."""
    from multiprocessing import forkserver

    _context.set_forkserver_preload(["tests.amltool_imported"])
    before = dict(os.environ)
    try:
        os.environ["PYTHONPATH"] = str(TOP)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    _began_with.update(_read_once({**before, "PYTHONPATH": str(TOP)}))


def _write(number: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(number, "wb") as stream:
        stream.write(content)


def _read(into: dict[int, bytes], at: int, number: int) -> None:
    with os.fdopen(number, "rb") as stream:
        into[at] = stream.read()


def _run(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """Be the program, in the forked process."""
    from amltool.__main__ import main

    for at, number in enumerate(streams):
        os.dup2(number, at)
        os.close(number)
    inner, outer, errors = (io.FileIO(at, mode, closefd=False) for at, mode in enumerate(("rb", "wb", "wb")))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(inner))
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(outer))
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(errors), errors="backslashreplace", line_buffering=True)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [str(TOP / "amltool/__main__.py"), *words]
    sys.path.insert(0, folder)
    main()
