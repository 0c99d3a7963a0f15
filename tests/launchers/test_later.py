"""Questions whose answers nobody waits for."""

from __future__ import annotations

import threading
import time

import pytest

from amltool.errors import TargetError, UserError
from amltool.launchers.later import Later, Look


def fail(error: Exception) -> int:
    raise error


def until_answered(look: Look[float]) -> None:
    while not look.is_answered():
        time.sleep(0.001)


def test_a_result_is_there_when_it_is_asked_for() -> None:
    assert Later(lambda: 7).result() == 7


def test_what_is_to_begin_later_has_no_result_before_it_was_started() -> None:
    later = Later(lambda: 7, now=False)
    assert later.quietly() is None
    later.start()
    assert later.result() == 7


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    with pytest.raises(UserError, match="no"):
        Later(lambda: fail(UserError("no"))).result()


def test_what_the_next_call_will_meet_is_left_to_it() -> None:
    assert Later(lambda: fail(TargetError("away"))).quietly() is None


def test_our_own_mistakes_are_never_kept_quiet() -> None:
    with pytest.raises(ZeroDivisionError):
        Later(lambda: fail(ZeroDivisionError())).quietly()


def test_a_look_asks_when_it_is_time() -> None:
    begun = time.monotonic()
    look = Look(time.monotonic, 0.1)
    assert not look.is_answered()
    until_answered(look)
    assert look.answer() - begun >= 0.1


def test_an_answer_that_is_owed_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amltool.launchers.later.UNANSWERED_S", 0.05)
    hanging = threading.Event()
    look = Look(hanging.wait, 0.0)
    while not look.is_answered():
        time.sleep(0.001)
    with pytest.raises(TargetError, match="does not answer"):
        look.answer()
    hanging.set()
