"""Passwords of compute targets in the user's keyring: the only place where amltool puts one."""

from __future__ import annotations

from amltool.configuration.secrets import SecretKind, SecretReference, first_line, open_keyring
from amltool.errors import UserError

KEYRING_SERVICE = "amltool/"
"""What the services of our own passwords in the keyring begin with."""
NO_KEYRING_REMEDY = (
    "Put the password into an environment variable and give --password-reference '${env:NAME}', "
    "or use --use-ssh-key, which needs it only once."
)


def check_keyring() -> None:
    """See that there is a keyring before somebody types a password for it.

    Raises:
        UserError: there is none; says what else can be done.
    """
    keyring = open_keyring("Keeping a password")
    try:
        from keyring.backends import fail

        found = keyring.get_keyring()
    except Exception as error:  # every keyring has errors of its own
        raise UserError(f"The keyring cannot be used: {first_line(error)}.", NO_KEYRING_REMEDY) from None
    if isinstance(found, fail.Keyring):
        raise UserError("This machine has no keyring to keep a password in.", NO_KEYRING_REMEDY)


def keep_password(service: str, user: str, password: str) -> SecretReference:
    """Put a password into the keyring and see that it is there.

    Raises:
        UserError: the keyring did not take it; names no secret.
    """
    keyring = open_keyring("Keeping a password")
    reference = SecretReference(SecretKind.KEYRING, KEYRING_SERVICE + service, user)
    try:
        keyring.set_password(reference.name, user, password)
        kept = keyring.get_password(reference.name, user) == password
    except Exception as error:  # every keyring has errors of its own, and what they say may hold the password
        raise UserError(
            f"The keyring does not take the password ({type(error).__name__}).", NO_KEYRING_REMEDY
        ) from None
    if not kept:
        raise UserError("The keyring took the password and does not give it back.", NO_KEYRING_REMEDY)
    return reference


def forget_password(reference: SecretReference | None) -> bool:
    """Take a password of ours out of the keyring; whether it was there. What the user keeps there himself stays.

    Raises:
        UserError: it is ours and cannot be taken out.
    """
    if reference is None or reference.kind is not SecretKind.KEYRING or not reference.name.startswith(KEYRING_SERVICE):
        return False
    remedy = f"Remove it yourself: keyring del '{reference.name}' {reference.user}"
    try:
        keyring = open_keyring("The stored password")
        if keyring.get_password(reference.name, reference.user) is None:
            return False
        keyring.delete_password(reference.name, reference.user)
    except Exception as error:  # as above
        raise UserError(f"The stored password stays: the keyring says {type(error).__name__}.", remedy) from None
    return True
