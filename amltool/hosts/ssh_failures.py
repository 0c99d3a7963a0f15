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
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _hung_up(address: str) -> BusyError:
    return BusyError(f"{address} is unreachable: it closed the connection.", AGAIN)


def missing_program(name: str) -> FileNotFoundError:
    """There is no such program on the machine."""
    return FileNotFoundError(2, os.strerror(2), name)
