"""The three faces of failure, and the exit codes they have (DESIGN 7).

* a user's mistake: its text on stderr, exit 1, never a traceback;
* the user's script failed: the task returns an ``Outcome`` with the run's exit code;
* anything else is our bug: exit 3, and a report file that is ready to paste.

Everything leaves a task as ``invoke.Exit``, which the ``invoke`` command and ours alike print and turn into an exit
code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn, TextIO

from amltool.errors import UserError
from amltool.extras import extra_of, missing
from amltool.tasks.output import harmless_output
from amltool.text import harmless_lines

if TYPE_CHECKING:
    from invoke.exceptions import Exit

SIGNAL_BASE = 128
HIGHEST_EXIT_CODE = 255
GIT_USAGE = 129
"""Exit code of a Git that does not understand what it is asked."""
# A machine that is full or may not be written to is not our bug, wherever it shows.
MACHINE_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class ExitCode(IntEnum):
    """What a door exits with, apart from a script's own exit code."""

    DONE = 0
    MISTAKE = 1
    BUG = 3
    INTERRUPTED = 130
    PIPE_CLOSED = 141


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: returned by one whose exit code is not a matter of success or error only.

    Attributes:
        exit_code: 0-255; a script's own, or 128+n for signal n (see ``ended_by``).
    """

    exit_code: int

    def __post_init__(self) -> None:
        if not 0 <= self.exit_code <= HIGHEST_EXIT_CODE:
            raise ValueError(f"an exit code is 0-255, not {self.exit_code}")

    @classmethod
    def ended_by(cls, signal_number: int) -> Outcome:
        return cls(SIGNAL_BASE + signal_number)


def leave(exit_code: int, message: str | None = None) -> NoReturn:
    """End the task and the program with this exit code; the message goes to stderr."""
    from invoke.exceptions import Exit

    raise Exit(message=message, code=int(exit_code))


def exit_code_for(error: BaseException) -> int:
    """The exit code that an error which leaves a task has."""
    from invoke.exceptions import Exit, ParseError, UnexpectedExit

    match error:
        case UserError():
            return error.exit_code
        case Exit():
            return error.code
        case UnexpectedExit():
            return int(error.result.exited)
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case BrokenPipeError() if output_is_closed():
            return ExitCode.PIPE_CLOSED
        case ParseError():
            return ExitCode.MISTAKE
        case OSError() if error.errno in MACHINE_FAULTS:
            return ExitCode.MISTAKE
        case ModuleNotFoundError() if extra_of(error) is not None:
            return ExitCode.MISTAKE
    return ExitCode.MISTAKE if _is_fault_of_git(error) else ExitCode.BUG


def _is_fault_of_git(error: BaseException) -> bool:
    """Return True for a Git that failed or was killed, as in a damaged repository, and had understood us."""
    from amltool.git.command import GitError

    return isinstance(error, GitError) and error.exit_code != GIT_USAGE


@contextmanager
def door() -> Iterator[None]:
    """Within it runs a task; whatever leaves it is one of the three faces.

    Raises:
        invoke.Exit: with the message to print and the exit code; Invoke's own ways to end pass through.
    """
    from invoke.exceptions import Exit, ParseError, UnexpectedExit

    try:
        with harmless_output():
            yield
        _flush(sys.stdout)
    except (Exit, ParseError, UnexpectedExit, SystemExit, GeneratorExit):
        _settle_output()
        raise
    except BaseException as error:
        closing = as_exit(error)
        _settle_output()
        raise closing from error


@contextmanager
def front_door() -> Iterator[None]:
    """A ``door`` that nothing stands around: prints what is to be said and leaves the process."""
    from invoke.exceptions import Exit

    try:
        with door():
            yield
    except Exit as ended:
        if ended.message and sys.stderr is not None:
            # Where nobody reads it, the exit code still says it.
            with suppress(OSError):
                print(harmless_lines(ended.message), file=sys.stderr, flush=True)
        _settle_output()
        sys.exit(ended.code)


def as_exit(error: BaseException) -> Exit:
    """The ``invoke.Exit`` that says what a user should read about an error; writes the report if it is our bug."""
    from invoke.exceptions import Exit

    code = exit_code_for(error)
    if code == ExitCode.BUG:
        from amltool.tasks.bug_report import told

        return Exit(message=harmless_lines(told(error)), code=code)
    return Exit(message=_message(error), code=int(code))


def _message(error: BaseException) -> str | None:
    if isinstance(error, BrokenPipeError | KeyboardInterrupt):
        return None
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error)):
        return str(missing(extra))
    if _is_fault_of_git(error):
        remedy = "See what Git says of this repository: git status; git fsck"
        return harmless_lines(f"Git could not do its part: {error}\n{remedy}")
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        remedy = "Make room there, or make it writable, and give the same command again."
        return harmless_lines(f"This machine refused to write: {os.strerror(error.errno or 0)}{place}.\n{remedy}")
    return harmless_lines(str(error))


def output_is_closed() -> bool:
    """Whether who read our output (``| head``) is gone, and not some other pipe."""
    return any(_fault(stream) == errno.EPIPE or _reader_is_gone(stream) for stream in (sys.stdout, sys.stderr))


def _reader_is_gone(stream: TextIO | None) -> bool:
    # An unbuffered stream has nothing left to flush after it failed, so that the fault shows only once
    import select

    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)  # type: ignore[union-attr] # None is an AttributeError, below
    except (AttributeError, OSError, ValueError):
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _flush(stream: TextIO | None) -> None:
    if stream is not None and not stream.closed:
        stream.flush()


def _fault(stream: TextIO | None) -> int | None:
    try:
        _flush(stream)
    except OSError as error:
        return error.errno
    return None


def _settle_output() -> None:
    """Send what can no longer be written to nowhere, so that the interpreter does not complain as it ends.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    for stream in (sys.stdout, sys.stderr):
        if _fault(stream) is not None:
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
