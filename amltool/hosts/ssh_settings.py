"""How to reach a machine over SSH, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True)
class SshSettings:
    """What a compute target says; ``~/.ssh/config`` says the rest, as for ``ssh`` itself.

    Attributes:
        address: a name, an address, or a ``Host`` of ``~/.ssh/config``.
        port: ``None`` is what ``~/.ssh/config`` says, else 22.
        username: ``None`` is what ``~/.ssh/config`` says, else the name of this user here.
        key_file: the one key to log in with.
        use_ssh_key: the keys of the agent and of ``~/.ssh`` too; without a ``key_file`` and a password they are anyway.
        password: gives the password; called only when the machine is to be given one, and only to the last machine of
            a way over others.
        passphrase: gives the passphrase of a key file, whose path it gets; without it, or where it does not open a key
            of ``~/.ssh``, whoever sits at the terminal is asked.
        compression: compress what goes over the connection.
        known_hosts: files of host keys instead of the user's and the machine's own.
        config: a file instead of ``~/.ssh/config`` and ``/etc/ssh/ssh_config``.
    """

    address: str
    port: int | None = None
    username: str | None = None
    key_file: Path | None = None
    use_ssh_key: bool = True
    password: Callable[[], str] | None = None
    passphrase: Callable[[str], str] | None = None
    compression: bool = False
    known_hosts: tuple[Path, ...] = ()
    config: Path | None = None


class HostFacts(msgspec.Struct, frozen=True):
    """What a machine says of itself and of our user there; ``git`` and ``docker`` are paths, ``boot_id`` is empty where
    the system has none, ``platform`` is Python's word (``linux``), ``node`` the machine's own name."""

    uid: int
    gid: int
    user: str
    home: str
    python: str
    python_version: str
    boot_id: str
    platform: str
    machine: str
    node: str
    git: str | None = None
    docker: str | None = None
