"""Detach a compute target: its `.compute` goes, and the password that `attach` kept for it."""

from __future__ import annotations

import contextlib

import msgspec

from amltool.commands.keeping_passwords import forget_password
from amltool.commands.opening import Opened, read_computes
from amltool.configuration.runconfig import COMPUTE_MISSING, is_name
from amltool.configuration.secrets import SecretReference
from amltool.errors import UserError

DETACHED = "Detaching {} compute target for project {} successful"
"""The ancestor's words (WORKBENCH 2.1)."""


class Detached(msgspec.Struct, frozen=True):
    """What went, and what the keyring would not let go."""

    message: str
    removed: str
    forgot_password: bool = False
    trouble: str = ""


def detach(opened: Opened, name: str, *, force: bool = False) -> Detached:
    """Delete a ``.compute`` and the password that `attach` kept for it; the ``.runconfig`` stays, as the ancestor's.

    Raises:
        UserError: there is none of that name, or unfinished runs are on it and ``force`` is not given.
    """
    path = opened.project.root / "aml_config" / f"{name}.compute"
    if not is_name(name) or not path.is_file():
        there = sorted(each.stem for each in (opened.project.root / "aml_config").glob("*.compute"))
        raise UserError(COMPUTE_MISSING.format(name, path), f"There are: {', '.join(there) or 'none'}.")
    unfinished = _unfinished_on(opened, name)
    if unfinished and not force:
        shown = ", ".join(unfinished[:5]) + (" …" if len(unfinished) > 5 else "")
        raise UserError(
            f"{len(unfinished)} unfinished run(s) are on {name}: {shown}.",
            "Wait for them (amltool wait RUN) or cancel them; --force detaches now, and what they need to be reached "
            "with may be gone.",
        )
    password, trouble = _password_of(opened, name), ""
    try:
        path.unlink()
    except OSError as error:
        raise UserError(
            f"{path} cannot be deleted: {error.strerror}.", "Change the permissions of its folder."
        ) from error
    forgot = False
    try:
        forgot = forget_password(password)
    except UserError as error:
        trouble = str(error)
    message = DETACHED.format(name, opened.project.names.name)
    return Detached(message, f"aml_config/{name}.compute", forgot, trouble)


def _unfinished_on(opened: Opened, name: str) -> list[str]:
    found = []
    for entry in opened.journal.entries():
        with contextlib.suppress(UserError):  # a damaged one is no reason to keep the target
            if entry.request().target == name:
                found.append(entry.run_id)
    return found


def _password_of(opened: Opened, name: str) -> SecretReference | None:
    """Where its password is kept, unless another compute target keeps its own there too."""
    try:
        (compute,) = read_computes(opened.project.root, name)
        others = [other.password for other in read_computes(opened.project.root, None) if other.name != name]
    except UserError:
        return None
    return None if compute.password in others else compute.password
