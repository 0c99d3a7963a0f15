"""A connection to a machine: over others where the way leads over them, every host key checked, many channels in it."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from typing import TYPE_CHECKING

from amltool.extras import SSH, missing
from amltool.hosts.ssh_config import Hop, way_to
from amltool.hosts.ssh_failures import LateError, failures_of
from amltool.hosts.ssh_flood import bound_packets, bound_window
from amltool.hosts.ssh_host_keys import KnownKey, OfferedKey, check_host_key, known_keys
from amltool.hosts.ssh_login import Login
from amltool.hosts.ssh_settings import SshSettings

if TYPE_CHECKING:
    from paramiko import Channel, Transport

CONNECT_S = 3.0
"""For the network; a machine that is up answers in a fraction of it, and one that went away is said so within 15 s."""
HANDSHAKE_S = 8.0
LOGIN_S = 30.0
"""A directory service there may be slow."""
DEAD_AFTER_S = 6.0
"""Sent and not acknowledged for so long: the connection is dead (RELIABILITY fact 11)."""
KEEPALIVE_S = 15
"""So that no router on the way forgets us."""
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class SshConnection:
    """A connection that is there. Closing it closes those that it goes over."""

    def __init__(self, transports: list[Transport], hop: Hop) -> None:
        self._transports = transports
        self._hop = hop

    @property
    def is_alive(self) -> bool:
        return all(transport.is_active() for transport in self._transports)

    def open_channel(self) -> Channel:
        """A new session, in which one command can be run.

        Raises:
            TargetError: the machine does not answer, or opens no more sessions (sshd's MaxSessions).
        """
        with failures_of(str(self._hop)):
            return bound_window(self._transports[-1].open_session(timeout=HANDSHAKE_S))

    def close(self) -> None:
        for transport in reversed(self._transports):
            with contextlib.suppress(Exception):  # it may be dead already
                transport.close()


def connect(settings: SshSettings, login: Login) -> SshConnection:
    """Connect and log in.

    Raises:
        TargetError: a machine on the way does not answer.
        HostKeyError: it is not the one it should be.
        LoginError: it does not let us in.
        MissingExtraError: paramiko is not installed.
    """
    try:
        import paramiko  # noqa: F401 (the door)
    except ImportError as error:
        raise missing(SSH) from error
    logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it prints what we say in our own words
    way = way_to(settings)
    transports: list[Transport] = []
    try:
        for hop in way:
            is_last = hop is way[-1]
            with failures_of(str(hop)):
                stream = _stream(hop, transports[-1] if transports else None)
                transport = _transport(stream, hop, compression=settings.compression)
                transports.append(transport)
                login.log_in(transport, hop, is_last=is_last)
                transport.set_keepalive(KEEPALIVE_S)
    except LateError:
        SshConnection(transports, way[-1]).close()
        return connect(settings, login)
    except BaseException:
        SshConnection(transports, way[-1]).close()
        raise
    return SshConnection(transports, way[-1])


def _stream(hop: Hop, over: Transport | None) -> socket.socket | Channel:
    import paramiko

    if over is not None:
        way = ("direct-tcpip", (hop.address, hop.port), ("127.0.0.1", 0))
        return bound_window(over.open_channel(*way, timeout=CONNECT_S))
    if hop.proxy_command is not None:
        command: socket.socket = paramiko.ProxyCommand(hop.proxy_command)  # type: ignore[assignment] # it behaves like one
        return command
    stream = socket.create_connection((hop.address, hop.port), timeout=CONNECT_S)
    stream.settimeout(None)
    _watch(stream)
    return stream


def _watch(stream: socket.socket) -> None:
    """Let the system notice that the other side is gone, also when nothing is sent."""
    dead_ms = round(DEAD_AFTER_S * 1000)
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None)), 3),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", None), 2),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", None), 3),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None), dead_ms),
    ]
    if sys.platform == "darwin":
        options.append((socket.IPPROTO_TCP, 0x80, round(DEAD_AFTER_S)))  # TCP_RXT_CONNDROPTIME of <netinet/tcp.h>
    for level, option, value in options:
        if option is not None:
            with contextlib.suppress(OSError):
                stream.setsockopt(level, option, value)


def _transport(stream: socket.socket | Channel, hop: Hop, *, compression: bool) -> Transport:
    """An encrypted connection to a machine that showed the key it should have."""
    import paramiko

    known = known_keys(hop.key_name, hop.port, hop.known_hosts)
    transport = paramiko.Transport(stream)
    try:
        transport.banner_timeout = transport.handshake_timeout = HANDSHAKE_S
        transport.auth_timeout = LOGIN_S
        transport.use_compression(compression)
        bound_packets(transport)
        options = transport.get_security_options()
        options.ciphers = CIPHERS
        options.key_types = _key_types(known, tuple(options.key_types))
        transport.start_client(timeout=HANDSHAKE_S)
        shown = transport.get_remote_server_key()
        check_host_key(OfferedKey(hop.key_name, hop.port, shown.get_name(), shown.asbytes()), known)
    except BaseException:
        transport.close()
        raise
    return transport


def _key_types(known: list[KnownKey], all_types: tuple[str, ...]) -> tuple[str, ...]:
    """Those first of which we know a key: a machine has several and shows the first that we ask for."""
    types = {line.type for line in known if not line.marker}
    names = [name for name in all_types if name in types or (name in _RSA and "ssh-rsa" in types)]
    return (*names, *(name for name in all_types if name not in names))
