"""Inputs of a rerun: what took effect on the original, used again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from amltool.configuration.secrets import as_recorded
from amltool.limits import Profile

if TYPE_CHECKING:
    from amltool.commands.submit import Submission
    from amltool.configuration.choosing import Chosen
    from amltool.configuration.settings import Settings
    from amltool.targets.watcher import Watcher

T = TypeVar("T")


def storage_variables(settings: Settings) -> dict[str, str]:
    """The variables that tell `amltool.tracking.storage` of the durable storage, its secret as a reference."""
    if settings.storage is None:
        return {}
    from amltool.tracking.storage import CREDENTIAL, PLACE, URL

    said = {PLACE: settings.storage, CREDENTIAL: settings.storage_credential, URL: settings.storage_url}
    return {name: str(value) for name, value in said.items() if value is not None}


def variables_of(wanted: Submission, chosen: Chosen, storage: Mapping[str, str] = {}) -> dict[str, str]:
    """The environment variables of a run: those of its storage, the compute target's, then the run configuration's,
    then those asked for.

    A rerun asks for all that its original had. One that is a secret in plain text is in no record: it comes from the
    same file again, or, where ``--set`` gave it, from this process's environment.
    """
    written = {**chosen.compute.environment_variables, **chosen.run_configuration.environment_variables}
    if wanted.rerun_of is None:
        return {**storage, **written, **wanted.variables}
    known = as_recorded(written)
    return {**written, **{name: text for name, text in wanted.variables.items() if known.get(name) != text}}


def recorded(wanted: Submission, name: str, now: T) -> T:
    """A setting as it was when the original of a rerun ran; ``now`` for another run, or where that is not known."""
    found: T | None = None if wanted.settings is None else getattr(wanted.settings, name)
    return now if found is None else found


def profile_of(wanted: Submission, now: Profile) -> Profile:
    """The profile that rules a snapshot, as `recorded` gives it."""
    with contextlib.suppress(ValueError):  # that of another version
        return Profile(recorded(wanted, "profile", now.value))
    return now


def say_changed_target(wanted: Submission, name: str, effect: Mapping[str, Any], watcher: Watcher) -> None:
    """Say what the ``.compute`` of a rerun says otherwise than when the original ran: it is used as it is now, for it
    is this machine's, and a record may be foreign."""
    if not wanted.compute or wanted.target != name:
        return
    from amltool.commands.causes import changed_settings

    changed = changed_settings(wanted.compute, effect)
    if changed:
        watcher.say(
            f"{name}.compute is used as it is now, which is not as it was when run {wanted.rerun_of} ran: "
            f"{', '.join(changed)}."
        )
