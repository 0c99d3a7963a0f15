"""Logging in: with the one key that was named, else with those of the agent and of ``~/.ssh``, else with a password."""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from amltool.errors import UserError
from amltool.hosts.ssh_config import Hop
from amltool.hosts.ssh_failures import AGAIN, ClosedKeyError, LateError, LoginError
from amltool.hosts.ssh_passphrases import passphrases_for, remember, typed
from amltool.hosts.ssh_settings import SshSettings

if TYPE_CHECKING:
    from paramiko import AgentKey, PKey, Transport

Candidate = tuple[str, "PKey"]
_OPENSSH = b"openssh-key-v1\0"


class Login:
    """What this user can log in with. Keys that needed a passphrase are kept while we live: it is asked for once."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings
        self._opened: dict[Path, PKey] = {}
        self._left_out: list[str] = []

    def log_in(self, transport: Transport, hop: Hop, *, is_last: bool) -> None:
        """Log in to a machine whose host key was checked.

        Raises:
            LoginError: it lets us in with nothing that we have.
            LateError: it hung up while a passphrase was typed, which need not be typed again.
            UserError: a key file cannot be used (`ClosedKeyError`: by nobody who is here).
        """
        tried: list[str] = []
        known = typed()
        self._left_out.clear()
        for name, key in self._keys(hop, is_last=is_last):
            if not transport.is_active() and typed() != known:
                raise LateError(f"{hop} is unreachable: it did not wait for the passphrase.", AGAIN)
            if self._is_in(transport, hop, tried, name, key):
                return
            if not transport.is_active():
                raise _refused(hop, tried, "It takes no more attempts.")
        password = self._settings.password if is_last else None
        if password is not None and self._is_in(transport, hop, tried, "the password", password()):
            return
        raise _refused(hop, tried, " ".join(self._left_out))

    def _is_in(self, transport: Transport, hop: Hop, tried: list[str], name: str, secret: PKey | str) -> bool:
        from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType

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
        """Keys to try. Those whose passphrase somebody has to type come last: nobody is asked in vain."""
        settings = self._settings
        if is_last and settings.key_file is not None:
            yield self._named(settings.key_file.expanduser())
            return
        if is_last and settings.password is not None and not settings.use_ssh_key:
            return
        agent, used, closed = self._agent(), set(), []
        for file in filter(Path.is_file, hop.key_files):
            try:
                key = self._without_asking(file, agent)
            except UserError as error:  # as ssh does: one that cannot be used does not keep the others from being tried
                self._left_out.append(error.what)
                continue
            if key is None:
                closed.append(file)
                continue
            used.add(key.asbytes())
            yield str(file), key
        if not hop.only_these:
            yield from ((f"the agent's {key.get_name()}", key) for key in agent if key.asbytes() not in used)
        for file in closed:
            key = self._asked(file)
            if key is None:
                self._left_out.append(f"{file} needs its passphrase: ssh-add {file}.")
            else:
                yield str(file), key

    def _named(self, file: Path) -> Candidate:
        if not file.is_file():
            raise UserError(
                f"The key file {file} is not there.", "Correct --key-file, or the .compute's privateKeyFile."
            )
        key = self._without_asking(file, self._agent())
        if key is None and self._settings.passphrase is not None:
            raise UserError(
                f"The passphrase that privateKeyPassphrase refers to does not open {file}.",
                f"Correct it where it is kept, or add the key to the agent: ssh-add {file}",
            )
        key = key or self._asked(file)
        if key is None:
            raise _closed(file)
        return str(file), key

    def _agent(self) -> list[AgentKey]:
        import paramiko

        try:
            return list(paramiko.Agent().get_keys())
        except (paramiko.SSHException, OSError):
            return []

    def _without_asking(self, file: Path, agent: list[AgentKey]) -> PKey | None:
        """The key of a file; ``None`` where a passphrase is needed that neither the agent nor the settings spare us."""
        import paramiko

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
        opened = _opened_by(file, self._settings.passphrase(str(file)))
        if opened is not None:
            self._opened[file] = opened
        return opened

    def _asked(self, file: Path) -> PKey | None:
        """The key of a file, opened by what somebody types; ``None`` where nobody is here, or types nothing."""
        is_wrong = False
        for passphrase in passphrases_for(file):
            opened = _opened_by(file, passphrase)
            if opened is not None:
                remember({str(file): passphrase})
                self._opened[file] = opened
                return opened
            is_wrong = True
        if is_wrong:
            raise UserError(
                f"The passphrase does not open {file}.", f"Run the command again, or add the key: ssh-add {file}"
            )
        return None


def _opened_by(file: Path, passphrase: str) -> PKey | None:
    import paramiko

    try:
        return _read(file, passphrase)
    except (paramiko.SSHException, ValueError):
        return None


def _read(file: Path, passphrase: str | None) -> PKey:
    import paramiko

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
    """The public key of a file: of the ``.pub`` beside it, else of OpenSSH's own form, which has it unprotected.

    Source: PROTOCOL.key of OpenSSH.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return base64.b64decode(file.with_name(f"{file.name}.pub").read_text().split()[1])
    with contextlib.suppress(OSError, ValueError, struct.error):
        content = base64.b64decode("".join(file.read_text().strip().splitlines()[1:-1]))
        if not content.startswith(_OPENSSH):
            return None
        rest = content[len(_OPENSSH) :]
        for _ in range(3):  # the cipher, and how its key is made
            rest = rest[4 + struct.unpack_from(">I", rest)[0] :]
        (size,) = struct.unpack_from(">I", rest, 4)
        return rest[8 : 8 + size]
    return None


def _closed(file: Path) -> ClosedKeyError:
    return ClosedKeyError(
        f"The key {file} is protected by a passphrase, and nobody is here to type it.",
        f"Add it to the agent and run the command again: ssh-add {file}\n"
        "Or say in the .compute where its passphrase is kept: privateKeyPassphrase: ${env:NAME} or "
        "${keyring:service/user}.",
    )


def _refused(hop: Hop, tried: list[str], more: str) -> LoginError:
    with_what = f" with {', '.join(tried)}" if tried else ": there was no key and no password to try"
    right = "the user name and the password are right, or" if "the password" in tried else "the user name is right and"
    return LoginError(
        " ".join(part for part in (f"{hop} does not let {hop.username} in{with_what}.", more) if part),
        f"Look whether {right} whether your public key is in ~/.ssh/authorized_keys there "
        f"(ssh-copy-id {hop.username}@{hop.address}).",
    )
