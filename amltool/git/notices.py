"""The ways Git has to hide, filter, fetch late or keep elsewhere, and what each means (docs/limits.md)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from amltool.git.listing import EMPTY_TREES
from amltool.limits import Level, Problem, shell_word, shown

MOST_NAMED = 10


class Scope(str, Enum):
    """Where a notice holds: in this ``CLONE`` only, or for the ``COMMIT`` wherever it is run."""

    CLONE = "clone"
    COMMIT = "commit"


class Kind(msgspec.Struct, frozen=True):
    """What a notice of one id means: refused by a submit or not, where it holds, and if a tree with it is unclean."""

    level: Level
    scope: Scope
    unclean: bool = False


KINDS: dict[str, Kind] = {
    "missing-content": Kind(Level.ERROR, Scope.CLONE),
    "lfs-missing": Kind(Level.ERROR, Scope.CLONE),
    "submodule-missing": Kind(Level.ERROR, Scope.CLONE),
    "submodule-nested": Kind(Level.ERROR, Scope.COMMIT),
    "submodule-changed": Kind(Level.WARNING, Scope.CLONE, unclean=True),
    "hidden-change": Kind(Level.WARNING, Scope.CLONE, unclean=True),
    "nested-repository": Kind(Level.WARNING, Scope.CLONE, unclean=True),
    "unreadable-folder": Kind(Level.WARNING, Scope.CLONE, unclean=True),
    "unreadable": Kind(Level.ERROR, Scope.CLONE),
    "conflict": Kind(Level.ERROR, Scope.CLONE),
    "ignore-file-ignored": Kind(Level.WARNING, Scope.CLONE),
    "link-out": Kind(Level.ERROR, Scope.COMMIT),
    "logs-file": Kind(Level.ERROR, Scope.COMMIT),
}
"""Every notice that a survey can give. The doors show them all; a hook refuses none that holds in this clone only."""


def notice(kind: str, message: str, remedy: str) -> Problem:
    """A notice of one of `KINDS`, ready to be shown."""
    return Problem(kind, KINDS[kind].level, message, remedy)


def named(paths: Sequence[str]) -> str:
    """The first paths of a list as text, and how many more there are."""
    text = ", ".join(shown(path) for path in paths[:MOST_NAMED])
    return f"{text} and {len(paths) - MOST_NAMED:,} more" if len(paths) > MOST_NAMED else text


def refusals(notices: Sequence[Problem]) -> list[Problem]:
    """Those that stop a submit."""
    return [each for each in notices if each.level is Level.ERROR]


def unclean(notices: Sequence[Problem]) -> list[Problem]:
    """Those that say that the working folder holds work which no commit has."""
    return [each for each in notices if each.id in KINDS and KINDS[each.id].unclean]


def for_commit(notices: Sequence[Problem]) -> list[Problem]:
    """The same notices for a hook: what holds in this clone only says nothing against a commit, so it is a warning."""
    return [
        msgspec.structs.replace(each, level=Level.WARNING) if KINDS[each.id].scope is Scope.CLONE else each
        for each in notices
    ]


def missing_content(paths: Sequence[str], commit: str, *, is_partial: bool, prefix: str = "") -> Problem:
    """The content of these files is not in this clone: a partial clone fetches it when asked, another lost it."""
    one = len(paths) == 1
    message = f"The content of {len(paths):,} file{' is' if one else 's is'} not in this clone: {named(paths)}."
    if not is_partial:
        return notice("missing-content", message, "Fetch it: git fetch --refetch")
    tops = sorted({path.partition("/")[0] for path in paths}) if not prefix else [prefix]
    limited = f" -- {' '.join(_pathspec(top) for top in tops)}" if len(tops) <= MOST_NAMED else ""
    fetch = f"git diff --shortstat {EMPTY_TREES[len(commit)]} {commit[:12]}{limited}"
    remedy = (
        f"This is a partial clone. Fetch what is missing: {fetch}\nOr name what a run does not need in the ignore file."
    )
    return notice("missing-content", message, remedy)


def _pathspec(path: str) -> str:
    return shell_word(f":(top,literal){path}")
