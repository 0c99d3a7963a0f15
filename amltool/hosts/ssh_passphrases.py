"""Passphrases of key files: typed by whoever sits at the terminal, once for all that this process does.

A typed passphrase is kept in memory only. A process of ours that goes on without a terminal gets it through a pipe, as
``ssh -f`` keeps what was typed when it goes to the background: it is in no file, environment or command line.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every command loads this module
    from pathlib import Path

TRIES = 3
"""As ``ssh`` itself (its NumberOfPasswordPrompts)."""
Person = Callable[["Path", bool], str | None]
"""Asked for the passphrase of a file, and told whether the last one did not open it; gives ``None`` for none."""

_typed: dict[str, str] = {}
_person: Person | None = None


def ask_of(person: Person | None) -> None:
    """Say who is asked from now on; a door does, where somebody may sit at a terminal."""
    global _person
    _person = person


@contextlib.contextmanager
def nobody_asked() -> Iterator[None]:
    """Within it nobody is asked: what only looks at a machine by the way does not hold anybody up."""
    global _person
    before, _person = _person, None
    try:
        yield
    finally:
        _person = before


def passphrases_for(file: Path) -> Iterator[str]:
    """What may open a key file: what was typed for it before, else what is typed now, at most `TRIES` times."""
    known = _typed.get(str(file))
    if known is not None:
        yield known
        return
    # only where Ctrl-C arrives: a thread that is left alone with the terminal would leave it without its echo
    if _person is None or threading.current_thread() is not threading.main_thread():
        return
    for number in range(TRIES):
        text = _person(file, number > 0)
        if not text:
            return
        yield text


def remember(passphrases: Mapping[str, str]) -> None:
    """Passphrases that open the files they are named by."""
    _typed.update(passphrases)


def typed() -> dict[str, str]:
    """What was typed, or remembered, so far: file to passphrase."""
    return dict(_typed)
