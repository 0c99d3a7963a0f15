"""A cancel that comes while a run is prepared or placed ends that; one that comes too late ended nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from amltool.launchers.base import Exit, LaunchState, Observation
from amltool.run import ENDED_FIRST
from amltool.targets.canceling import FROM_OUTSIDE, CanceledError, UntilCanceled, as_it_ended


class Heard:
    """A watcher that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def say(self, *words: Any) -> None:
        self.told.append(("say", *words))

    def log(self, *words: Any) -> None:
        self.told.append(("log", *words))

    def progress(self, *words: Any) -> None:
        self.told.append(("progress", *words))


def watched(*, canceled: bool) -> tuple[UntilCanceled, Heard]:
    heard = Heard()
    run: Any = SimpleNamespace(watcher=heard, entry=SimpleNamespace(cancel_asked=canceled))
    return UntilCanceled(run), heard


def test_what_is_told_goes_on_to_the_watcher() -> None:
    watcher, heard = watched(canceled=False)
    watcher.say("Building.")
    watcher.log("line")
    watcher.progress("placing", 5, 10)
    assert heard.told == [("say", "Building."), ("log", "line"), ("progress", "placing", 5, 10)]


def test_nobody_is_told_of_nothing_that_was_done() -> None:
    watcher, heard = watched(canceled=False)
    watcher.progress("building", 0, None)
    assert heard.told == []


@pytest.mark.parametrize(
    "words", [("say", "Building."), ("log", "line"), ("progress", "placing", 5, 10), ("progress", "building", 0, None)]
)
def test_whoever_tells_something_of_a_canceled_run_is_ended(words: tuple[Any, ...]) -> None:
    watcher, heard = watched(canceled=True)
    with pytest.raises(CanceledError):
        getattr(watcher, words[0])(*words[1:])
    assert heard.told == []


COMPLETED = Exit(exit_code=0, started="2026-11-21T08:15:02.123Z")
CANCELED = Exit(exit_code=0, reason="canceled", canceled=True)
TIMED_OUT = Exit(signal="SIGTERM", reason="time-out after 2 s")
LOST = Exit(reason="the container was killed")


def entry(*, asked: bool = True, reached: bool = False, reason: str = "") -> Any:
    return SimpleNamespace(cancel_asked=asked, is_cancel_reached=reached, cancel_reason=reason)


def test_a_run_that_ended_by_itself_was_not_canceled_and_says_that_it_was_to_be() -> None:
    seen = Observation(LaunchState.ENDED, COMPLETED)
    assert as_it_ended(seen, entry()) == replace(COMPLETED, reason=ENDED_FIRST)
    assert as_it_ended(seen, entry(reached=True)) == replace(COMPLETED, reason=ENDED_FIRST)
    assert as_it_ended(seen, entry(asked=False)) == COMPLETED


def test_a_run_that_a_cancel_ended_is_canceled_whatever_its_exit_code() -> None:
    assert as_it_ended(Observation(LaunchState.ENDED, CANCELED), entry()) == CANCELED


def test_a_run_whose_time_was_over_before_the_cancel_came_keeps_that_reason() -> None:
    assert as_it_ended(Observation(LaunchState.ENDED, TIMED_OUT), entry()) == TIMED_OUT


def test_a_run_that_something_else_terminated_says_so() -> None:
    seen = Observation(LaunchState.ENDED, CANCELED)
    assert as_it_ended(seen, entry(asked=False)) == replace(CANCELED, reason=FROM_OUTSIDE)


def test_a_lost_run_was_canceled_only_if_the_cancel_came_to_it() -> None:
    seen = Observation(LaunchState.LOST, LOST)
    assert as_it_ended(seen, entry(reached=True)) == replace(LOST, canceled=True)
    assert as_it_ended(seen, entry()) == LOST


def test_a_run_whose_folder_is_gone_was_not_canceled_by_a_cancel_that_never_came_to_it() -> None:
    assert as_it_ended(Observation(LaunchState.ABSENT), entry()).canceled is False
    assert as_it_ended(Observation(LaunchState.ABSENT), entry(reached=True)).canceled is True


def test_a_run_that_ended_though_its_submit_failed_was_not_to_be_canceled_by_anybody() -> None:
    seen = Observation(LaunchState.ENDED, COMPLETED)
    assert as_it_ended(seen, entry(reason="not started: vm is unreachable")) == COMPLETED
