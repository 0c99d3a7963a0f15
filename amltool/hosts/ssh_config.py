"""The way to a machine: what the settings and ``~/.ssh/config`` say together, and the machines it leads over."""

from __future__ import annotations

import getpass
import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amltool.errors import UserError
from amltool.hosts.ssh_host_keys import USUAL_PORT, usual_files
from amltool.hosts.ssh_settings import SshSettings

SYSTEM_FILE = Path("/etc/ssh/ssh_config")
USUAL_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
LONGEST_WAY = 8
DEEPEST_INCLUDE = 16
_JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:@]+))(?::(?P<port>\d+))?/?")


@dataclass(frozen=True, slots=True)
class Hop:
    """One machine of a way.

    Attributes:
        address: where to connect to; ``key_name`` is its name among the known host keys.
        key_files: keys to try, those of the agent among them; ``only_these`` leaves the agent's others out.
        proxy_command: a program to connect through.
    """

    address: str
    port: int
    username: str
    key_name: str
    key_files: tuple[Path, ...]
    only_these: bool
    known_hosts: tuple[Path, ...]
    proxy_command: str | None = None

    def __str__(self) -> str:
        return self.address if self.port == USUAL_PORT else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for before the configuration is read."""

    host: str
    port: int | None = None
    username: str | None = None


def way_to(settings: SshSettings) -> list[Hop]:
    """The machines to connect to, one through the other; the last is the one that is meant.

    Raises:
        UserError: a configuration file is wrong, or leads in circles.
    """
    configuration = _Configuration(settings)
    wanted = _Wanted(settings.address, settings.port, settings.username)
    found, jumps = configuration.look_up(wanted)
    way = [found]
    while jumps:
        if len(way) == LONGEST_WAY:
            raise UserError(
                f"The way to {settings.address} leads over more than {LONGEST_WAY} machines.",
                "Look for a circle of ProxyJump in ~/.ssh/config.",
            )
        *before, nearest = jumps
        found, further = configuration.look_up(_parsed(nearest))
        way.insert(0, found)
        jumps = before or further
    return way


class _Configuration:
    def __init__(self, settings: SshSettings) -> None:
        import paramiko

        self._settings = settings
        files = (settings.config,) if settings.config else (Path.home() / ".ssh" / "config", SYSTEM_FILE)
        try:
            self._parsed = paramiko.SSHConfig.from_text("\nHost *\n".join(_text(file, 0) for file in files))
        except paramiko.SSHException as error:
            raise _wrong(files[0], error) from error

    def look_up(self, wanted: _Wanted) -> tuple[Hop, list[str]]:
        """A machine, and those it is reached over (``user@host:port``, in their order)."""
        import paramiko

        try:
            said = self._parsed.lookup(wanted.host)
        except (paramiko.SSHException, ImportError, OSError) as error:
            raise _wrong(Path.home() / ".ssh" / "config", error) from error
        jump = str(said.get("proxyjump", "none"))
        command = said.get("proxycommand")
        address = str(said.get("hostname", wanted.host))
        hop = Hop(
            address=address,
            port=wanted.port or _port(said),
            username=wanted.username or said.get("user") or getpass.getuser(),
            key_name=str(said.get("hostkeyalias", address)),
            key_files=_key_files(said),
            only_these=str(said.get("identitiesonly", "no")).lower() == "yes",
            known_hosts=self._settings.known_hosts or _known_hosts(said),
            proxy_command=command if command and command.lower() != "none" else None,
        )
        return hop, [] if jump.lower() == "none" else [part.strip() for part in jump.split(",") if part.strip()]


def _parsed(jump: str) -> _Wanted:
    found = _JUMP.fullmatch(jump)
    if found is None:
        raise UserError(f"ProxyJump {jump!r} in ~/.ssh/config is not a machine.", "Write it as [user@]host[:port].")
    return _Wanted(found["ipv6"] or found["host"], int(found["port"]) if found["port"] else None, found["user"])


def _port(said: Mapping[str, object]) -> int:
    text = str(said.get("port", USUAL_PORT))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UserError(f"Port {text} in ~/.ssh/config is not a port.", "Write a number from 1 to 65535.")
    return int(text)


def _key_files(said: Mapping[str, object]) -> tuple[Path, ...]:
    named = said.get("identityfile")
    if isinstance(named, list):
        return tuple(Path(str(file)).expanduser() for file in named if str(file).lower() != "none")
    return tuple(Path.home() / ".ssh" / name for name in USUAL_KEYS)


def _known_hosts(said: Mapping[str, object]) -> tuple[Path, ...]:
    usual = usual_files()
    user, system = said.get("userknownhostsfile"), said.get("globalknownhostsfile")
    own = tuple(Path(word).expanduser() for word in str(user).split()) if user else usual[:2]
    shared = tuple(Path(word).expanduser() for word in str(system).split()) if system else usual[2:]
    return own + shared


def _text(file: Path, depth: int) -> str:
    """A configuration file with what it includes (paramiko does not); an include ends in the block that it is in."""
    try:
        lines = file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    block, text = "Host *", []
    for line in lines:
        words = line.replace("=", " ", 1).split()
        if words and words[0].lower() == "include" and depth < DEEPEST_INCLUDE:
            for pattern in words[1:]:
                above = Path.home() / ".ssh" if file != SYSTEM_FILE else SYSTEM_FILE.parent
                place = os.path.expanduser(pattern.strip('"'))  # noqa: PTH111 (a pattern, not a path)
                files = sorted(glob.glob(str(above / place)))  # noqa: PTH207 (it may be absolute)
                text += [f"{block}\n{_text(Path(found), depth + 1)}" for found in files]
            text.append(block)
            continue
        if words and words[0].lower() in ("host", "match"):
            block = line
        text.append(line)
    return "\n".join(text)


def _wrong(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} cannot be understood: {error}.", "Correct it; ssh -G HOST shows what ssh makes of it.")
