"""The files of a snapshot, why each is in it or not, and what an ignore file says in vain or differently to Git."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from amltool.ignore.automaton import expression
from amltool.ignore.patterns import ANYWHERE, IgnoreFile, Rule, translation_for
from amltool.ignore.ruler import Names, Ruler, crosses_folders, split_name
from amltool.limits import Profile

OUTPUTS = Rule(0, "/outputs", True, "^outputs", False)
GIT_FOLDER = Rule(0, ".git", True, ANYWHERE + r"\.git", False)
DOCS = Rule(0, "/docs", True, "^docs", False)
OWN_RULES = {Profile.SDK: (OUTPUTS, GIT_FOLDER), Profile.WORKBENCH: (OUTPUTS, GIT_FOLDER, DOCS)}
"""What is never in a snapshot, whatever an ignore file says (DESIGN 4); names are case-sensitive."""


@lru_cache(maxsize=8)
def _ruler(ignore_file: IgnoreFile | None, own: tuple[Rule, ...], cache_folder: Path | None) -> Ruler:
    rules = translation_for(ignore_file, cache_folder).rules if ignore_file is not None else ()
    return Ruler((*rules, *own))


def _ruler_of(ignore_file: IgnoreFile | None, profile: Profile, cache_folder: Path | None) -> Ruler:
    """Under the workbench profile no ignore file rules the copy (WORKBENCH 4.1)."""
    return _ruler(ignore_file if profile is Profile.SDK else None, OWN_RULES[profile], cache_folder)


class Selection(msgspec.Struct, frozen=True):
    """The files that are in a snapshot and those that are left out, each in the order they came in."""

    included: tuple[str, ...]
    excluded: tuple[str, ...]


def select(
    paths: Iterable[str], ignore_file: IgnoreFile | None, profile: Profile, cache_folder: Path | None = None
) -> Selection:
    """Which of these files are in the snapshot.

    ``paths`` are relative to the snapshot's root, with ``/``, as ``os.fsdecode`` gives them. Left out are: what the
    ignore file leaves out (profile ``sdk`` only), ``outputs`` at the root, anything in a ``.git``, and under the
    profile ``workbench`` ``docs`` at the root.
    """
    included: list[str] = []
    excluded: list[str] = []
    for path, left_out in _ruler_of(ignore_file, profile, cache_folder).left_out(paths):
        (excluded if left_out else included).append(path)
    return Selection(tuple(included), tuple(excluded))


class Explanation(msgspec.Struct, frozen=True):
    """Why a file is in a snapshot or not: the rule that decided, and on which path (a folder above it may be)."""

    excluded: bool
    decided_on: str
    rule: Rule
    ignore_file: str | None

    def __str__(self) -> str:
        place = f"{self.ignore_file}:{self.rule.line}" if self.rule.line else "amltool's own rule"
        return f"{place}: {self.rule.pattern} {'leaves out' if self.excluded else 'keeps'} {self.decided_on}"


def explain(
    path: str, ignore_file: IgnoreFile | None, profile: Profile, cache_folder: Path | None = None
) -> Explanation | None:
    """The rule that decides on a file; ``None`` when none speaks of it (then it is in the snapshot)."""
    ruler = _ruler_of(ignore_file, profile, cache_folder)
    rank, decided_on = ruler.decide(path)
    if rank < 0:
        return None
    rule = ruler.rules[rank]
    return Explanation(rule.excludes, decided_on, rule, ignore_file.name if ignore_file and rule.line else None)


def unused_patterns(
    paths: Iterable[str], ignore_file: IgnoreFile, cache_folder: Path | None = None
) -> tuple[Rule, ...]:
    """The patterns that match none of these files and none of their folders, whatever other patterns say.

    Give it the files that are left out too (those on disk, not only those of the commit).
    """
    files = list(paths)
    names: dict[str, set[str]] = {}
    folders: set[str] = set()
    for path in files:
        above, _, name = path.rpartition("/")
        names.setdefault(above, set()).add(name)
    for innermost in names:
        folder = innermost
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    inner: dict[str, set[str]] = {}
    for folder in folders:
        above, _, name = folder.rpartition("/")
        inner.setdefault(above, set()).add(name)
    rules = translation_for(ignore_file, cache_folder).rules
    return tuple(rule for rule in rules if not _is_used(rule, files, names, inner))


def _is_used(rule: Rule, files: Sequence[str], names: dict[str, set[str]], inner: dict[str, set[str]]) -> bool:
    if crosses_folders(rule.core):
        whole = expression(rule.core)
        return any(whole.above(path, rule.folders_only) for path in files)
    head, name = split_name(rule.core)
    matching = Names([(0, name)])
    shape = expression(head or "")
    for listing in (inner,) if rule.folders_only else (inner, names):
        for folder, entries in listing.items():
            lies_there = head is None or (shape.whole(folder) if folder else head == "^")
            if lies_there and any(matching.rank(entry) == 0 for entry in entries):
                return True
    return False


class Difference(msgspec.Struct, frozen=True):
    """A file on which amltool and Git read the same ignore file differently, and the rule that decides here."""

    path: str
    excluded: bool
    decided_by: Explanation | None


def differs_from_git(
    paths: Iterable[str], ignore_file: IgnoreFile, excluded_by_git: Collection[str], cache_folder: Path | None = None
) -> tuple[Difference, ...]:
    """The files that Git, given only this file's patterns, would decide on otherwise than amltool.

    ``excluded_by_git`` is what ``git ls-files -z --cached --ignored --exclude-from=FILE`` lists (a set, for speed):
    with that option Git reads no other ignore file. amltool's own rules play no part.
    """
    ruler = _ruler(ignore_file, (), cache_folder)
    differences: list[Difference] = []
    for path, left_out in ruler.left_out(paths):
        if left_out != (path in excluded_by_git):
            rank, decided_on = ruler.decide(path)
            rule = ruler.rules[rank] if rank >= 0 else None
            why = Explanation(left_out, decided_on, rule, ignore_file.name) if rule else None
            differences.append(Difference(path, left_out, why))
    return tuple(differences)
