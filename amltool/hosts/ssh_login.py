"""Logging in: with the one key that was named, else with those of the agent and of ``~/.ssh``, else with a password."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.errors import UserError
from amltool.hosts.ssh_config import Hop
from amltool.hosts.ssh_failures import LoginError
from amltool.hosts.ssh_settings import SshSettings

if TYPE_CHECKING:
    from paramiko import AgentKey, PKey, Transport  # noqa: TID251 (one of the door's modules)

Candidate = tuple[str, "PKey"]


class Login:
    """What this user can log in with. Keys that needed a passphrase are kept while we live: it is asked for once."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self._opened: dict[Path, PKey] = {}
        self._closed: list[Path] = []

    def log_in(self, transport: Transport, hop: Hop, *, is_last: bool) -> None:
        """Log in to a machine whose host key was checked.

        Raises:
            LoginError: it lets us in with nothing that we have.
            UserError: a key file cannot be used.
        """
        tried: list[str] = []
        self._closed.clear()
        for name, key in self._keys(hop, is_last=is_last):
            if self._is_in(transport, hop, tried, name, key):
                return
            if not transport.is_active():
                raise _refused(hop, tried, "It takes no more attempts.")
        password = self._settings.password if is_last else None
        if password is not None and self._is_in(transport, hop, tried, "the password", password()):
            return
        closed = f"{self._closed[0]} needs its passphrase: ssh-add {self._closed[0]}" if self._closed else ""
        raise _refused(hop, tried, closed)

    def _is_in(self, transport: Transport, hop: Hop, tried: list[str], name: str, secret: PKey | str) -> bool:
        from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType  # noqa: TID251

        tried.append(name)
        try:
            if isinstance(secret, str):
                more = transport.auth_password(hop.username, secret)
            else:
                more = transport.auth_publickey(hop.username, secret)
        except BadAuthenticationType as error:
            tried[-1] = f"{name} (it allows only {', '.join(error.allowed_types)})"
            return False
        except AuthenticationException:
            return False
        if more:
            tried[-1] = f"{name} (accepted, but it wants {' or '.join(more)} as well)"
        return not more

    def _keys(self, hop: Hop, *, is_last: bool) -> Iterator[Candidate]:
        settings = self._settings
        if is_last and settings.key_file is not None:
            file = settings.key_file.expanduser()
            if not file.is_file():
                raise UserError(f"The key file {file} is not there.", "Correct the compute target's privateKeyFile.")
            key = self._of_file(file, self._agent())
            if key is None:
                raise _closed(file)
            yield str(file), key
            return
        if is_last and settings.password is not None and not settings.use_ssh_key:
            return
        agent, used = self._agent(), set()
        for file in hop.key_files:
            key = self._of_file(file, agent) if file.is_file() else None
            if key is not None:
                used.add(key.asbytes())
                yield str(file), key
            elif file.is_file():
                self._closed.append(file)
        if not hop.only_these:
            yield from ((f"the agent's {key.get_name()}", key) for key in agent if key.asbytes() not in used)

    def _agent(self) -> list[AgentKey]:
        import paramiko  # noqa: TID251

        try:
            return list(paramiko.Agent().get_keys())
        except (paramiko.SSHException, OSError):
            return []

    def _of_file(self, file: Path, agent: list[AgentKey]) -> PKey | None:
        """The key of a file; ``None`` where only somebody who is not here knows its passphrase."""
        import paramiko  # noqa: TID251

        if file in self._opened:
            return self._opened[file]
        try:
            return _read(file, None)
        except paramiko.PasswordRequiredException:
            pass
        public = _public_part(file)
        for key in agent:
            if key.asbytes() == public:
                return key
        if self._settings.passphrase is None:
            return None
        try:
            self._opened[file] = _read(file, self._settings.passphrase(str(file)))
        except (paramiko.SSHException, ValueError):
            raise UserError(
                f"The passphrase does not open {file}.", "Run the command again, or add the key to the agent: ssh-add."
            ) from None
        return self._opened[file]


def _read(file: Path, passphrase: str | None) -> PKey:
    import paramiko  # noqa: TID251

    reason = ""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key_file(str(file), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError) as error:
            reason = str(error)
            if passphrase is not None and "password" in reason.lower():
                raise
        except OSError as error:
            raise UserError(
                f"The key file {file} cannot be read: {error.strerror}.", "Change its permissions."
            ) from error
    if passphrase is not None:
        raise ValueError(reason)
    raise UserError(
        f"{file} is no private key that amltool can use ({reason}).", "Use a key of type ed25519, ECDSA or RSA."
    )


def _public_part(file: Path) -> bytes | None:
    try:
        return base64.b64decode(file.with_name(f"{file.name}.pub").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _closed(file: Path) -> UserError:
    return UserError(
        f"The key {file} is protected by a passphrase, and nobody is here to type it.",
        f"Add it to the agent and run the command again: ssh-add {file}",
    )


def _refused(hop: Hop, tried: list[str], more: str) -> LoginError:
    with_what = f" with {', '.join(tried)}" if tried else ": there was no key and no password to try"
    return LoginError(
        " ".join(part for part in (f"{hop} does not let {hop.username} in{with_what}.", more) if part),
        "Look whether the user name is right and whether your public key is in ~/.ssh/authorized_keys there "
        f"(ssh-copy-id {hop.username}@{hop.address}).",
    )
