"""References to secrets: where a password stands instead of the password (DESIGN 8)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import Enum
from types import ModuleType
from typing import Any

import msgspec

from amltool.errors import MissingExtraError, UserError

REFERENCE_FORMS = "${env:NAME} or ${keyring:service/user}"
OTHER_THAN_KEYRING = (
    "See that it is unlocked and what `keyring --list-backends` says, or keep the secret in an environment variable: "
    "${env:NAME}."
)

_REFERENCE = re.compile(
    r"\$\{(?:env:(?P<variable>[A-Za-z_][A-Za-z0-9_]*)|keyring:(?P<service>[^{}\s]+)/(?P<user>[^{}/\s]+))\}"
)
_CREDENTIAL_SERVICE = "AzureMlSecret="
_SECRET_NAME = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|token|account_?key|connection_?string)$|^AMLTOOL_STORAGE_CREDENTIAL",
    re.IGNORECASE,
)
_LOGIN_IN_URL = re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)")
_KEY_IN_SECRET = re.compile(r"(?i)(?:AccountKey|SharedAccessSignature|sig)=([^;&\s]{8,})")
"""The part of a connection string of a storage account, or of a SAS, that gives access by itself."""
_SHORTEST_REDACTED = 4
"""A shorter value is no secret, and redacting it would spoil every log it stands in by chance."""


class SecretKind(str, Enum):
    """Where a secret is kept; the last is the ancestor's service, which is gone."""

    ENVIRONMENT = "env"
    KEYRING = "keyring"
    CREDENTIAL_SERVICE = "AzureMlSecret"


class SecretReference(msgspec.Struct, frozen=True):
    """Where a secret is kept. ``name`` is the variable, the keyring's service, or the ancestor's whole reference."""

    kind: SecretKind
    name: str
    user: str = ""

    def __str__(self) -> str:
        """As it is written in a file."""
        if self.kind is SecretKind.CREDENTIAL_SERVICE:
            return f"{_CREDENTIAL_SERVICE}{self.name}"
        return f"${{{self.kind.value}:{self.name}{'/' if self.user else ''}{self.user}}}"

    def resolve(self, environment: Mapping[str, str] | None = None) -> str:
        """The secret itself; ``environment`` is this process's by default.

        Raises:
            UserError: it is not there; names the reference, never a value.
            MissingExtraError: it is in the keyring, and the keyring's package is not installed.
        """
        if self.kind is SecretKind.CREDENTIAL_SERVICE:
            raise UserError(credential_service_gone("This password"), f"Give it as {REFERENCE_FORMS}.")
        if self.kind is SecretKind.KEYRING:
            return self._from_keyring()
        value = (os.environ if environment is None else environment).get(self.name)
        if value is None:
            raise UserError(
                f"The environment variable {self.name} is not set, and {self} needs it.",
                f"Set it and run the command again: export {self.name}=...",
            )
        return value

    def _from_keyring(self) -> str:
        keyring = open_keyring(f"The secret {self}")
        try:
            value = keyring.get_password(self.name, self.user)
        except Exception as error:  # every keyring has errors of its own: locked, no D-Bus, a broken library
            raise UserError(
                f"The keyring cannot be read for {self}: {first_line(error)}.", OTHER_THAN_KEYRING
            ) from None
        if value is None:
            raise UserError(
                f"The keyring has no password for {self}.", f"Store it: keyring set {self.name} {self.user}"
            )
        return str(value)


def open_keyring(what: str) -> ModuleType:
    """The package that speaks with the user's keyring; ``what`` is what needs it.

    Raises:
        MissingExtraError: it is not installed.
        UserError: it is, and cannot be loaded, as with a wrong ``PYTHON_KEYRING_BACKEND``.
    """
    try:
        import keyring
    except Exception as error:  # it looks for the keyring as it is loaded, and runs code that is not ours
        if isinstance(error, ImportError) and error.name == "keyring":
            raise MissingExtraError(what, "ssh") from None
        chosen = os.environ.get("PYTHON_KEYRING_BACKEND")
        why = f"PYTHON_KEYRING_BACKEND={chosen}, " if chosen else ""
        raise UserError(
            f"{what} needs the keyring, and that cannot be used: {why}{first_line(error)}.", OTHER_THAN_KEYRING
        ) from None
    return keyring


