"""Host keys: whether a machine is the one it was (``known_hosts`` as OpenSSH reads it, always strict).

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Certificates of host authorities are not understood: such
a line is skipped, and a machine known only by one is refused with a sentence that says so.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from amltool.errors import UserError

SYSTEM_FILES = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))
USUAL_PORT = 22
_REVOKED = "@revoked"
_AUTHORITY = "@cert-authority"


class HostKeyProblem(str, Enum):
    """Why a host key is refused."""

    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class OfferedKey:
    """The key that a machine showed; ``type`` and ``key`` as SSH has them (``ssh-ed25519``, the key's bytes)."""

    host: str
    port: int
    type: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        return fingerprint(self.key)

    @property
    def name(self) -> str:
        """The machine's name in a known_hosts file."""
        return known_name(self.host, self.port)

    @property
    def line(self) -> str:
        """The line of a known_hosts file that accepts this key."""
        return f"{self.name} {self.type} {base64.b64encode(self.key).decode()}"


class HostKeyError(UserError):
    """The key that a machine showed is not the one it should have; nothing was sent to it."""

    def __init__(self, problem: HostKeyProblem, offered: OfferedKey, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.problem = problem
        self.offered = offered


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line of a known_hosts file that is about one machine."""

    marker: str
    type: str
    key: bytes
    file: Path
    line: int


def fingerprint(key: bytes) -> str:
    """``SHA256:`` and the digest of a public key's bytes, as ``ssh-keygen -l`` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def known_name(host: str, port: int) -> str:
    """A machine's name in a known_hosts file: the port is part of it unless it is 22."""
    return host.lower() if port == USUAL_PORT else f"[{host.lower()}]:{port}"


def known_keys(host: str, port: int, files: Iterable[Path]) -> list[KnownKey]:
    """All lines about a machine."""
    name = known_name(host, port)
    return [known for file in files for hosts, known in _lines(file) if _is_about(hosts, name)]


def check_host_key(offered: OfferedKey, known: Iterable[KnownKey]) -> None:
    """Refuse a machine that cannot show that it is the one it should be.

    Raises:
        HostKeyError: its key is revoked, is not the one it had, or is not known.
    """
    about = list(known)
    for line in about:
        if line.marker == _REVOKED and line.key == offered.key:
            raise _revoked(offered, line)
    trusted = [line for line in about if not line.marker]
    if any(line.key == offered.key for line in trusted):
        return
    if trusted:
        same_type = [line for line in trusted if line.type == offered.type]
        raise _changed(offered, (same_type or trusted)[0])
    raise _unknown(offered, next((line for line in about if line.marker == _AUTHORITY), None))


def add_host_key(offered: OfferedKey, file: Path | None = None) -> None:
    """Accept a key from now on: one line more in a known_hosts file (by default the user's)."""
    place = file or user_file()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - 1, 0))
        start = b"\n" if size and stream.read(1) != b"\n" else b""
        stream.write(start + offered.line.encode() + b"\n")


def user_file() -> Path:
    """The user's own file of host keys."""
    return Path.home() / ".ssh" / "known_hosts"


def usual_files() -> tuple[Path, ...]:
    """Where OpenSSH looks for host keys unless it is told otherwise."""
    return (user_file(), user_file().with_name("known_hosts2"), *SYSTEM_FILES)


def _lines(file: Path) -> Iterator[tuple[str, KnownKey]]:
    try:
        lines = file.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"The host keys in {file} cannot be read: {error.strerror}.", "Change the permissions of that file."
        ) from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            key = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield words[0], KnownKey(marker, words[1], key, file, number)


def _is_about(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        return _is_hash_of(hosts, name)
    found = False
    for pattern in hosts.lower().split(","):
        # fnmatch knows [...] as a set of characters; here it is part of a name.
        plain = pattern.removeprefix("!").replace("[", "[[]")
        if fnmatch.fnmatchcase(name, plain):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)


def _accepting(offered: OfferedKey) -> str:
    way = f"amltool attach … --accept-host-key {offered.fingerprint}"
    return f"{way}; for a compute target that is there already, log in once with ssh, which asks the same"


def _unknown(offered: OfferedKey, authority: KnownKey | None) -> HostKeyError:
    reason = ""
    if authority is not None:
        place = f"{authority.file}:{authority.line}"
        reason = f" {place} trusts a certificate authority for it, which amltool does not understand."
    return HostKeyError(
        HostKeyProblem.UNKNOWN,
        offered,
        f"The host key of {offered.name} is not known: {offered.type} {offered.fingerprint}.{reason}",
        f"Compare it with what the machine's owner says, then accept it: {_accepting(offered)}",
    )


def _changed(offered: OfferedKey, known: KnownKey) -> HostKeyError:
    return HostKeyError(
        HostKeyProblem.CHANGED,
        offered,
        f"The host key of {offered.name} has changed: it shows {offered.type} {offered.fingerprint}, "
        f"but {known.file}:{known.line} has {known.type} {fingerprint(known.key)}. "
        "Somebody may stand between you and it; nothing was sent.",
        "If the machine was made anew, compare the new fingerprint with what its owner says, "
        f"remove line {known.line} of {known.file}, then accept it: {_accepting(offered)}",
    )


def _revoked(offered: OfferedKey, known: KnownKey) -> HostKeyError:
    return HostKeyError(
        HostKeyProblem.REVOKED,
        offered,
        f"The host key of {offered.name} is revoked ({known.file}:{known.line}): {offered.type} {offered.fingerprint}. "
        "Nothing was sent.",
        "Whoever has that key may pretend to be the machine: ask its owner for a new host key.",
    )
