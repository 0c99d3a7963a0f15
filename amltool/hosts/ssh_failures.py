"""What goes wrong over SSH, in amltool's words: the machine does not answer, or it does not let us in."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from amltool.errors import TargetError, UserError

_NOT_BEGUN = "No existing session"
"""What paramiko says where `start_client` came back because its time was over."""
_NUMBERS = {name: number for number, name in errno.errorcode.items()}
LONGEST_REASON = 300
AGAIN = "Look at the network and whether the machine is up, then run the same command again: nothing was lost."


class AwayError(TargetError):
    """The machine does not answer."""


class LostError(AwayError):
    """The connection went away in the middle of something; whether that was done is not known."""


class BusyError(AwayError):
    """The machine hung up before anything was said, as sshd does when many come at once (its MaxStartups)."""


class LateError(BusyError):
    """The machine hung up while somebody typed a passphrase (sshd's LoginGraceTime); it is known by now."""


class ClosedKeyError(UserError):
    """A key file is protected by a passphrase that nobody is here to type; it may be a good one."""


class LoginError(UserError):
    """The machine does not let this user in."""


def unreachable(address: str, reason: str) -> AwayError:
    """The machine does not answer, which says nothing about what runs there."""
    return AwayError(f"{address} is unreachable: {reason}.", AGAIN)


def lost(address: str) -> LostError:
    """The connection ended or fell silent."""
    return LostError(f"{address} is unreachable: the connection was lost.", AGAIN)


def error_of(name: str, text: str, path: str | None = None) -> OSError:
    """An error that a host names: numbers differ between systems."""
    return OSError(_NUMBERS.get(name, errno.EIO), text, path)


def too_much(address: str) -> TargetError:
    """The machine says more than any answer to the question can have."""
    return TargetError(
        f"{address} sent more than it was asked for, and the rest of it was not taken.",
        "Look who else uses that machine, and what its python3 is.",
    )


def said_too_much(program: str, address: str, most: int) -> TargetError:
    """A command printed more than is held in memory of it."""
    return TargetError(
        f"{program} on {address} printed more than {most >> 20} MB, and was not heard to its end.",
        "Look what it prints there.",
    )


def not_asked_for(address: str) -> TargetError:
    """The machine answers another question than ours."""
    return TargetError(
        f"{address} did not answer what it was asked for: the bytes it sent are not those of the files it was to read.",
        "Look who else uses that machine, and what its python3 is.",
    )


@contextlib.contextmanager
def failures_of(address: str) -> Iterator[None]:
    """Errors of the network and of paramiko while a connection is made become TargetError."""
    from paramiko.ssh_exception import ChannelException, SSHException

    try:
        yield
    except socket.gaierror as error:
        raise unreachable(address, f"its name cannot be found ({error.strerror})") from error
    except TimeoutError as error:
        raise unreachable(address, "it does not answer") from error
    except ConnectionRefusedError as error:
        raise unreachable(address, "it refuses the connection, so no SSH server runs on that port") from error
    except ChannelException as error:
        raise unreachable(address, f"the machine before it cannot connect to it ({error.text})") from error
    except (EOFError, ConnectionResetError) as error:
        raise _hung_up(address) from error
    except SSHException as error:
        if isinstance(error.__context__, TimeoutError) or str(error) == _NOT_BEGUN:
            raise unreachable(address, "it does not answer") from error
        if isinstance(error.__context__, EOFError) or "protocol banner" in str(error):
            raise _hung_up(address) from error
        raise unreachable(address, _sentence(error)) from error
    except OSError as error:
        raise unreachable(address, error.strerror or _sentence(error)) from error


@contextlib.contextmanager
def understood(address: str) -> Iterator[None]:
    """What a machine answers wrongly becomes TargetError: it is not trusted to be well."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise TargetError(f"{address} gives an answer that is none: {_sentence(error)}.", AGAIN) from error


def _sentence(error: Exception) -> str:
    """The error in a line; where it shows what was sent, that may be as long as the sender likes."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:LONGEST_REASON]


def _hung_up(address: str) -> BusyError:
    return BusyError(f"{address} is unreachable: it closed the connection.", AGAIN)


def missing_program(name: str) -> FileNotFoundError:
    """There is no such program on the machine."""
    return FileNotFoundError(2, os.strerror(2), name)
