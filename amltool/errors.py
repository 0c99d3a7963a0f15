"""The faces of failure: a user's mistake is a UserError; everything else that escapes is our bug.

Every message is one sentence of what happened and one of what to do, so that a reader is never left
with half of it. The doors print ``str(error)`` and exit with ``error.exit_code``.
"""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """Something a user can put right.

    Attributes:
        what: one sentence (or block) that says what happened.
        remedy: what to do next; may be empty only where ``what`` says it already.
        exit_code: what a door exits with.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n{self.remedy}" if self.remedy else self.what


class Mistake:
    """One fault in one file: where it is, what it is, and what was expected.

    ``line`` and ``column`` count from 1; ``None`` where the fault has no place (a missing file or key).
    """

    __slots__ = ("column", "line", "message", "path")

    def __init__(self, path: str, message: str, line: int | None = None, column: int | None = None) -> None:
        self.path = path
        self.message = message
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)
        return f"{place}: {self.message}"

    def __repr__(self) -> str:
        return f"Mistake({str(self)!r})"


class ConfigurationError(UserError):
    """A configuration file cannot be used; holds every mistake found, not only the first."""

    def __init__(self, mistakes: Sequence[Mistake], remedy: str = "") -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes), remedy)


class MissingExtraError(UserError):
    """A part of amltool that is not installed is needed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed.",
            f"Install them with: pip install 'amltool[{extra}]'",
        )


class UnknownRunError(UserError):
    """No run of the history has the name that was given."""


class TargetError(UserError):
    """A compute target or a service failed or did not answer; says nothing about the run itself."""


class DamagedError(UserError):
    """Something stored is not what was written: a note, a journal entry, an artifact."""
