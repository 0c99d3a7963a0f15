"""Attach a machine as a compute target: nothing is written before it was used once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from amltool.commands.attaching_login import FirstLogin, Questions, login_name, once_with
from amltool.commands.keeping_passwords import check_keyring, forget_password, keep_password
from amltool.commands.opening import Opened
from amltool.commands.reaching import check_root, works_there
from amltool.configuration.compute import (
    ComputeTarget,
    ComputeType,
    default_base_image,
    read_compute,
    write_compute,
)
from amltool.configuration.folder import read_if_there
from amltool.configuration.runconfig import (
    FILE_PLACEHOLDER,
    Framework,
    RunConfiguration,
    is_name,
    read_run_configuration,
    write_run_configuration,
)
from amltool.configuration.secrets import REFERENCE_FORMS, SecretKind, SecretReference, parse_reference
from amltool.configuration.writing import dump
from amltool.errors import ConfigurationError, UserError
from amltool.files import no_space, write_whole
from amltool.hosts.ssh import SshHost
from amltool.hosts.ssh_failures import LoginError
from amltool.hosts.ssh_settings import SshSettings
from amltool.targets.over_ssh import ssh_settings

ATTACHABLE = (ComputeType.REMOTE_DOCKER, ComputeType.REMOTE, ComputeType.CLUSTER)
CLUSTER, REMOTE_DOCKER = ComputeType.CLUSTER.value, ComputeType.REMOTE_DOCKER.value
"""Of the ancestor's first form: ``--cluster``, and nothing at all."""
PUT_THERE = "amltool puts the key there with --use-ssh-key, which needs a password once."
_NOT_IN_A_SERVICE = re.compile(r"[{}\s]")


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the user asked for. ``password_reference`` is where a password is kept already; ``asks_password`` has it
    typed, and kept unless ``use_ssh_key`` needs it only once; ``passphrase_reference`` is where that of the key file is
    kept; ``accepted_host_keys`` are fingerprints."""

    name: str
    type: str
    address: str
    username: str | None = None
    key_file: str | None = None
    passphrase_reference: str | None = None
    use_ssh_key: bool = False
    asks_password: bool = False
    password_reference: str | None = None
    accepted_host_keys: tuple[str, ...] = ()
    base_docker_image: str | None = None


class Attached(msgspec.Struct, frozen=True):
    """What became of it: ``works`` is the Docker or Python that was found there; paths are in the project."""

    name: str
    type: str
    address: str
    username: str
    works: str
    written: list[str]
    kept: list[str]
    script: str | None = None


def attach(opened: Opened, wanted: Attachment, questions: Questions) -> Attached:
    """Try a machine over SSH, and write its ``.compute`` and ``.runconfig``.

    Raises:
        UserError: the name is in use, an option is wrong, the host key is not accepted, the login fails, or Docker
            (or Python) does not work there, or nothing can be written there; nothing was written to the project.
        TargetError: the machine does not answer.
    """
    keeps_configuration = _check_name(opened, wanted.name)
    _check_options(wanted)
    _check_terminal(wanted, questions)
    compute = _compute_of(wanted)
    for warning in compute.warnings:
        questions.say(warning.partition(": ")[2])
    settings = ssh_settings(compute)
    if compute.username is None:
        compute = msgspec.structs.replace(compute, username=login_name(settings))
    typed = cache(lambda: questions.password(str(compute.username), str(compute.address)))
    with contextlib.closing(_connected(settings, wanted, questions, typed)) as host:
        works = works_there(compute, host)
        check_root(host)
    with _kept_secret(opened, compute, wanted, typed) as password:
        compute = msgspec.structs.replace(compute, password=password)
        written = _write(opened, compute, keeps_configuration=keeps_configuration)
    configuration = f"aml_config/{wanted.name}.runconfig"
    return Attached(
        name=compute.name,
        type=compute.type.value,
        address=host.name,
        username=str(compute.username),
        works=works,
        written=written,
        kept=[configuration] if keeps_configuration else [],
        script=opened.project.settings.script,
    )


def _check_name(opened: Opened, name: str) -> bool:
    """Refuse a name that is no name or in use; whether a run configuration is there already that is for it."""
    if not is_name(name) or not name.isprintable() or name.endswith((".compute", ".runconfig")):
        raise UserError(f"{name!r} cannot name a compute target.", "Use letters, digits, - and _.")
    root = opened.project.root
    if not opened.project.has_aml_config:
        raise UserError("There is no aml_config folder.", "Make one: amltool init")
    if (root / f"aml_config/{name}.compute").exists():
        raise UserError(
            f"There is a compute target {name} already.", f"Use another name, or detach it first: amltool detach {name}"
        )
    path = f"aml_config/{name}.runconfig"
    if not (root / path).exists():
        return False
    with contextlib.suppress(UserError):
        if read_run_configuration(name, read_if_there(root / path) or b"", path).target == name:
            return True
    raise UserError(
        f"There is a run configuration {name} already, and it is not for a compute target {name}.",
        f"Use another name, or delete {path} first: amltool runconfig {name} --delete",
    )


def _check_options(wanted: Attachment) -> None:
    given = [
        option
        for option, is_given in (
            ("--key-file", wanted.key_file is not None),
            ("--password", wanted.asks_password),
            ("--password-reference", wanted.password_reference is not None),
        )
        if is_given
    ]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} are two ways to log in.", "Give one of them.")
    if wanted.passphrase_reference is not None and wanted.key_file is None:
        raise UserError("--passphrase-reference is for the key of --key-file.", "Name that key file as well.")
    if wanted.base_docker_image is not None and wanted.type != ComputeType.REMOTE_DOCKER.value:
        raise UserError(
            f"--base-docker-image is for {ComputeType.REMOTE_DOCKER.value}.", "Leave it out, or change --type."
        )


def _check_terminal(wanted: Attachment, questions: Questions) -> None:
    """See that a password can be typed and kept before anything else is done."""
    if not wanted.asks_password:
        return
    if not questions.can_ask:
        raise UserError(
            "A password is typed at a terminal, and there is none.",
            "Give --password-reference '${env:NAME}' instead, with the password in that environment variable.",
        )
    if not wanted.use_ssh_key:
        check_keyring()


def _compute_of(wanted: Attachment) -> ComputeTarget:
    """The compute target as its file would be read, so that it is checked the same; the password is still missing."""
    if wanted.type not in [each.value for each in ATTACHABLE]:
        raise UserError(
            f"There is no machine of type {wanted.type!r} to attach.",
            "Give --type remotedocker (runs in containers there), remote (Python there) or cluster (Spark on YARN).",
        )
    reference = _reference(wanted.password_reference, "--password-reference")
    passphrase = _reference(wanted.passphrase_reference, "--passphrase-reference")
    content = {
        "type": wanted.type,
        "address": wanted.address,
        "username": wanted.username or "unknown",
        "useSshKey": wanted.use_ssh_key,
        "privateKeyFile": _portable(wanted.key_file) if wanted.key_file and not wanted.use_ssh_key else None,
        "baseDockerImage": wanted.base_docker_image,
    }
    try:
        read = read_compute(wanted.name, dump(content).encode(), "attach")
    except ConfigurationError as error:
        raise UserError("\n".join(f"--{_as_option(mistake.message)}" for mistake in error.mistakes)) from None
    image = wanted.base_docker_image or (default_base_image() if read.in_container else None)
    return msgspec.structs.replace(
        read,
        username=wanted.username,
        base_docker_image=image,
        password=None if wanted.use_ssh_key else reference,
        private_key_passphrase=None if wanted.use_ssh_key else passphrase,
    )


def _as_option(message: str) -> str:
    return message.replace("baseDockerImage", "base-docker-image", 1)


def _reference(text: str | None, option: str) -> SecretReference | None:
    found = parse_reference(text) if text is not None else None
    if text is not None and (found is None or found.kind is SecretKind.CREDENTIAL_SERVICE):
        # the text is not repeated: a password may stand in it
        raise UserError(f"{option} is no reference to a secret.", f"Give it as {REFERENCE_FORMS}, in ' '.")
    return found


def _portable(file: str) -> str:
    """A key file as the ``.compute`` names it: below the home folder as ``~/…``, which is right on other machines."""
    path = Path(file).expanduser().absolute()
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _connected(settings: SshSettings, wanted: Attachment, questions: Questions, typed: Callable[[], str]) -> SshHost:
    first = FirstLogin(questions, wanted.accepted_host_keys)
    if not wanted.use_ssh_key:
        try:
            return first.connect(once_with(settings, password=typed) if wanted.asks_password else settings)
        except LoginError as error:
            raise LoginError(error.what, f"{error.remedy} {PUT_THERE}") from error
    reference = _reference(wanted.password_reference, "--password-reference")
    passphrase = _reference(wanted.passphrase_reference, "--passphrase-reference")
    once: SshSettings | None = None
    if wanted.key_file is not None:
        opens = (lambda _: passphrase.resolve()) if passphrase is not None else None
        once = once_with(settings, key_file=Path(wanted.key_file).expanduser().absolute(), passphrase=opens)
    elif reference is not None:
        once = once_with(settings, password=reference.resolve)
    elif wanted.asks_password or questions.can_ask:
        once = once_with(settings, password=typed)
    return first.connect_with_key(settings, once)


@contextlib.contextmanager
def _kept_secret(
    opened: Opened, compute: ComputeTarget, wanted: Attachment, typed: Callable[[], str]
) -> Iterator[SecretReference | None]:
    """Where the password is while the files are written; what was put into the keyring goes again if they are not."""
    if not wanted.asks_password or wanted.use_ssh_key:
        yield compute.password
        return
    project = _NOT_IN_A_SERVICE.sub("-", opened.project.names.name)
    name = _NOT_IN_A_SERVICE.sub("-", compute.name)
    reference = keep_password(f"{project}/{name}@{compute.address}:{compute.port}", str(compute.username), typed())
    try:
        yield reference
    except BaseException:
        with contextlib.suppress(UserError):
            forget_password(reference)
        raise


def _write(opened: Opened, compute: ComputeTarget, *, keeps_configuration: bool) -> list[str]:
    """The ``.compute`` comes last: it is what makes the target one."""
    configuration = RunConfiguration(
        name=compute.name,
        argument_vector=(FILE_PLACEHOLDER,),
        target=compute.name,
        framework=Framework.PYSPARK if compute.type is ComputeType.CLUSTER else Framework.PYTHON,
        prepare_environment=True,
    )
    files = {f"aml_config/{compute.name}.compute": write_compute(compute)}
    if not keeps_configuration:
        files = {f"aml_config/{compute.name}.runconfig": write_run_configuration(configuration), **files}
    for path, text in files.items():
        try:
            write_whole(opened.project.root / path, text.encode())
        except OSError as error:
            raise no_space(error, opened.project.root / path) from error
    return sorted(files)
