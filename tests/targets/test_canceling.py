"""A cancel that comes while a run is prepared or placed ends that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from amltool.targets.canceling import CanceledError, UntilCanceled


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
