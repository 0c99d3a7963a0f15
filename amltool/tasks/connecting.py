"""Tasks that make machines compute targets: attach, detach."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from amltool.hosts.ssh_passphrases import ask_of
from amltool.tasks.arguments import task
from amltool.tasks.running import JSON_HELP
from amltool.tasks.watching import TerminalWatcher, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from amltool.hosts.ssh_host_keys import OfferedKey

YES = frozenset({"y", "yes"})


@task(
    short={"address": "a", "username": "u", "use_ssh_key": "k"},
    secret=("password",),
    help={
        "name": "the new compute target's name",
        "type": "remotedocker (the default: containers there), remote (Python there) or cluster (Spark on YARN)",
        "cluster": "a Hadoop cluster: --type cluster as the ancestor's first form had it",
        "address": "HOST or HOST:PORT; a Host of ~/.ssh/config will do",
        "username": "the user there; left out: what ~/.ssh/config says, else yours",
        "key_file": "log in with this private key",
        "passphrase_reference": "where the passphrase of that key is kept: '${env:NAME}' or '${keyring:service/user}'",
        "use_ssh_key": "log in with your own key; where it is not known there yet, put it there",
        "password": "log in with a password: it is asked for, and kept in your keyring",
        "password_reference": "log in with a password that is kept already: '${env:NAME}' or '${keyring:service/user}'",
        "accept_host_key": "SHA256:..., the fingerprint of the machine's host key; for scripts",
        "base_docker_image": "the image that environments are built on there",
        "json": JSON_HELP,
    },
)
def attach(
    context: Context,
    name: str,
    *,
    type: str | None = None,
    cluster: bool = False,
    address: str,
    username: str | None = None,
    key_file: str | None = None,
    passphrase_reference: str | None = None,
    use_ssh_key: bool = False,
    password: bool = False,
    password_reference: str | None = None,
    accept_host_key: tuple[str, ...] = (),
    base_docker_image: str | None = None,
    json: bool = False,
) -> None:
    """Make a machine over SSH a compute target: try it, then write its .compute and .runconfig."""
    from amltool.commands.attaching import CLUSTER, REMOTE_DOCKER, Attachment
    from amltool.commands.attaching import attach as make
    from amltool.commands.opening import open_project
    from amltool.render import attached_text

    wanted = Attachment(
        name=name,
        type=type or (CLUSTER if cluster else REMOTE_DOCKER),
        address=address,
        username=username,
        key_file=key_file,
        passphrase_reference=passphrase_reference,
        use_ssh_key=use_ssh_key,
        asks_password=password,
        password_reference=password_reference,
        accepted_host_keys=accept_host_key,
        base_docker_image=base_docker_image,
    )
    made = make(open_project(), wanted, TerminalQuestions())
    print_json(made) if json else print(attached_text(made))


@task(
    help={
        "name": "the compute target",
        "force": "also while unfinished runs are on it",
        "json": JSON_HELP,
    },
)
def detach(context: Context, name: str, *, force: bool = False, json: bool = False) -> None:
    """Delete a compute target and its stored password; its run configuration stays."""
    from amltool.commands.detaching import detach as delete
    from amltool.commands.opening import open_project

    done = delete(open_project(), name, force=force)
    if done.trouble:
        TerminalWatcher(json=json).say(done.trouble)
    print_json(done) if json else print(done.message)


class TerminalQuestions:
    """Questions at the terminal; where there is none, nobody is asked and nothing waits."""

    @property
    def can_ask(self) -> bool:
        return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))

    def say(self, message: str) -> None:
        TerminalWatcher().say(message)

    def accepts(self, offered: OfferedKey) -> bool:
        self.say(
            f"The host key of {offered.name} is not known: {offered.type} {offered.fingerprint}\n"
            "Compare it with what the machine's owner says, or with what the machine itself says:\n"
            "  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        )
        return self.agrees("Is it this machine?")

    def agrees(self, question: str) -> bool:
        """Whether the answer is yes."""
        print(f"{question} [yes/no] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in YES

    def password(self, user: str, machine: str) -> str:
        """As `Questions.password`.

        Raises:
            UserError: nothing was typed.
        """
        from amltool.errors import UserError

        typed = _typed_without_echo(f"Password of {user} on {machine}: ")
        if not typed:
            raise UserError("No password was given.", "Run the command again; nothing was written.")
        return typed

    def passphrase(self, file: Path, is_wrong: bool) -> str | None:
        """The passphrase of a key file; ``None`` where nobody can be asked. ``is_wrong``: the last did not open it."""
        if not self.can_ask:
            return None
        if is_wrong:
            return _typed_without_echo(f"That does not open it. Passphrase of {file}: ")
        self.say(f"{file} is protected by a passphrase; ssh-add {file} has the agent ask for it only once.")
        return _typed_without_echo(f"Passphrase of {file}: ")


def _typed_without_echo(prompt: str) -> str:
    import getpass

    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except EOFError:
        return ""


ask_of(TerminalQuestions().passphrase)
