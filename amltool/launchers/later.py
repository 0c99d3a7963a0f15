"""Questions whose answers nobody waits for: a daemon may take long, and a run must not be held up by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from amltool.containers.daemon import NameTakenError
from amltool.errors import TargetError, UserError

UNANSWERED_S = 10.0
"""How long an answer may be owed before it counts as none."""
NO_ANSWER = ("Docker does not answer.", "See what `docker version` says, then try again.")

T = TypeVar("T")


class Later(threading.Thread, Generic[T]):
    """What a call gives, made in a thread of its own while others go on: from now on, or once it is started."""

    def __init__(self, call: Callable[[], T], *, now: bool = True) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._results: list[T] = []
        self._error: Exception | None = None
        if now:
            self.start()

    def run(self) -> None:
        try:
            self._results.append(self._call())
        except Exception as error:  # raised where the result is asked for
            self._error = error

    def result(self, timeout_s: float | None = None) -> T:
        """What the call gave or raised.

        Raises:
            TargetError: it takes too long, or was never begun.
        """
        if self.ident is not None:
            self.join(timeout_s)
        if self._error is not None:
            raise self._error
        if not self._results:
            raise TargetError(*NO_ANSWER)
        return self._results[0]

    @property
    def failure(self) -> TargetError | None:
        """How the call failed, if it has."""
        return self._error if isinstance(self._error, TargetError) else None

    def quietly(self) -> T | None:
        """What the call gave; ``None`` when it failed in a way that the next one will meet and say."""
        try:
            return self.result()
        except (UserError, NameTakenError, OSError):
            return None


class Look(Generic[T]):
    """A question that is asked when it is time, and whose answer nobody waits for."""

    def __init__(self, ask: Callable[[], T], in_s: float) -> None:
        self._ask = ask
        self._at = time.monotonic() + in_s
        self._answer: Later[T] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self._answer is not None and not self._answer.is_alive()

    def is_answered(self) -> bool:
        """Ask if it is time; whether `answer` has something to say, be it that there is no answer."""
        now = time.monotonic()
        if self._answer is None and now >= self._at:
            self._answer = Later(self._ask)
        if self._answer is None:
            return False
        return self.is_over or now > self._at + UNANSWERED_S

    def answer(self) -> T:
        """What the question came to, or raises.

        Raises:
            TargetError: the daemon owes the answer for too long.
        """
        if self._answer is None:
            raise TargetError(*NO_ANSWER)
        return self._answer.result(0.0)
