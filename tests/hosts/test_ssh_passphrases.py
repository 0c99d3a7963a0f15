"""Passphrases that somebody types: who is asked, how often, and who is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from amltool.hosts import ssh_passphrases
from amltool.hosts.ssh_passphrases import TRIES, ask_of, nobody_asked, passphrases_for, remember, typed

KEY = Path("/home/ada/.ssh/id_ed25519")


@pytest.fixture(autouse=True)
def nothing_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_passphrases, "_typed", {})
    monkeypatch.setattr(ssh_passphrases, "_person", None)


class Person:
    """Somebody who types these, one after the other; ``told`` is whether the last was said to be wrong."""

    def __init__(self, *types: str | None) -> None:
        self._types = list(types)
        self.told: list[bool] = []

    def __call__(self, file: Path, is_wrong: bool) -> str | None:
        self.told.append(is_wrong)
        return self._types.pop(0)


def test_where_nobody_is_there_is_nothing_to_try() -> None:
    assert list(passphrases_for(KEY)) == []


def test_somebody_is_asked_three_times_and_told_why() -> None:
    person = Person("one", "two", "three", "four")
    ask_of(person)
    assert list(passphrases_for(KEY)) == ["one", "two", "three"]
    assert person.told == [False, True, True]
    assert TRIES == 3


@pytest.mark.parametrize("nothing", ["", None])
def test_who_types_nothing_is_not_asked_again(nothing: str | None) -> None:
    person = Person("one", nothing, "three")
    ask_of(person)
    assert list(passphrases_for(KEY)) == ["one"]
    assert len(person.told) == 2


def test_what_opened_a_key_is_not_asked_for_again() -> None:
    person = Person()
    ask_of(person)
    remember({str(KEY): "one"})
    assert list(passphrases_for(KEY)) == ["one"]
    assert typed() == {str(KEY): "one"}
    assert person.told == []


def test_another_thread_asks_nobody_and_knows_what_was_typed() -> None:
    ask_of(Person("one"))
    found: list[list[str]] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: found.append(list(passphrases_for(KEY))))
        thread.start()
        thread.join()
        remember({str(KEY): "typed meanwhile"})
    assert found == [[], ["typed meanwhile"]]


def test_who_is_not_to_be_asked_is_asked_afterwards() -> None:
    ask_of(Person("one", ""))
    with nobody_asked():
        assert list(passphrases_for(KEY)) == []
    assert list(passphrases_for(KEY)) == ["one"]


def test_a_command_that_only_looks_may_look_again() -> None:
    ask_of(Person("one", ""))

    @nobody_asked()
    def look() -> list[str]:
        return list(passphrases_for(KEY))

    assert (look(), look()) == ([], [])
