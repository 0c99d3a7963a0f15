"""Getting into a machine for the first time: its host key is accepted, our public key goes there."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from amltool.errors import UserError
from amltool.extras import SSH, missing
from amltool.files import write_whole
from amltool.hosts.ssh import SshHost
from amltool.hosts.ssh_config import Hop, way_to
from amltool.hosts.ssh_failures import LoginError
from amltool.hosts.ssh_host_keys import (
    HostKeyError,
    HostKeyProblem,
    OfferedKey,
    add_host_key,
    fingerprint,
    known_keys,
)
from amltool.hosts.ssh_settings import SshSettings

_PUBLIC_LINE = re.compile(r"(?P<type>[a-z0-9@.-]+) (?P<key>[A-Za-z0-9+/]+={0,2})(?: .*)?")
_APPEND = """\
umask 077; mkdir -p "$1" && cd "$1" || exit 1
if [ -s authorized_keys ] && [ -n "$(tail -c 1 authorized_keys)" ]; then echo >> authorized_keys || exit 1; fi
cat >> authorized_keys || exit 1
if command -v restorecon > /dev/null; then restorecon -F . authorized_keys 2> /dev/null; fi
exit 0
"""
"""As ssh-copy-id does it, the label of SELinux included."""
APPEND_S = 30.0


class Questions(Protocol):
    """Who is asked while a machine is attached; a script cannot be, and is never waited for."""

    @property
    def can_ask(self) -> bool:
        """Whether somebody sits at a terminal."""

    def say(self, message: str) -> None:
        """A sentence for the user."""

    def accepts(self, offered: OfferedKey) -> bool:
        """Whether the user takes the machine with this host key for the one that is meant."""

    def password(self, user: str, machine: str) -> str:
        """The password of a user on a machine, typed without echo."""


class FirstLogin:
    """Connects to machines whose host keys may be new; ``accepted`` are fingerprints that the user gave beforehand."""

    def __init__(self, questions: Questions, accepted: tuple[str, ...] = ()) -> None:
        self._questions = questions
        self._accepted = accepted

    def connect(self, settings: SshSettings) -> SshHost:
        """A connected host.

        Raises:
            HostKeyError: a host key is changed, revoked, or new and nobody can be asked.
            UserError: a host key was not accepted, is not the one that was given, or the login failed.
            TargetError: a machine does not answer.
        """
        self._check_known(settings)
        added: set[str] = set()
        while True:
            host = SshHost(settings)
            try:
                host.connect()
            except HostKeyError as error:
                if error.problem is not HostKeyProblem.UNKNOWN or error.offered.line in added:
                    raise  # also where a file that is not kept (/dev/null) is to keep it
                self._accept(error)
                added.add(error.offered.line)
                add_host_key(error.offered, _file_for(settings, error.offered))
                self._questions.say(f"Accepted the host key of {error.offered.name}: {error.offered.fingerprint}")
            else:
                return host

    def connect_with_key(self, settings: SshSettings, once: SshSettings | None) -> SshHost:
        """A host that lets us in with our own key; where it does not yet, the key is put there.

        ``once`` is how to log in that one time.

        Raises:
            UserError: as `connect`; or there is no way to log in once; or the key does not work there in spite of all.
        """
        try:
            return self.connect(settings)
        except LoginError as refused:
            if once is None:
                raise LoginError(
                    f"{refused.what} To put your key there, amltool has to log in once.",
                    "Run the command at a terminal to type the password, or give --key-file FILE or "
                    "--password-reference '${env:NAME}' beside --use-ssh-key for that one login.",
                ) from refused
        with contextlib.closing(self.connect(once)) as host:
            line = self._install_key(host, way_to(settings)[-1])
        try:
            return self.connect(settings)
        except LoginError as error:
            raise LoginError(
                f"Your public key is in ~/.ssh/authorized_keys of {host.name}, and it still does not log in. "
                f"{error.what}",
                "Look there who may write to ~ and ~/.ssh (only you), and at AuthorizedKeysFile and "
                f"PubkeyAuthentication in sshd_config. The key is: {line}",
            ) from error

    def _accept(self, error: HostKeyError) -> None:
        offered = error.offered
        if self._accepted:
            if offered.fingerprint not in self._accepted:
                raise _not_the_given(f"{offered.name} shows {offered.type} {offered.fingerprint}", self._accepted)
        elif not self._questions.can_ask:
            raise error
        elif not self._questions.accepts(offered):
            raise UserError(
                f"The host key of {offered.name} was not accepted.",
                "Nothing was written. Ask the machine's owner for its fingerprint, and attach it again.",
            )

    def _check_known(self, settings: SshSettings) -> None:
        """A machine that is known already has to be known by what the user gave."""
        if not self._accepted:
            return
        with _needs_paramiko():
            way = way_to(settings)
        lines = {hop: known_keys(hop.key_name, hop.port, hop.known_hosts) for hop in way}
        known = {fingerprint(line.key) for about in lines.values() for line in about if not line.marker}
        if any(not line.marker for line in lines[way[-1]]) and known.isdisjoint(self._accepted):
            raise _not_the_given(f"{way[-1].key_name} is known by {', '.join(sorted(known))}", self._accepted)

    def _install_key(self, host: SshHost, hop: Hop) -> str:
        line, file = _public_key(hop, self._questions)
        place = PurePosixPath(host.facts().home) / ".ssh"
        try:
            lines = host.read(place / "authorized_keys").decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            raise _not_installed(host.name, error.strerror or str(error), line) from error
        if any(line.split()[1] in each.split() for each in lines if not each.lstrip().startswith("#")):
            self._questions.say(f"Your public key {file} is in ~/.ssh/authorized_keys of {host.name} already.")
            return line
        self._questions.say(f"Installing your public key {file} on {host.name}.")
        said = host.run(["sh", "-c", _APPEND, "sh", str(place)], input=f"{line}\n".encode(), timeout_s=APPEND_S)
        if said.exit_code:
            raise _not_installed(host.name, said.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2], line)
        return line


def login_name(settings: SshSettings) -> str:
    """The user that the settings and ``~/.ssh/config`` log in as."""
    with _needs_paramiko():
        return way_to(settings)[-1].username


def _public_key(hop: Hop, questions: Questions) -> tuple[str, Path]:
    """The line of our public key and its file; a pair is made where there is none."""
    files = hop.key_files or (Path.home() / ".ssh" / "id_ed25519",)
    for file in files:
        public = file.with_name(f"{file.name}.pub")
        if public.is_file():
            line = public.read_text("utf-8", "replace").strip()
            if _PUBLIC_LINE.fullmatch(line) is None:
                raise UserError(f"{public} is no public key.", f"Make it again: ssh-keygen -y -f {file} > {public}")
            return line, public
        if file.is_file():
            raise UserError(
                f"The key {file} has no public part beside it.", f"Make it: ssh-keygen -y -f {file} > {public}"
            )
    public = files[0].with_name(f"{files[0].name}.pub")
    line = _make_key_pair(files[0], public)
    questions.say(f"Made a key pair, as you had none: {files[0]} (without a passphrase) and {public}")
    return line, public


def _make_key_pair(file: Path, public: Path) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    shown = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    line = f"{shown.decode()} {os.environ.get('USER') or 'amltool'}@{platform.node()}"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(file, private, durable=True, mode=0o600)
        write_whole(public, f"{line}\n".encode(), durable=True)
    except OSError as error:
        raise UserError(
            f"{file} cannot be written: {error.strerror}.", "Change the permissions of its folder."
        ) from error
    return line


def once_with(settings: SshSettings, **login: object) -> SshSettings:
    """The same machine, with another way to log in."""
    return replace(settings, **{"use_ssh_key": False, **login})  # type: ignore[arg-type]


def _file_for(settings: SshSettings, offered: OfferedKey) -> Path | None:
    """The file where the host key of this machine is looked for first."""
    for hop in way_to(settings):
        if (hop.key_name, hop.port) == (offered.host, offered.port) and hop.known_hosts:
            return hop.known_hosts[0]
    return None


def _not_the_given(what: str, accepted: tuple[str, ...]) -> UserError:
    return UserError(
        f"{what}, which --accept-host-key ({', '.join(accepted)}) does not name. Nothing was sent.",
        "Compare it with what the machine's owner says (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub): "
        "somebody may stand between you and it.",
    )


def _not_installed(machine: str, reason: str, line: str) -> UserError:
    return UserError(
        f"Your public key cannot be put into ~/.ssh/authorized_keys of {machine}: {reason or 'it did not say why'}.",
        f"Append this line to that file yourself, and run the command again:\n{line}",
    )


@contextlib.contextmanager
def _needs_paramiko() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing(SSH) from error