def first_line(error: BaseException) -> str:
    """What an error that is not ours says, as part of a sentence."""
    said = (str(error).strip().splitlines() or [""])[0].partition(". ")[0].rstrip(". ")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def credential_service_gone(what: str) -> str:
    """The sentence for an ``AzureMlSecret=`` reference (WORKBENCH 1.1)."""
    return f"{what} is a reference into the credential service of Azure ML Workbench, which is gone"


def parse_reference(text: str) -> SecretReference | None:
    """The reference a text is as a whole, ``None`` where it is none."""
    if text.startswith(_CREDENTIAL_SERVICE) and len(text) > len(_CREDENTIAL_SERVICE):
        return SecretReference(SecretKind.CREDENTIAL_SERVICE, text[len(_CREDENTIAL_SERVICE) :])
    found = _REFERENCE.fullmatch(text)
    return _reference(found) if found else None


def references_in(text: str) -> list[SecretReference]:
    """Every reference inside a longer text, in order."""
    return [_reference(found) for found in _REFERENCE.finditer(text)]


def resolve_text(text: str, environment: Mapping[str, str] | None = None) -> tuple[str, list[str]]:
    """A text with its references replaced, and the secrets that are now in it.

    Raises:
        UserError: a secret is not there.
    """
    secrets: list[str] = []

    def replace(found: re.Match[str]) -> str:
        value = _reference(found).resolve(environment)
        if len(value) >= _SHORTEST_REDACTED:
            secrets.append(value)
        return value

    return _REFERENCE.sub(replace, text), secrets


def resolve_variables(
    variables: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[str]]:
    """Environment variables with their references replaced, and every secret among the values, each once.

    Raises:
        UserError: a secret is not there; says for which variable.
    """
    resolved: dict[str, str] = {}
    secrets: dict[str, None] = {}
    for name, text in variables.items():
        try:
            resolved[name], found = resolve_text(text, environment)
        except MissingExtraError:
            raise
        except UserError as error:
            raise UserError(f"Environment variable {name}: {error.what}", error.remedy) from None
        secrets.update(dict.fromkeys(found))
        secrets.update(dict.fromkeys(key for secret in found for key in _KEY_IN_SECRET.findall(secret)))
    return resolved, list(secrets)


def is_secret_name(name: str) -> bool:
    """Return True if a key or a variable of this name holds a secret, by the words people use."""
    return _SECRET_NAME.search(name) is not None


def as_recorded(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables as a record holds them: one with a secret in plain text becomes ``${env:NAME}``."""
    return {
        name: str(SecretReference(SecretKind.ENVIRONMENT, name)) if _is_plain_secret(name, text) else text
        for name, text in variables.items()
    }


def _is_plain_secret(name: str, text: str) -> bool:
    if not text or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return False
    is_plain = is_secret_name(name) and not references_in(text)
    return is_plain or _LOGIN_IN_URL.search(_REFERENCE.sub("", text)) is not None


def without_logins(value: Any) -> Any:
    """A plain value without the secrets that stand in it: those of keys named so, and passwords in URLs."""
    if isinstance(value, str):
        return _LOGIN_IN_URL.sub(lambda found: found[0] if references_in(found[0]) else "***", value)
    if isinstance(value, list):
        return [without_logins(item) for item in value]
    if isinstance(value, dict):
        return {
            key: "***" if isinstance(item, str) and _is_plain_secret(key, item) else without_logins(item)
            for key, item in value.items()
        }
    return value


def _reference(found: re.Match[str]) -> SecretReference:
    if found["variable"] is not None:
        return SecretReference(SecretKind.ENVIRONMENT, found["variable"])
    return SecretReference(SecretKind.KEYRING, found["service"], found["user"])
